-- Reads ready jobs: those of each LIST, the highest priority first, then those in the lines of keys.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings  4 ''  5 how many at most  6 priority to begin with, -1 for the lines, -3 for what rates hold back
--         7 how many stand from the place to begin at to the end of its LIST ('' = all)  8 the place in the lines to begin after
--   Gives { 'ok', priority, rest and place to go on with, { id, record, and so on } }; -2 for the priority at the end.
local most, priority, rest, place = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local jobs, looks, passed = {}, 2000, {}

local function show(id, at)
  local record = redis.call('HGET', JOBS, id)
  local job = record and open(record)
  if job and job[STATE] == IS_READY and (at < 0 or job[PRIORITY] == at) then
    jobs[#jobs + 1], jobs[#jobs + 2] = id, record
  end
end

while priority >= 0 and #jobs < 2 * most and looks > 0 do
  local list = KEYS[READY + priority]
  rest = rest or redis.call('LLEN', list)
  local line = rest > 0 and redis.call('LRANGE', list, -rest, -rest + most - #jobs / 2 - 1 >= 0 and -1 or
    -rest + most - #jobs / 2 - 1) or {}
  for _, id in ipairs(line) do
    -- Entries of removed jobs stand before those of later ones with the same id.
    passed[id] = (passed[id] or 0) + 1
    local ghosts = tonumber(redis.call('HGET', KEYED, 'g' .. priority .. id) or 0)
    if string.byte(id) ~= 1 and passed[id] > ghosts then show(id, priority) end
  end
  looks, rest = looks - #line - 1, rest - #line
  if rest <= 0 or #line == 0 then priority, rest = priority - 1, nil end
end
while priority == -1 and #jobs < 2 * most and looks > 0 do
  local line = redis.call('ZRANGEBYLEX', LINES, place == '' and '-' or '(' .. place, '+', 'LIMIT', 0, most - #jobs / 2)
  for _, member in ipairs(line) do
    show(string.sub(member, string.find(member, '\0', 1, true) + 22), -1)
    place = member
  end
  looks = looks - #line
  if #line == 0 then priority, rest = -3, 0 end
end
while priority == -3 and #jobs < 2 * most and looks > 0 do
  local held = redis.call('ZRANGE', PARKED, rest, rest + most - #jobs / 2 - 1)
  for _, member in ipairs(held) do
    if string.byte(member) == 1 then show(string.sub(member, 3), tonumber(string.sub(member, 2, 2))) end
  end
  looks, rest = looks - #held, rest + #held
  if #held == 0 then priority = -2 end
end
return { 'ok', priority, rest or '', place, jobs }
