-- Gives what is known of profiles.
--   KEYS  the profiles
--   ARGV  1 now µs ('' = server time)
--   Gives { now ms, for each what is known of it: until when it is fresh (ms), a space, its JSON; '' where nothing is }.
local answer = { string.format('%.0f', math.floor(clock_us(ARGV[1]) / 1000)) }
for i = 1, #KEYS do answer[i + 1] = redis.call('GET', KEYS[i]) or '' end
return answer
