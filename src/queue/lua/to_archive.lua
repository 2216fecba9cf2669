-- Reads the oldest finished jobs that are on their way to the archive.
--   KEYS  1 the jobs on their way
--   ARGV  1 how many at most  2 from which entry on
--   Gives { 'ok', 1 if there may be more, for each: id of the entry, id of the job, record }. Without an id it is a list of jobs that are
--   to leave the archive: since when, and their ids.
local most, answer, count, bytes, from = tonumber(ARGV[1]), { 'ok', 1 }, 0, 0, ARGV[2]
-- A few first: large ones come in smaller numbers than are wanted, so that no call takes long.
while count < most and bytes < 1048576 do
  local step = count > 0 and bytes < 2048 * count and math.min(most - count, 100) or math.min(most - count, 4)
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', step)
  for i, entry in ipairs(entries) do
    local at = 3 * (count + i)
    answer[at], answer[at + 1], answer[at + 2] = entry[1], entry[2][2], entry[2][6]
    bytes = bytes + #entry[2][6]
  end
  count = count + #entries
  if #entries < step then
    answer[2] = 0
    break
  end
  from = '(' .. entries[step][1]
end
return answer
