-- Begins to ask for profiles, but for those that are fresh by now, that another one asks for, or that could not be had lately.
--   KEYS  1 who asks for a profile  2 the profile, then the same for each further one
--   ARGV  1 now µs ('' = server time)  2 who asks  3 for how many ms others wait
--   Gives { for each 'begun' | 'busy' | 'failed' | until when it is fresh (ms), a space, its JSON }.
local now, answer = clock_us(ARGV[1]) / 1000, {}
for i = 1, #KEYS, 2 do
  local said = redis.call('GET', KEYS[i + 1])
  local fresh_until = said and tonumber(string.match(said, '^%d+')) or 0
  if fresh_until <= now then
    local asks = redis.call('GET', KEYS[i])
    said = asks == '-' and 'failed' or 'busy'
    if not asks then
      redis.call('SET', KEYS[i], ARGV[2], 'PX', ARGV[3])
      said = 'begun'
    end
  end
  answer[#answer + 1] = said
end
return answer
