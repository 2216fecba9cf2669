-- Adds jobs that come from a source in numbered deliveries, each of them once, however often and late it is repeated.
--   KEYS  1 to 30 the keys of the queue  31 inbox
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 source  6 number of the delivery, then for each job: id
--         max attempts  tail
--   Gives { 'stale' } | { 'taken' } (an id is another job's: nothing is changed) | { 'ok', how many were added }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local source, number = ARGV[5], tonumber(ARGV[6])
if tonumber(redis.call('HGET', KEYS[31], source) or '0') >= number then return { 'ok', 0 } end
for i = 7, #ARGV, 3 do
  if redis.call('HEXISTS', JOBS, ARGV[i]) == 1 then return { 'taken' } end
end
local added = 0
for i = 7, #ARGV, 3 do
  add(ARGV[i], 0, tonumber(ARGV[i + 1]), ARGV[i + 2], '')
  added = added + 1
end
redis.call('HSET', KEYS[31], source, ARGV[6])
redis.call('PERSIST', KEYS[31])
count('e', added)
tell_watchers()
wake()
return { 'ok', added }
