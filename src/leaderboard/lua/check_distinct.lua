-- Looks whether the distinct rows of a ranking are rows of entries. They are kept once they have been built to their end.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 order key width  3 sub width  4 1 to mend  5 from place  6 most to look at
--   Gives { 'stale' } or { 'ok', how many were looked at, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r, sub_width = ranking_at(2), tonumber(ARGV[3])
local rows = {}
if redis.call('ZSCORE', r.distinct, 'end') then
  rows = redis.call('ZRANGE', r.distinct, ARGV[5], ARGV[5] + ARGV[6] - 1, 'WITHSCORES')
end
for i = 1, #rows, 2 do
  local row, score = rows[i], rows[i + 1]
  local sub_key, is_mark = string.sub(row, 1, sub_width), row == 'start' or row == 'end'
  local at = is_mark and 0 or lower_bound(r.rank, score, sub_key)
  local found_row = redis.call('ZRANGE', r.rank, at, at, 'WITHSCORES')
  local stands = found_row[1] and tonumber(found_row[2]) == tonumber(score) and string.sub(found_row[1], 1, sub_width) == sub_key
  if not is_mark and not stands then
    fault('', 'there is a distinct row without an entry', 'those are built anew when they are read', function()
      redis.call('UNLINK', r.distinct)
    end)
    break
  end
end
found[2] = #rows / 2
return found
