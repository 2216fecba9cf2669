-- Keeps a new token.
--   KEYS  1 key of the tags  2 token  3 ids  4 ends  5 idempotency record (if there is a fingerprint)
--   ARGV  1 now µs ('' = server time)  2 the key that the tag was made with  3 id  4 facts  5 digest  6 lifetime ms ('' = for ever)
--         7 fingerprint  8 lifetime of the record, ms
--   Gives { 'stale' } where the key is another one, { 'taken' } where the id is, { 'mismatch' }, or
--         { 'ok' or 'replayed', id, facts, digest, created ms, end ms or '' }.
local again = answer_again(KEYS[5], ARGV[7])
if again then return again end
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return { 'stale' } end
if redis.call('EXISTS', KEYS[2]) == 1 then return { 'taken' } end
local created = math.floor(clock_us(ARGV[1]) / 1000)
local created_text, expires = string.format('%.0f', created), ''
if ARGV[6] ~= '' then
  expires = string.format('%.0f', created + ARGV[6])
  redis.call('ZADD', KEYS[4], expires, ARGV[3])
end
redis.call('HSET', KEYS[2], 'facts', ARGV[4], 'digest', ARGV[5], 'created', created_text, 'expires', expires)
redis.call('ZADD', KEYS[3], 0, ARGV[3])
return keep_answer(KEYS[5], ARGV[7], ARGV[8], { 'ok', ARGV[3], ARGV[4], ARGV[5], created_text, expires })
