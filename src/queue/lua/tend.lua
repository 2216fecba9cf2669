-- Does what is due, a part at a time, and tells how the queue stands.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 completed and cancelled jobs to keep ('' = all)  6 dead jobs to
--         keep ('' = all)  7 how many of each at most
--   Gives { 'stale' } | { 'ok', now ms, failed, died, cancelled, { removed for age and beyond the count: completed, cancelled, dead },
--   figures, ms until something is due or -1, { schedule, tick, definition, and so on },
--   how many jobs are on their way to other queues, how many finished jobs are not archived yet, ms for which the oldest of them is
--   finished or -1 }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local most = tonumber(ARGV[7])
local failed, died, cancelled = apply_due(most)
local first_at, unarchived, removed = math.huge, 0, {}
if archive_most then first_at, unarchived = first_unarchived() end
local stays_from = drops_oldest and math.huge or first_at
for i, set in ipairs({ COMPLETED, CANCELLED, DEAD }) do
  local is_dead = set == DEAD
  removed[2 * i - 1], removed[2 * i] =
    retain(set, is_dead and dead_retention or retention, tonumber(is_dead and ARGV[6] or ARGV[5]), most, stays_from)
end
if redis.call('HLEN', STATS) > 40 then
  for _, field in ipairs(redis.call('HKEYS', STATS)) do
    if tonumber(string.sub(field, 2)) < math.floor(now / 10000) - 6 then redis.call('HDEL', STATS, field) end
  end
end
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', now - 60000)
local due_in = -1
for _, set in ipairs({ SCHEDULED, LEASED, EXPIRING, PARKED, TICKS }) do
  local head = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if head[2] and (due_in < 0 or head[2] - now < due_in) then due_in = math.max(0, head[2] - now) end
end
local ticks = {}
for _, schedule in ipairs(redis.call('ZRANGEBYSCORE', TICKS, '-inf', now, 'LIMIT', 0, most)) do
  ticks[#ticks + 1] = schedule
  ticks[#ticks + 1] = redis.call('ZSCORE', TICKS, schedule)
  ticks[#ticks + 1] = redis.call('HGET', SCHEDULES, schedule)
end
tell_watchers()
wake()
local age = unarchived > 0 and math.max(0, now - first_at) or -1
return { 'ok', now, failed, died, cancelled, removed, figures(), due_in, ticks, redis.call('HLEN', OUTBOX), unarchived, age }
