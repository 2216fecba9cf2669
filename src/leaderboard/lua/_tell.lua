-- Part: telling those who watch a leaderboard that it has changed.

-- `watched` is that field of the board: until when (µs) somebody watches, the channel and the message. It is false where
-- nobody ever did, so a change that nobody watches costs no command more. `now` is 0 where a script has no clock: a message
-- too many does no harm.
local function tell(watched, now)
  if not watched then return end
  local till, channel, message = string.match(watched, '^(%d+) (%S+) (.+)$')
  if now < tonumber(till) then redis.call('PUBLISH', channel, message) end
end
