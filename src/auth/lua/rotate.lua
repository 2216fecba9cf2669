-- Gives a token another text; the present one opens until the overlap is over, the one before not any more.
--   KEYS  1 key of the tags  2 token  3 changes  4 version of the changes  5 idempotency record (if there is a fingerprint)
--   ARGV  1 now µs ('' = server time)  2 the key that the tag was made with  3 id  4 digest of the new text  5 overlap ms
--         6 channel  7 fingerprint  8 lifetime of the record, ms
--   Gives { 'stale' } where the key is another one, { 'missing' }, { 'mismatch' }, or
--         { 'ok' or 'replayed', facts, digest, created ms, end ms or '', end of the overlap (ms), last use (ms) or '' }.
local again = answer_again(KEYS[5], ARGV[7])
if again then return again end
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return { 'stale' } end
local facts, digest, created, expires, used = unpack(redis.call('HMGET', KEYS[2], 'facts', 'digest', 'created', 'expires', 'used'))
local now = math.floor(clock_us(ARGV[1]) / 1000)
if not facts or (expires ~= '' and now >= tonumber(expires)) then return { 'missing' } end
local overlap = string.format('%.0f', now + ARGV[5])
redis.call('HSET', KEYS[2], 'digest', ARGV[4], 'previous', digest, 'overlap', overlap)
note_change(KEYS[3], KEYS[4], ARGV[3], ARGV[6])
return keep_answer(KEYS[5], ARGV[7], ARGV[8], { 'ok', facts, ARGV[4], created, expires, overlap, used or '' })
