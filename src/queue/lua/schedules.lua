-- Reads schedules by name.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings  4 ''  5 the name to begin after ('' = the first)  6 how many at most
--         7 only this one ('' = any)
--   Gives { 'missing' } | { 'ok', 1 if there are more, for each: name, next tick or -1, definition }.
if redis.call('HEXISTS', QUEUE, 'version') == 0 then return { 'missing' } end
local names = ARGV[7] ~= '' and { ARGV[7] } or redis.call('HKEYS', SCHEDULES)
table.sort(names)
local answer, most = { 'ok', 0 }, tonumber(ARGV[6])
for _, schedule in ipairs(names) do
  local definition = schedule > ARGV[5] and redis.call('HGET', SCHEDULES, schedule)
  if definition then
    if #answer == 2 + 3 * most then
      answer[2] = 1
      break
    end
    answer[#answer + 1] = schedule
    answer[#answer + 1] = redis.call('ZSCORE', TICKS, schedule) or -1
    answer[#answer + 1] = definition
  end
end
return answer
