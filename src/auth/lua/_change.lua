-- Part: what has changed of tokens, so that processes forget what they know of them.
local CHANGES = 10000

local function note_change(changes, version, id, channel)
  redis.call('LPUSH', changes, id)
  redis.call('LTRIM', changes, 0, CHANGES - 1)
  redis.call('INCR', version)
  redis.call('PUBLISH', channel, 'tokens')
end
