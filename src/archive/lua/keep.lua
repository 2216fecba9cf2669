-- Keeps what was read from the archive, if nothing newer was written since the read began, and ends the read.
--   KEYS  1 who reads  2 the job
--   ARGV  1 who has read  2 the job  3 for how many ms (0: it is not kept)
--   Gives { 1 if it is kept }.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 0 } end
redis.call('UNLINK', KEYS[1])
if ARGV[3] == '0' then return { 0 } end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return { 1 }
