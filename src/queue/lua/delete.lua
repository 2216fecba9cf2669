-- Deletes a queue with all that it holds. That somebody waits stays known.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings
--   Gives { 'stale' } | { 'ok' }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
for i = 1, #KEYS do
  if KEYS[i] ~= WAITERS and KEYS[i] ~= WATCHERS then redis.call('UNLINK', KEYS[i]) end
end
return { 'ok' }
