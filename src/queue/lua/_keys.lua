-- Part: the keys of a queue, in the order of docs/keys.md; the time; the settings that scripts go by.
local QUEUE, JOBS, SCHEDULED, LEASED, COMPLETED, DEAD, CANCELLED, UNIQUE, EXPIRING, STATS =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local WAITERS, WATCHERS, LINES, KEYED, PARKED, RATE, WORKERS, SCHEDULES, TICKS, OUTBOX =
  KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20]
-- The ready LIST of priority 0; the others follow.
local READY = 21

-- ms since 1970, rounded down, and rounded up for what must not be early.
local now, soonest
if ARGV[1] ~= '' then
  now = math.floor(ARGV[1] / 1000)
  soonest = now
else
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  soonest = time[2] % 1000 == 0 and now or now + 1
end

-- Without settings a script may not use these.
local name, channel, retention, dead_retention, max_concurrency, rate_limit, rate_per, keyed, key_max, key_rate,
  key_per, fair, archive_most, drops_oldest, is_kept_out = cmsgpack.unpack(ARGV[3] or "")
