-- Runs a tick of a schedule, unless somebody else has.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 schedule  6 its definition as it was read  7 the tick that is due
--         8 the tick to run  9 the next tick ('' = none)  10 priority  11 max attempts  12 tail  13 options  14 id
--   Gives { 'stale' } | { 'ok', 1 if this call made the job }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local schedule = ARGV[5]
if redis.call('HGET', SCHEDULES, schedule) ~= ARGV[6] then return { 'ok', 0 } end
if tonumber(redis.call('ZSCORE', TICKS, schedule) or -1) ~= tonumber(ARGV[7]) then return { 'ok', 0 } end
if ARGV[9] == '' then redis.call('ZREM', TICKS, schedule) else redis.call('ZADD', TICKS, ARGV[9], schedule) end
local result = add(ARGV[14], tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12], ARGV[13])
local made = result[1] == 'added' and 1 or 0
count('e', made)
wake()
return { 'ok', made }
