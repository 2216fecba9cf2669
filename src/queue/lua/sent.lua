-- Ends the way of jobs to another queue: those that have arrived leave this one.
--   KEYS  1 to 30 the keys of the queue  31 record of the progress, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none)
--         5 target, then for each job: id  1 (it has arrived) or 0
--   Gives { 'ok', how many have left }.
local left, stayed = 0, 0
for i = 6, #ARGV, 2 do
  local id = ARGV[i]
  if ARGV[i + 1] == '0' then stayed = stayed + 1 end
  if string.match(redis.call('HGET', OUTBOX, id) or '', '^%S+') == ARGV[5] then
    redis.call('HDEL', OUTBOX, id)
    if ARGV[i + 1] == '1' and redis.call('ZREM', DEAD, id) == 1 then
      local job = open(redis.call('HGET', JOBS, id))
      if has(job, HAS_UNIQUE) then
        local key = cmsgpack.unpack(job[TAIL])
        if redis.call('HGET', UNIQUE, key) == id then redis.call('HDEL', UNIQUE, key) end
      end
      if archive_most then redis.call('ZREM', UNARCHIVED, id) end
      redis.call('HDEL', JOBS, id)
      left = left + 1
    end
  end
end
if ARGV[4] ~= '' then
  redis.call('HINCRBY', KEYS[31], 'moved', left)
  redis.call('HINCRBY', KEYS[31], 'stayed', stayed)
end
return { 'ok', left }
