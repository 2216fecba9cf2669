-- Looks whether what stands in the lines of keys are jobs that wait there.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 `mend` to mend, then what stands there
--   Gives { 'ok', then what _check.lua says of each fault }.
for i = 5, #ARGV do
  local member = ARGV[i]
  local key = string.match(member, '^[^%z]*')
  local priority, place, id = 9 - (tonumber(string.sub(member, #key + 2, #key + 2)) or 0), string.sub(member, #key + 3, #key + 22),
    string.sub(member, #key + 23)
  local job = job_at(id)
  local waits = job and job[STATE] == IS_READY and has(job, HAS_KEY) and not has(job, HAS_SLOT) and job[PRIORITY] == priority
    and job[PLACE] == place and key_of(job) == key
  if not waits and redis.call('ZSCORE', LINES, member) then
    fault(id, 'stands in the line of a key and does not wait there', 'taken out', function() redis.call('ZREM', LINES, member) end)
  end
end
return found
