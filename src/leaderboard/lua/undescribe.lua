-- Takes some entries of one ranking out of a dimension that is no longer declared.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 order key width  3 number of the dimension  4 how many at most
--   Gives { 'stale' } or { 'ok', how many there were }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r, width = ranking_at(2), tonumber(ARGV[2])
local from, to = '(' .. ARGV[3] .. '\2', '(' .. ARGV[3] .. '\3'
local found = redis.call('ZRANGEBYLEX', r.segments, from, to, 'LIMIT', 0, ARGV[4])
for _, element in ipairs(found) do
  local zero = string.find(element, '\0', 1, true)
  local entry = entry_find(r, string.sub(element, zero + 9 + width), width)
  local part, parts = '\1' .. string.sub(element, 1, zero - 1), entry_segments(r, entry)
  local at = string.find(parts .. '\1', part .. '\1', 1, true)
  parts = string.sub(parts, 1, at - 1) .. string.sub(parts, at + #part)
  segments_move(r, entry, parts, entry.score, entry.element)
end
return { 'ok', #found }
