-- Frees a period that is archived.
--   KEYS  1 the list of periods, then all keys of its ranking
--   ARGV  1 its name
--   Gives { 'ok' }.
redis.call('ZREM', KEYS[1], ARGV[1])
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return { 'ok' }
