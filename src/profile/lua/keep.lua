-- Ends asking for profiles, and keeps what was told. What another one asks for by now is left to that one.
--   KEYS  1 who asks for a profile  2 the profile, then the same for each further one
--   ARGV  1 now µs ('' = server time)  2 who has asked, then for each profile its JSON ('' = it could not be had), for how many ms
--         it is fresh (or nobody asks again), and for how many it is kept
--   Gives { how many are kept }.
local now, kept = clock_us(ARGV[1]) / 1000, 0
for i = 1, #KEYS, 2 do
  local at = 3 + 3 * (i - 1) / 2
  local json, fresh_ms, kept_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('GET', KEYS[i]) == ARGV[2] then
    if json == '' then
      redis.call('SET', KEYS[i], '-', 'PX', fresh_ms)
    else
      redis.call('SET', KEYS[i + 1], string.format('%.0f ', now + fresh_ms) .. json, 'PX', kept_ms)
      redis.call('UNLINK', KEYS[i])
      kept = kept + 1
    end
  end
end
return { kept }
