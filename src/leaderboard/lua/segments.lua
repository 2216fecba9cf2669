-- Lists values of one dimension of a ranking, in byte order.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 number of the dimension  3 after which value ('' = from the start)  4 how many at most
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', how many values there are, value, entries, … }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local r, head = ranking_at(2), ARGV[2] .. '\2'
local listed = { 'ok', tonumber(redis.call('HGET', r.values, '\1' .. ARGV[2]) or '0') }
local from = '(' .. head .. ARGV[3] .. (ARGV[3] == '' and '' or '\1')
for _ = 1, ARGV[4] do
  local first = redis.call('ZRANGEBYLEX', r.segments, from, '(' .. ARGV[2] .. '\3', 'LIMIT', 0, 1)[1]
  if not first then break end
  local part = string.sub(first, 1, string.find(first, '\0', 1, true) - 1)
  listed[#listed + 1], listed[#listed + 2] = string.sub(part, #head + 1), segment_total(r.segments, part)
  from = '(' .. part .. '\1'
end
return listed
