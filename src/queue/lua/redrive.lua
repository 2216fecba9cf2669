-- Makes dead jobs ready again, the oldest first.
--   KEYS  1 to 30 the keys of the queue  31 record of the progress, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none)  5 how many  6 how many of the oldest to pass over
--   Gives { 'stale' } | { 'ok', moved, how many had to stay }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local moved, stayed = 0, 0
for _, id in ipairs(redis.call('ZRANGE', DEAD, ARGV[6], ARGV[6] + ARGV[5] - 1)) do
  local job = open(redis.call('HGET', JOBS, id))
  if make_ready(id, job) then moved = moved + 1 else stayed = stayed + 1 end
end
if ARGV[4] ~= '' then
  redis.call('HINCRBY', KEYS[31], 'moved', moved)
  redis.call('HINCRBY', KEYS[31], 'stayed', stayed)
end
wake()
return { 'ok', moved, stayed }
