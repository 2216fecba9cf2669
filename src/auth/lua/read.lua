-- Reads tokens.
--   KEYS  the tokens
--   ARGV  1 now µs ('' = server time)
--   Gives { now µs }, and for each token a list of facts, digest, created ms, end ms or '', digest before the last rotation,
--         until when that opens (ms), last use (ms), with '' for what there is not; an empty one where there is no such token.
local answer = { string.format('%.0f', clock_us(ARGV[1])) }
for i = 1, #KEYS do
  local fields = redis.call('HMGET', KEYS[i], 'facts', 'digest', 'created', 'expires', 'previous', 'overlap', 'used')
  local token = {}
  if fields[1] then
    for j = 1, 7 do token[j] = fields[j] or '' end
  end
  answer[i + 1] = token
end
return answer
