-- Removes a member from the rankings given.
--   KEYS  1 board, then for each ranking: rank ids meta distinct
--   ARGV  1 board version  2 order key width  3 sub width  4 member
--   Gives { 'stale' } or { 'ok', how many rankings held it }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local removed = 0
for i = 2, #KEYS, 4 do
  local r = { rank = KEYS[i], ids = KEYS[i + 1], meta = KEYS[i + 2], distinct = KEYS[i + 3] }
  local entry = entry_find(r, ARGV[4], tonumber(ARGV[2]))
  if entry.score then
    entry_remove(r, entry, tonumber(ARGV[3]))
    removed = removed + 1
  end
end
return { 'ok', removed }
