-- Reads the oldest of what happened to members and is on its way to the archive.
--   KEYS  1 outbox
--   ARGV  1 how many rows at most; an entry with more comes alone  2 from which entry on
--   Gives { 'ok', 1 if there may be more, for each entry: id, of what it is, label of its rankings, note, rows as they are packed }.
local most, answer, count, bytes, read, from = tonumber(ARGV[1]), { 'ok', 1 }, 0, 0, 0, ARGV[2]
while count < most and bytes < 1048576 do
  -- About as many as there is room for, by the rows that entries have had.
  local step = read == 0 and math.min(most, 4) or math.min(math.ceil((most - count) * read / count), 100)
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', step)
  for _, entry in ipairs(entries) do
    local fields, at = entry[2], #answer
    if count > 0 and count + fields[8] > most then return answer end
    answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = entry[1], fields[2], fields[4], fields[6]
    answer[at + 5] = fields[10]
    count, bytes, read = count + fields[8], bytes + #fields[10], read + 1
  end
  if #entries < step then
    answer[2] = 0
    break
  end
  from = '(' .. entries[step][1]
end
return answer
