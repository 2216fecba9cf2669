-- Notes shards that may have something for the archive though they are gone; also on a full server, where that is about to make room.
--   KEYS  1 the list of such shards
--   ARGV  1 number and name of a shard, then further ones
--   Gives { 'ok' }.
for _, shard in ipairs(ARGV) do redis.call('ZADD', KEYS[1], 0, shard) end
return { 'ok' }
