-- Creates a leaderboard or changes its settings.
--   KEYS  1 board, then the rank ZSETs that stand, then the keys of windows that go
--   ARGV  1 version that is expected ('' = none yet)  2 new version  3 epoch  4 settings  5 what a ranking with entries
--         cannot change  6 now µs ('' = server time)  7 how many rank ZSETs
--   Gives { 'stale' } | { 'fixed' } (it has entries) | { 'ok', entries, created ms }.
local board = redis.call('HMGET', KEYS[1], 'version', 'fixed', 'created')
if (board[1] or '') ~= ARGV[1] then return { 'stale' } end
local rankings, entries, first = tonumber(ARGV[7]), 0, 0
for i = 2, rankings + 1 do
  local count = redis.call('ZCARD', KEYS[i])
  entries = entries + count
  if i == 2 then first = count end
end
if board[2] and board[2] ~= ARGV[5] and entries > 0 then return { 'fixed' } end
local created = board[3] or string.format('%.0f', math.floor(clock_us(ARGV[6]) / 1000))
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'epoch', ARGV[3], 'settings', ARGV[4], 'fixed', ARGV[5], 'created', created)
for i = rankings + 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return { 'ok', first, created }
