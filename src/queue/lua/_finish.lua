-- Part: how jobs end, and how attempts fail.
local LONGEST_ERRORS = 10
local finished = {}
local is_archived = archive_most and not is_kept_out

local function lock_ends(job)
  local _, _, lasts = cmsgpack.unpack(job[TAIL])
  return lasts and job[ENQUEUED_AT] + lasts or 0
end

-- Gives up the unique key, unless it is held for a time that is not over.
local function unlock(id, job)
  local key, until_what = cmsgpack.unpack(job[TAIL])
  if until_what == 3 and lock_ends(job) > now then return end
  if redis.call('HGET', UNIQUE, key) == id then redis.call('HDEL', UNIQUE, key) end
end

-- Ends a job that has been taken from where it was. It is kept for its retention, and while its key is locked.
local function finish(id, job, state, set)
  job[STATE], job[FINISHED_AT] = state, now
  local kept_ms = state == IS_DEAD and dead_retention or retention
  local score = now
  if has(job, HAS_UNIQUE) then
    unlock(id, job)
    local _, until_what = cmsgpack.unpack(job[TAIL])
    if until_what == 3 then score = math.max(now, lock_ends(job) - kept_ms) end
  end
  free_slot(job)
  if has(job, EXPIRES) and job[ATTEMPT] == 0 then redis.call('ZREM', EXPIRING, id) end
  local record = seal(job)
  if is_archived then send_to_archive(id, record, now, archive_most, drops_oldest) end
  -- Where none may be lost on the way to the archive, it can be read here until it is there.
  if score + kept_ms <= now and (drops_oldest or not is_archived) then
    redis.call('HDEL', JOBS, id)
  else
    redis.call('HSET', JOBS, id, record)
    redis.call('ZADD', set, score, id)
  end
  finished[#finished + 1] = id
end

local function tell_watchers()
  if #finished == 0 or redis.call('EXISTS', WATCHERS) == 0 then return end
  for _, id in ipairs(finished) do redis.call('PUBLISH', channel, 'finished ' .. name .. ' ' .. id) end
end

-- Keeps the last errors, each as time, attempt, text.
local function add_error(job, at, text)
  local errors = { cmsgpack.unpack(job[ERRORS] or '') }
  local from = math.max(1, #errors - 3 * LONGEST_ERRORS + 4)
  local last = cmsgpack.pack(at, job[ATTEMPT], text)
  job[ERRORS] = (#errors > 0 and cmsgpack.pack(unpack(errors, from)) or '') .. last
end

-- An attempt has failed: dead where attempts are spent, else as `again` says. A slot stays with a job whose key runs strictly
-- in order.
local function fail(id, job, at, text, dead, again)
  add_error(job, at, text)
  job[LEASE] = nil
  if dead or job[ATTEMPT] >= job[MAX_ATTEMPTS] then return finish(id, job, IS_DEAD, DEAD) end
  if key_max ~= 1 then free_slot(job) end
  again()
  redis.call('HSET', JOBS, id, seal(job))
end
