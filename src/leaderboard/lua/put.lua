-- Creates a leaderboard or changes its settings.
--   KEYS  1 board  2 what is to be freed, then the rank ZSETs and lists of periods that stand, then the lists of periods
--         that go, then other keys of windows that go
--   ARGV  1 asked (see _period.lua; '' = none yet)  2 new version  3 epoch  4 settings  5 what a ranking with entries
--         cannot change  6 now µs ('' = server time)  7 how many rank ZSETs and lists of periods
--         stand, the first window's rank ZSET first  8 starts given by hand  9 new windows that do not reset, ' ' behind each
--         10 numbers of dimensions, then a stem for each list of periods that goes
--   Gives { 'stale' } | { 'period', now µs } | { 'fixed' } (it has entries) | { 'ok', entries, created ms,
--         starts given by hand }.
local board = redis.call('HMGET', KEYS[1], 'version', 'fixed', 'created', 'bans')
if ARGV[1] == '' and board[1] then return { 'stale' } end
local refused_call = ARGV[1] ~= '' and refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local standing, entries, first = tonumber(ARGV[7]), 0, 0
for i = 3, standing + 2 do
  local count = redis.call('ZCARD', KEYS[i])
  entries = entries + count
  if i == 3 then first = count end
end
-- What is hidden of the banned counts, too.
entries = entries + tonumber(board[4] or '0')
if board[2] and board[2] ~= ARGV[5] and entries > 0 then return { 'fixed' } end
local now = string.format('%.0f', math.floor(clock_us(ARGV[6]) / 1000))
local created = board[3] or now
local starts = ARGV[8] .. string.gsub(ARGV[9], ' ', ' ' .. now .. '\n')
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'epoch', ARGV[3], 'settings', ARGV[4], 'fixed', ARGV[5], 'created', created,
  'starts', starts, 'dimensions', ARGV[10])
-- Periods of new windows are still to be noted. What has ended takes no more all the same.
local section, floor = redis.call('HGET', KEYS[1], 'section'), redis.call('HGET', KEYS[1], 'floor')
if section and tonumber(section) > tonumber(floor or '0') then redis.call('HSET', KEYS[1], 'floor', section) end
redis.call('HDEL', KEYS[1], 'section')
for i = 11, #ARGV do free_periods(KEYS[2], KEYS[standing + i - 8], ARGV[i]) end
for i = standing + #ARGV - 7, #KEYS do redis.call('UNLINK', KEYS[i]) end
tell(redis.call('HGET', KEYS[1], 'watched'), 0)
return { 'ok', first, created, starts }
