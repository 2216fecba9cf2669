-- Part: a job's record: 17 values that transitions change, then a tail that none does, which is packed by the service:
-- unique key, unique until (1 done, 2 started, 3 a time), unique for ms, key, expires in ms, headers, payload.
local STATE, PRIORITY, ATTEMPT, MAX_ATTEMPTS, ENQUEUED_AT, RUN_AT, READY_AT, STARTED_AT, FINISHED_AT =
  2, 3, 4, 5, 6, 7, 8, 9, 10
local DEADLINE, LEASE, WORKER, PROGRESS, RESULT, ERRORS, TRAITS, PLACE, TAIL = 11, 12, 13, 14, 15, 16, 17, 18, 19
local IS_SCHEDULED, IS_READY, IS_ACTIVE, IS_COMPLETED, IS_DEAD, IS_CANCELLED = 1, 2, 3, 4, 5, 6
-- Bits of TRAITS: it may hold a unique key, stands in its key's line, expires, holds a slot of its key, came from another
-- queue.
local HAS_UNIQUE, HAS_KEY, EXPIRES, HAS_SLOT, CAME = 1, 2, 4, 8, 16

local function open(record)
  local job = { cmsgpack.unpack_limit(record, 17, 0) }
  job[TAIL] = string.sub(record, job[1] + 1)
  return job
end

local function seal(job)
  return cmsgpack.pack(unpack(job, 2, 18)) .. job[TAIL]
end

local function has(job, trait)
  return bit.band(job[TRAITS], trait) ~= 0
end
