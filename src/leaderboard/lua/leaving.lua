-- Notes that a period is being freed in all shards.
--   KEYS  1 what is being freed
--   ARGV  1 WINDOW:PERIOD
--   Gives { 'ok' }.
redis.call('HSET', KEYS[1], ARGV[1], '')
return { 'ok' }
