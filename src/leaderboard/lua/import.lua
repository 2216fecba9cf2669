-- Sets rows of one ranking of a leaderboard, with the times that they bring.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden
--   ARGV  1 board version  2 now µs ('' = server time)  3 '1' = a standing row that is as good or better stays  4 ties
--         5 sub width  6 max entries (0 = all), then for each row: member, its hash, score, sub key,
--         time µs ('' = now), metadata or ''
--   Gives { 'stale' } or { 'ok' }.

-- What comes from clocks that are so far ahead does not move the leaderboard's own time on.
local LEAD_US = 1000000
local board = redis.call('HMGET', KEYS[1], 'version', 'stamp', 'watched')
if board[1] ~= ARGV[1] then return { 'stale' } end
local r = ranking_at(2)
local keep_better, ties, sub_width, keep = ARGV[3] == '1', ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local width = sub_width + (ties == 'member' and 0 or STAMP_WIDTH)
local now, before = clock_us(ARGV[2]), tonumber(board[2] or '0')
local latest, rows = before, 0

-- Whether the row that stands is as good as the new one.
local function stands(entry, score, sub_key)
  if not entry.score then return false end
  local old, new = tonumber(entry.score), tonumber(score)
  if old ~= new then return old < new end
  return not bytes_less(sub_key, string.sub(entry.key, 1, sub_width))
end

for i = 7, #ARGV, 6 do
  local entry = entry_find(r, ARGV[i], width, tonumber(ARGV[i + 1]))
  local score, sub_key, stamp = ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  if not (keep_better and stands(entry, score, sub_key)) then
    if not stamp then
      stamp = math.max(now, latest + 1)
      latest = stamp
    elseif stamp <= now + LEAD_US then
      latest = math.max(latest, stamp)
    end
    entry_write(r, entry, score, sub_key .. stamp_key(stamp, ties), ARGV[i + 5], width, sub_width)
  end
  rows = rows + 1
end
if keep > 0 then entries_trim(r, keep, 2 * rows, width, sub_width) end
if latest > before and ties ~= 'member' then redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', latest)) end
tell(board[3], now)
return { 'ok' }
