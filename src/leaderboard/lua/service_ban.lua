-- Sets or lifts a service-wide ban, and notes that the leaderboards are still to meet it.
--   KEYS  1 state  2 bans  3 names of the banned  4 pending  5 audit; with an archive its outbox at last
--   ARGV  1 member  2 'h', 's' or '' (lift)  3 the ban's JSON  4 audit entry  5 now µs ('' = server time)  6 most bans
--         7 outbox (see _archive.lua)
--   Gives { 'full' } | { 'absent' } | { 'ok', what is pending, ban before or '', ban or '' }.
local now, before = clock_us(ARGV[5]), redis.call('HGET', KEYS[2], ARGV[1]) or ''
local millis, ban = string.format('%.0f', math.floor(now / 1000)), ''
if ARGV[2] == '' then
  if before == '' then return { 'absent' } end
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  if before == '' and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[6]) then return { 'full' } end
  ban = ARGV[2] .. millis .. ' ' .. ARGV[3]
  redis.call('HSET', KEYS[2], ARGV[1], ban)
  redis.call('ZADD', KEYS[3], 0, ARGV[1])
end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
local pending = version .. ' ' .. millis
redis.call('HSET', KEYS[4], ARGV[1], pending)
-- The ids are the versions, without a gap: so processes read there what has changed since theirs.
audit(KEYS[5], version .. '-0', now, ARGV[4], 'member', ARGV[1], 'ban', ARGV[2])
outbox_act(outbox_at(ARGV[7]), now, ARGV[4], { ARGV[1] })
return { 'ok', pending, before, ban }
