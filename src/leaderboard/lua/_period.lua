-- Part: which periods are open. A section is a span of time in which no window resets. The service says which sections it
-- thinks the server may be in; the server's clock decides. Times are µs since 1970.

-- The time, which never goes back behind a section that has taken scores (`section` of the board), nor behind what is
-- closed (`floor`), whatever the clock does; and the start of that section.
local function period_clock(board, now)
  local marks = redis.call('HMGET', board, 'floor', 'section')
  return math.max(now, tonumber(marks[1] or '0'), tonumber(marks[2] or '0')), marks[2]
end

-- The section that holds now, or nil; and the time. `lines` is a label alone where no window resets, else a line for each
-- section: from, until, numbers of the items that it refuses (',1,2,' or '-'), place of its first key, number of its keys,
-- periods with their ends in ms (',' between them and ';' behind each but the last), label.
local function section_at(board, lines, now, keys)
  if not string.find(lines, '^%d') then return { number = 0, first = 0, count = keys, label = lines }, now end
  local latest, number
  now, latest = period_clock(board, now)
  number = 0
  for from, till, refused, first, count, periods, label in
    string.gmatch(lines, '(%d+) (%d+) (%S+) (%d+) (%d+) (%S+) (%S+)') do
    if now >= tonumber(from) and now < tonumber(till) then
      return {
        number = number, first = tonumber(first), count = tonumber(count), label = label, from = from,
        refused = refused ~= '-' and refused, new_periods = latest ~= from and periods,
      }, now
    end
    number = number + 1
  end
  return nil, now
end

-- Notes the periods of a section, by their ends, in the lists whose keys end before `behind`.
local function note_periods(board, section, behind)
  local noted = {}
  for period, till in string.gmatch(section.new_periods, '([^,;]+),(%d+)') do noted[#noted + 1] = { till, period } end
  for i, period in ipairs(noted) do
    local list = KEYS[behind - #noted + i - 1]
    redis.call('ZADD', list, period[1], period[2])
  end
  redis.call('HSET', board, 'section', section.from)
end

-- Why a call for the open period cannot be answered, or nil. `asked` is the leaderboard's version, and where a window
-- resets from, until and the time that a test gives too.
local function refusal(board, asked)
  local version, from, till, given = string.match(asked, '^(%S+) (%d+) (%d+) ?(%d*)$')
  if redis.call('HGET', board, 'version') ~= (version or asked) then return { 'stale' } end
  if not version then return nil end
  local now = period_clock(board, clock_us(given))
  if now >= tonumber(from) and now < tonumber(till) then return nil end
  return { 'period', string.format('%.0f', now) }
end
