-- Removes a member from the rankings given.
--   KEYS  1 board, then for each ranking: the keys of _ranking.lua
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 member
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', how many rankings held it }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local removed = 0
for _, r in ipairs(rankings_from(2, #KEYS - 1)) do
  local entry = entry_find(r, ARGV[4], tonumber(ARGV[2]))
  if entry.score then
    entry_remove(r, entry, tonumber(ARGV[3]))
    removed = removed + 1
  end
end
if removed > 0 then tell(redis.call('HGET', KEYS[1], 'watched'), 0) end
return { 'ok', removed }
