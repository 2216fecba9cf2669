-- Removes some of the worst entries beyond the first `keep` of one ranking.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 order key width  3 sub width  4 keep  5 most to remove
--   Gives { 'stale' } or { 'ok', entries still to go }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r = ranking_at(2)
local left = entries_trim(r, tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[2]), tonumber(ARGV[3]))
tell(redis.call('HGET', KEYS[1], 'watched'), 0)
return { 'ok', left }
