-- Pauses a queue, or resumes it.
--   KEYS  1 to 30 the keys of the queue  31 idempotency record, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 fingerprint ('' = none)  5 1 to pause, 0 to resume
--   Gives { 'missing' } | { 'mismatch' } | { 'ok' or 'replayed' }.
if redis.call('HEXISTS', QUEUE, 'version') == 0 then return { 'missing' } end
local first = answer_again()
if first then return first end
redis.call('HSET', QUEUE, 'paused', ARGV[5])
if ARGV[5] == '0' then pushed = 100 end
wake()
return keep_answer({ 'ok' })
