-- Says which answers from archived periods hold from now on.
--   KEYS  1 the era
--   ARGV  1 its name  2 for how many ms it is known
--   Gives { 1 }.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return { 1 }
