-- Creates a queue or changes its settings.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version that is expected ('' = none yet)  3 new settings for scripts  4 ''  5 new version
--         6 settings  7 1 if paused
--   Gives { 'stale' } | { 'ok', created ms }.
local queue = redis.call('HMGET', QUEUE, 'version', 'created')
if (queue[1] or '') ~= ARGV[2] then return { 'stale' } end
local created = queue[2] or now
redis.call('HSET', QUEUE, 'version', ARGV[5], 'settings', ARGV[6], 'paused', ARGV[7], 'created', created)
-- Whatever was waiting for more room looks again.
pushed = 100
wake()
return { 'ok', created }
