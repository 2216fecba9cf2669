-- Notes a queue that may have something for the archive though it is gone; also on a full server, where it is about to make room.
--   KEYS  1 the list of such queues
--   ARGV  1 name of the queue
--   Gives { 'ok' }.
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return { 'ok' }
