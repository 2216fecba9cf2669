-- Takes the next rewards of a closed period: its entries in their order, each with the rank that it has when those before it are
-- counted. They stand until they are said to be handed out, then the next ones are taken.
--   KEYS  1 board  2 what is closing  3 rank
--   ARGV  1 the period (WINDOW:PERIOD)  2 number of what has been handed out  3 for each reward: r (ranks) or p (thousandths
--         of a percent), what is passed over, -, the last, ','  4 '1' if the end is told too  5 most entries to look at
--   Gives { 'gone' } | { 'done' } | { 'rewards', number, the period, entries in all, 1 if these are the last, for each: number
--         of the reward, rank, ZSET member, score }.
local closing, period, most = KEYS[2], ARGV[1], tonumber(ARGV[5])
local standing = redis.call('HGET', closing, 'standing')
if standing then
  local answer = cmsgpack.unpack(standing)
  if string.format('%.0f', answer[2]) ~= ARGV[2] then return answer end
  redis.call('HDEL', closing, 'standing')
  if answer[5] == 1 then redis.call('HDEL', closing, answer[3], 'at ' .. answer[3]) end
  if answer[5] == 1 and answer[3] == period then return { 'done' } end
end
if redis.call('HEXISTS', closing, period) == 0 then return { 'gone' } end
local at = redis.call('HGET', closing, 'at ' .. period)
local total, rank, score, element = redis.call('ZCARD', KEYS[3]), 0, nil, nil
if at then total, rank, score, element = unpack(cmsgpack.unpack(at)) end
local ranges, furthest = {}, 0
for kind, from, to in string.gmatch(ARGV[3], '(%a)(%d+)%-(%d+),') do
  local range = { tonumber(from), tonumber(to) }
  if kind == 'p' then range = { math.ceil(total * from / 100000), math.ceil(total * to / 100000) } end
  ranges[#ranges + 1], furthest = range, math.max(furthest, range[2])
end
local answer, place = { 'rewards', 0, period, total, 0 }, element and place_after(sight_of({ rank = KEYS[3] }, ''), score, element) or 0

-- How many entries there are before the next one that gets anything.
local function passed_over()
  local next_rank = furthest
  for _, range in ipairs(ranges) do
    if range[2] > rank then next_rank = math.min(next_rank, math.max(rank, range[1])) end
  end
  return next_rank - rank
end

while most > 0 and #answer < 800 and rank < furthest do
  local gap = passed_over()
  rank, place = rank + gap, place + gap
  local entry = redis.call('ZRANGE', KEYS[3], place, place, 'WITHSCORES')
  if not entry[1] then rank = furthest break end
  element, score, rank, place, most = entry[1], entry[2], rank + 1, place + 1, most - 1
  for number, range in ipairs(ranges) do
    if rank > range[1] and rank <= range[2] then
      for _, value in ipairs({ number, rank, element, score }) do answer[#answer + 1] = value end
    end
  end
end
if rank >= furthest then answer[5] = 1 end
if answer[5] == 1 and #answer == 5 and ARGV[4] ~= '1' then
  redis.call('HDEL', closing, period, 'at ' .. period)
  return { 'done' }
end
answer[2] = redis.call('HINCRBY', KEYS[1], 'paid', 1)
redis.call('HSET', closing, 'standing', cmsgpack.pack(answer))
if element then redis.call('HSET', closing, 'at ' .. period, cmsgpack.pack({ total, rank, score, element })) end
return answer
