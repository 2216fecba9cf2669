-- Tells of which keys jobs hold slots.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 ''  4 '', then ids
--   Gives { 'ok', for each its key, '' where it holds none }.
local keys = { 'ok' }
for i = 5, #ARGV do
  local record = redis.call('HGET', JOBS, ARGV[i])
  local readable, job = pcall(open, record or '')
  keys[#keys + 1] = record and readable and tonumber(job[TRAITS]) and has(job, HAS_SLOT) and key_of(job) or ''
end
return keys
