-- Part: the figures of a queue.

-- { ready, scheduled, active, completed, dead, cancelled, since when the oldest ready job waits or -1 }.
local function figures()
  local scheduled, active, completed_jobs, dead, cancelled = redis.call('ZCARD', SCHEDULED), redis.call('ZCARD', LEASED),
    redis.call('ZCARD', COMPLETED), redis.call('ZCARD', DEAD), redis.call('ZCARD', CANCELLED)
  -- Where records were lost by hand there are more places than jobs, which `ranq check` finds.
  local ready = math.max(0, redis.call('HLEN', JOBS) - scheduled - active - completed_jobs - dead - cancelled)
  local oldest = -1
  if ready > 0 then
    for priority = 0, 9 do
      for _, id in ipairs(redis.call('LRANGE', KEYS[READY + priority], 0, 4)) do
        if string.byte(id) == 1 then
          local from = string.sub(id, 2) .. '\0' .. (9 - priority)
          local first = redis.call('ZRANGEBYLEX', LINES, '[' .. from, '(' .. from .. ':', 'LIMIT', 0, 1)[1]
          id = first and string.sub(first, #from + 21) or ''
        end
        local record = redis.call('HGET', JOBS, id)
        local job = record and open(record)
        if job and job[STATE] == IS_READY then
          local since = job[READY_AT] or job[ENQUEUED_AT]
          if oldest < 0 or since < oldest then oldest = since end
          break
        end
      end
    end
    -- Where all of them are held back by the limits of their keys.
    for _, member in ipairs(oldest < 0 and redis.call('ZRANGE', LINES, 0, 9) or {}) do
      local record = redis.call('HGET', JOBS, string.sub(member, string.find(member, '\0', 1, true) + 22))
      local job = record and open(record)
      local since = job and (job[READY_AT] or job[ENQUEUED_AT])
      if since and (oldest < 0 or since < oldest) then oldest = since end
    end
  end
  return { ready, scheduled, active, completed_jobs, dead, cancelled, oldest }
end
