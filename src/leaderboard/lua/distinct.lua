-- Takes the next step in building the ZSET of distinct rows, which dense ranks need. The scripts that write keep it from
-- the moment that it stands.
--   KEYS  1 rank  2 distinct
--   ARGV  1 after score ('' = from the start)  2 after sub key  3 sub width  4 most rows to look at
--   Gives { 'done' } or { 'more', score, sub key }.
local PAST_ANY_ENTRY = string.rep('\255', 9)
local sub_width = tonumber(ARGV[3])
-- Freed since it was read: nothing must be left of it.
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'done' } end
if ARGV[1] == '' then redis.call('ZADD', KEYS[2], '-inf', 'start') end
if redis.call('EXISTS', KEYS[2]) == 0 then return { 'more', '', '' } end
local from = 0
if ARGV[1] ~= '' then from = lower_bound(KEYS[1], ARGV[1], ARGV[2] .. PAST_ANY_ENTRY) end
local rows = redis.call('ZRANGE', KEYS[1], from, from + ARGV[4] - 1, 'WITHSCORES')
local score, sub_key = ARGV[1], ARGV[2]
for i = 1, #rows, 2 do
  local row_sub_key = string.sub(rows[i], 1, sub_width)
  if rows[i + 1] ~= score or row_sub_key ~= sub_key then
    score, sub_key = rows[i + 1], row_sub_key
    redis.call('ZADD', KEYS[2], score, distinct_entry(score, sub_key))
  end
end
if #rows < 2 * ARGV[4] then
  redis.call('ZADD', KEYS[2], '+inf', 'end')
  return { 'done' }
end
return { 'more', score, sub_key }
