-- Closes the open period of a window now.
--   KEYS  1 board  2 what is closing, then the idempotency record (if there is a fingerprint), then the list of periods of
--         each window, then where the window does not reset the keys of its open ranking, and those under its start
--   ARGV  1 asked (see _period.lua)  2 now µs ('' = server time)  3 new version  4 starts given by hand of the other windows
--         5 fingerprint ('' = none)  6 record lifetime ms  7 window  8 its period  9 when that began, ms  10 number of its list
--         11 number of lists, then for each list: see _close.lua
--   Gives { 'stale' } | { 'period', now µs } | { 'mismatch' } | { 'ok' or 'replayed', the period }.
local record, lists = nil, 3
if ARGV[5] ~= '' then
  record, lists = KEYS[3], 4
  local first_answer = recall(record, ARGV[5])
  if first_answer then return first_answer end
end
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
-- Two periods never have one name, nor does one end in a span that has been closed.
local now = math.floor(period_clock(KEYS[1], clock_us(ARGV[2])) / 1000)
local ended = math.max(now, ARGV[9] + 1, closed_until(KEYS[1]) + 1)
local ended_text, count = string.format('%.0f', ended), tonumber(ARGV[11])
redis.call('ZADD', KEYS[lists + ARGV[10] - 1], ended_text, ARGV[8])
local open, half = lists + count, (#KEYS - lists - count + 1) / 2
for i = open, open + half - 1 do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], KEYS[i + half]) end
end
close_ended(KEYS[1], KEYS[2], ended, lists, 12, count)
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'starts', ARGV[4] .. ARGV[7] .. ' ' .. ended_text .. '\n')
-- The next section may begin when this one did; its periods are still to be noted. The floor keeps the time.
redis.call('HDEL', KEYS[1], 'section')
tell(redis.call('HGET', KEYS[1], 'watched'), 0)
if record then remember(record, ARGV[5], ARGV[8], { 'ok' }, ARGV[6]) end
return { 'ok', ARGV[8] }
