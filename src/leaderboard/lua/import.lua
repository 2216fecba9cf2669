-- Sets rows of one ranking of a leaderboard, with the times that they bring.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values  9 what describes members  10 bans
--   ARGV  1 board version  2 now µs ('' = server time)  3 '1' = a standing row that is as good or better stays  4 ties
--         5 sub width  6 max entries (0 = all)  7 dimensions (see _describe.lua)  8 version of the service-wide bans, then
--         for each row: member, its hash, score, sub key, time µs ('' = now), metadata or '', values of dimensions,
--         's' where it has a service-wide ban or ''
--   Gives { 'stale' } | { 'bans' } (there are newer service-wide ones) | { 'ok', of each row: '' or the number of the
--         dimension that has too many values for it }.

-- What comes from clocks that are so far ahead does not move the leaderboard's own time on.
local LEAD_US = 1000000
local board = redis.call('HMGET', KEYS[1], 'version', 'stamp', 'bans', 'bans_seen', 'watched')
if board[1] ~= ARGV[1] then return { 'stale' } end
if bans_behind(board[4], ARGV[8]) then return { 'bans' } end
local r = ranking_at(2)
local keep_better, ties, sub_width, keep = ARGV[3] == '1', ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local width = sub_width + (ties == 'member' and 0 or STAMP_WIDTH)
local now, before = clock_us(ARGV[2]), tonumber(board[2] or '0')
local latest, results, shape = before, { 'ok' }, { width = width, sub_width = sub_width }
local dimensions = ARGV[7] ~= '' and dimensions_of(ARGV[7])

-- Whether the row that stands is as good as the new one.
local function stands(entry, score, sub_key)
  if not entry.score then return false end
  local old, new = tonumber(entry.score), tonumber(score)
  if old ~= new then return old < new end
  return not bytes_less(sub_key, string.sub(entry.key, 1, sub_width))
end

for i = 9, #ARGV, 8 do
  local ban = ban_of(KEYS[1], KEYS[10], board[3], { r }, ARGV[i], ARGV[i + 7], shape)
  local entry = ban and hidden_find(r, ARGV[i]) or entry_find(r, ARGV[i], width, tonumber(ARGV[i + 1]))
  local score, sub_key, stamp = ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local parts, refusal_of_row = describe(ban and {} or { r }, ARGV[i], ARGV[i + 6], dimensions, KEYS[9])
  if keep_better and stands(entry, score, sub_key) then
    if parts and ban then hidden_write(r, entry, entry.score, entry.key, entry.metadata, parts) end
    if parts and not ban then segments_move(r, entry, parts, entry.score, entry.element) end
  elseif not refusal_of_row then
    if not stamp then
      stamp = math.max(now, latest + 1)
      latest = stamp
    elseif stamp <= now + LEAD_US then
      latest = math.max(latest, stamp)
    end
    local key = sub_key .. stamp_key(stamp, ties)
    if ban then
      hidden_write(r, entry, score, key, ARGV[i + 5], parts)
    else
      entry_write(r, entry, score, key, ARGV[i + 5], width, sub_width, parts)
    end
  end
  results[#results + 1] = refusal_of_row and refusal_of_row[2] or ''
end
if keep > 0 then entries_trim(r, keep, 2 * (#results - 1), width, sub_width) end
if latest > before and ties ~= 'member' then redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', latest)) end
tell(board[5], now)
return results
