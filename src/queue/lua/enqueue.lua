-- Adds jobs.
--   KEYS  1 to 30 the keys of the queue  31 idempotency record, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none), then for each job: id  priority
--         max attempts  tail  options ('' = a plain job whose id the service made)
--   Gives { 'stale' } | { 'mismatch' } | { 'ok' or 'replayed', now ms, for each job { 'added', run at ms or 0, id } or
--   { 'duplicate', id ('' = the id is taken by another job), its record } or { 'late' } (its time is too far off) }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local first = answer_again()
if first then return first end
local answer, added = { 'ok', now }, 0
for i = 5, #ARGV, 5 do
  local result = add(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4])
  if result[1] == 'added' then added = added + 1 end
  answer[#answer + 1] = result
end
count('e', added)
tell_watchers()
wake()
return keep_answer(answer)
