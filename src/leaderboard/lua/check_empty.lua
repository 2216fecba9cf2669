-- Looks whether a ranking without entries has anything that only entries have.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 ''  3 ''  4 1 to mend
--   Gives { 'stale' } or { 'ok', 0, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r = ranking_at(2)
if redis.call('EXISTS', r.rank) == 0 and redis.call('EXISTS', r.ids, r.meta, r.distinct, r.segments, r.values) > 0 then
  fault('', 'there are no entries, and something of entries', 'removed', function()
    redis.call('UNLINK', r.ids, r.meta, r.distinct, r.segments, r.values)
  end)
end
return found
