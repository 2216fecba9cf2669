-- Closes the periods that have ended, and hands those beyond what is kept on to be freed, once they are paid. Where there is an
-- archive they stay, and are counted.
--   KEYS  1 board  2 what is to be freed  3 what is closing, then the list of periods of each window
--   ARGV  1 board version  2 now µs ('' = server time)  3 most periods of a window to hand on (0: there is an archive), then
--         for each list: see _close.lua
--   Gives { 'stale' } | { 'ok', periods closed, rankings to be freed, 1 if any is closing, now µs, periods that stay for the archive }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local now_us = period_clock(KEYS[1], clock_us(ARGV[2]))
local now = math.floor(now_us / 1000)
local closed = close_ended(KEYS[1], KEYS[3], now, 4, 4, #KEYS - 3)
local closing, staying, most = redis.call('EXISTS', KEYS[3]), 0, tonumber(ARGV[3])
for i = 4, #KEYS do
  local argument = 4 * (i - 3)
  local list, stem, keep, window = KEYS[i], ARGV[argument], tonumber(ARGV[argument + 1]), ARGV[argument + 2]
  local surplus = math.max(0, redis.call('ZCOUNT', list, '-inf', string.format('%.0f', now)) - keep)
  if most == 0 then staying = staying + surplus end
  surplus = math.min(surplus, most)
  for _, period in ipairs(surplus > 0 and redis.call('ZRANGE', list, 0, surplus - 1) or {}) do
    if closing == 0 or redis.call('HEXISTS', KEYS[3], window .. ':' .. period) == 0 then
      redis.call('RPUSH', KEYS[2], stem .. period)
      redis.call('ZREM', list, period)
    end
  end
end
if closed > 0 then tell(redis.call('HGET', KEYS[1], 'watched'), now_us) end
return { 'ok', closed, redis.call('LLEN', KEYS[2]), closing, string.format('%.0f', now_us), staying }
