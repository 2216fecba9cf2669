-- Gives what was read of an archived job lately, or begins to read it.
--   KEYS  1 who reads it  2 the job
--   ARGV  1 who asks  2 for how many ms others wait
--   Gives { 'kept', the job ('' = there is none) } | { 'begun' } | { 'busy' } (another reads it).
local kept = redis.call('GET', KEYS[2])
if kept then return { 'kept', kept } end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return { 'begun' } end
return { 'busy' }
