-- Deletes a queue with all that it holds. That somebody waits stays known, and for a while what was delivered: a delivery that
-- comes late is not taken by a queue that is made anew. What is on its way to the archive gets there.
--   KEYS  1 to 30 the keys of the queue  31 inbox
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 how long deliveries stay known, ms
--   Gives { 'stale' } | { 'ok' }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
for i = 1, 30 do
  if KEYS[i] ~= WAITERS and KEYS[i] ~= WATCHERS then redis.call('UNLINK', KEYS[i]) end
end
if archive_most then redis.call('UNLINK', UNARCHIVED) end
redis.call('PEXPIRE', KEYS[31], ARGV[5])
return { 'ok' }
