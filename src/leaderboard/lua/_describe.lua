-- Part: what describes the member of a submission, and in which segments that puts its entries.

-- Reads the dimensions of a leaderboard: a line for each, of its number, the most values that it may have (0 = no ranking
-- of its own), and the numbers of the dimensions that it combines; a single one names itself. Single ones stand first.
local function dimensions_of(lines)
  local dimensions = {}
  for number, most, combined in string.gmatch(lines, '(%d+) (%d+) (%S+)') do
    local of = {}
    for one in string.gmatch(combined, '%d+') do of[#of + 1] = one end
    dimensions[#dimensions + 1] = { number = number, most = tonumber(most), of = of }
  end
  return dimensions
end

-- The parts of an entry whose member has these values, and what to remember of the member. The last value of a dimension
-- counts.
local function parts_of(dimensions, given)
  local values, parts, known = {}, {}, {}
  for number, value in string.gmatch(given, '\1(%d+)\2([^\1]*)') do values[number] = value end
  for _, dimension in ipairs(dimensions) do
    local of, complete = {}, true
    for i, number in ipairs(dimension.of) do
      of[i], complete = values[number] or '', complete and values[number]
    end
    if complete then
      local value = table.concat(of, '\31')
      parts[#parts + 1] = '\1' .. dimension.number .. (dimension.most > 0 and '\2' or '\3') .. value
      if #of == 1 then known[#known + 1] = '\1' .. dimension.number .. '\2' .. value end
    end
  end
  return table.concat(parts), table.concat(known)
end

-- The number of the dimension that would get one value too many, or nil.
local function crowded(r, member, parts, dimensions)
  local old = redis.call('HGET', r.values, member) or ''
  for _, dimension in ipairs(dimensions) do
    local part = dimension.most > 0 and string.match(parts, '\1(' .. dimension.number .. '\2[^\1]*)')
    if part and not holds_part(old, part) and segment_total(r.segments, part) == 0 then
      local values = redis.call('HGET', r.values, '\1' .. dimension.number)
      if tonumber(values or '0') >= dimension.most then return dimension.number end
    end
  end
  return nil
end

-- The parts of a member's entries with what this submission says, which is remembered; or nil and the refusal. Nil alone
-- where the leaderboard has no dimensions.
local function describe(rankings, member, given, dimensions, described)
  if not dimensions then return nil end
  local before = redis.call('HGET', described, member) or ''
  local parts, known = parts_of(dimensions, before .. given)
  for _, r in ipairs(rankings) do
    local number = crowded(r, member, parts, dimensions)
    if number then return nil, { 'crowded', number } end
  end
  if known ~= before then redis.call('HSET', described, member, known) end
  return parts
end
