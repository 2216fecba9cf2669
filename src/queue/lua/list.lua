-- Reads jobs of a state that has a ZSET, in the order of their scores.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings  4 ''  5 number of the KEY  6 how many at most  7 score and  8 id of the
--         job to begin after ('' = the first)
--   Gives { 'ok', 1 if there may be more, for each: id, score, record }.
local set, most, from = KEYS[tonumber(ARGV[5])], tonumber(ARGV[6]), 0
if ARGV[7] ~= '' then
  local rank = redis.call('ZSCORE', set, ARGV[8]) == ARGV[7] and redis.call('ZRANK', set, ARGV[8])
  from = rank and rank + 1 or redis.call('ZCOUNT', set, '-inf', '(' .. ARGV[7])
end
local found = redis.call('ZRANGE', set, from, from + most - 1, 'WITHSCORES')
local answer, bytes = { 'ok', #found == 2 * most and 1 or 0 }, 0
for i = 1, #found, 2 do
  if bytes > 1048576 then
    answer[2] = 1
    break
  end
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = found[i + 1]
  local record = redis.call('HGET', JOBS, found[i]) or ''
  answer[#answer + 1] = record
  bytes = bytes + #record
end
return answer
