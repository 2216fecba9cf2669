-- Looks whether what a ranking keeps of members (metadata, what describes them, hidden entries) belongs to entries.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values  9 bans
--   ARGV  1 board version  2 order key width  3 sub width  4 1 to mend  5 `meta`, `values` or `hidden`  6 1 where the ranking is
--         open  7 the first member, then the others; in `values` byte 1 and the number of a dimension as well
--   Gives { 'stale' } or { 'ok', 0, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r, width, sub_width = ranking_at(2), tonumber(ARGV[2]), tonumber(ARGV[3])

local function values_of(dimension)
  local count, from = 0, '[' .. dimension .. '\2'
  while true do
    local first = redis.call('ZRANGEBYLEX', r.segments, from, '(' .. dimension .. '\3', 'LIMIT', 0, 1)[1]
    if not first then return count end
    count, from = count + 1, '(' .. string.match(first, '^[^%z]*') .. '\1'
  end
end

local function check_count(field)
  local counted, stands = values_of(string.sub(field, 2)), redis.call('HGET', r.values, field)
  if tonumber(stands or 0) == counted and stands ~= '0' then return end
  fault('', 'dimension ' .. string.sub(field, 2) .. ' has ' .. counted .. ' values and a count of ' .. (stands or 0), 'counted anew',
    function()
      if counted == 0 then redis.call('HDEL', r.values, field) else redis.call('HSET', r.values, field, counted) end
    end)
end

local function check_hidden(member, entry)
  local readable, row = pcall(cmsgpack.unpack, redis.call('HGET', r.hidden, member) or '')
  if not readable or type(row) ~= 'table' or #row ~= 4 or #row[2] ~= width then
    fault(member, 'has a hidden entry that cannot be read', 'removed', function() redis.call('HDEL', r.hidden, member) end)
  elseif entry.score then
    local is_banned = redis.call('HEXISTS', KEYS[9], member) == 1
    fault(member, 'is seen and hidden', is_banned and 'seen no more' or 'hidden no more', function()
      if is_banned then entry_remove(r, entry, sub_width) else redis.call('HDEL', r.hidden, member) end
    end)
  elseif ARGV[6] == '1' and redis.call('HEXISTS', KEYS[9], member) == 0 then
    fault(member, 'is hidden and not banned', 'shown', function()
      show({ r }, member, { width = width, sub_width = sub_width, keep = 0 })
    end)
  end
end

local key = ({ meta = r.meta, values = r.values, hidden = r.hidden })[ARGV[5]]
for i = 7, #ARGV do
  local member = ARGV[i]
  local entry = entry_find(r, member, width)
  if string.byte(member) == 1 then
    check_count(member)
  elseif redis.call('HEXISTS', key, member) == 1 then
    if ARGV[5] == 'hidden' then
      check_hidden(member, entry)
    elseif not entry.score then
      fault(member, 'has ' .. ARGV[5] .. ' and no entry', 'removed', function() redis.call('HDEL', key, member) end)
    end
  end
end
return found
