-- Deletes some of the jobs of a state. Finished ones leave the archive, too.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 number of the KEY with the state's ZSET, or 21 for what is
--         ready  6 how many at most
--   Gives { 'stale' } | { 'ok', deleted, 1 if there is more }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local which, most = tonumber(ARGV[5]), tonumber(ARGV[6])

local function ended(deleted, more)
  tell_watchers()
  wake()
  return { 'ok', deleted, more }
end

if which ~= READY then
  local ids = redis.call('ZRANGE', KEYS[which], 0, most - 1)
  local removed = remove_from(KEYS[which], ids)
  -- What is scheduled has not finished, or goes on: that it was dead before stays as it is.
  if archive_most and KEYS[which] ~= SCHEDULED then withdraw(ids, now) end
  return ended(removed, #ids == most and 1 or 0)
end
-- The lines of keys first.
local members = redis.call('ZRANGE', LINES, 0, most - 1)
for _, member in ipairs(members) do
  local id = string.sub(member, string.find(member, '\0', 1, true) + 22)
  local job = open(redis.call('HGET', JOBS, id))
  take_turn_away(id, job)
  forget(id, job)
end
if #members > 0 then return ended(#members, 1) end
local deleted = 0
local popped = redis.call('LMPOP', 10, KEYS[30], KEYS[29], KEYS[28], KEYS[27], KEYS[26], KEYS[25], KEYS[24], KEYS[23], KEYS[22],
  KEYS[21], 'LEFT', 'COUNT', most)
if not popped then
  -- At last those that their keys' rates hold back.
  for _, held in ipairs(redis.call('ZRANGE', PARKED, 0, 999)) do
    local id = string.sub(held, 3)
    if string.byte(held) == 1 and redis.call('ZREM', PARKED, held) == 1 then
      local job = open(redis.call('HGET', JOBS, id))
      if job[STATE] == IS_READY then
        forget(id, job)
        deleted = deleted + 1
      end
    end
  end
  return ended(deleted, 0)
end
local priority = tonumber(string.sub(popped[1], -1))
for _, id in ipairs(popped[2]) do
  local counted = 'n' .. priority .. string.sub(id, 2)
  if string.byte(id) == 1 and redis.call('HINCRBY', KEYED, counted, -1) <= 0 then redis.call('HDEL', KEYED, counted) end
  local record = redis.call('HGET', JOBS, id)
  local job = record and open(record)
  redis.call('HDEL', KEYED, 'g' .. priority .. id)
  if job and job[STATE] == IS_READY and job[PRIORITY] == priority then
    forget(id, job)
    deleted = deleted + 1
  end
end
return ended(deleted, 1)
