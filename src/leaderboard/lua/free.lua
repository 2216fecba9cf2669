-- Frees rankings that nobody reads any more.
--   KEYS  1 what is to be freed, then all keys of the rankings
--   ARGV  the entries of these rankings in that list
--   Gives { 'ok', how many are still to go }.
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
for _, entry in ipairs(ARGV) do redis.call('LREM', KEYS[1], 1, entry) end
return { 'ok', redis.call('LLEN', KEYS[1]) }
