-- Gives what has changed of tokens.
--   KEYS  1 key of the tags  2 changes  3 version of the changes
--   ARGV  1 the version that is known  2 how many changes to give at most
--   Gives { key of the tags or '', version, ids that have changed since }; no ids where not all of them are known any more.
local version = tonumber(redis.call('GET', KEYS[3]) or 0)
local answer, since = { redis.call('GET', KEYS[1]) or '', version }, version - ARGV[1]
if since < 1 or since > tonumber(ARGV[2]) then return answer end
local ids = redis.call('LRANGE', KEYS[2], 0, since - 1)
if #ids < since then return answer end
for i = 1, #ids do answer[i + 2] = ids[i] end
return answer
