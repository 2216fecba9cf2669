-- Looks whether jobs are in exactly one place.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings  4 1 to search LISTs, then ids
--   Gives { 'ok', for each fault: id, what is wrong }.
local places = { [IS_SCHEDULED] = SCHEDULED, [IS_ACTIVE] = LEASED, [IS_COMPLETED] = COMPLETED, [IS_DEAD] = DEAD,
  [IS_CANCELLED] = CANCELLED }
local names = { 'scheduled', 'ready', 'leased', 'completed', 'dead', 'cancelled' }
local answer = { 'ok' }

local function fault(id, text)
  answer[#answer + 1] = id
  answer[#answer + 1] = text
end

local function check_ready(id, job)
  local _, _, _, key = cmsgpack.unpack(job[TAIL])
  if has(job, HAS_KEY) and not has(job, HAS_SLOT) then
    local member = key .. '\0' .. (9 - job[PRIORITY]) .. (job[PLACE] or '') .. id
    if not redis.call('ZSCORE', LINES, member) then fault(id, 'is ready and not in the line of its key') end
  elseif not redis.call('ZSCORE', PARKED, '\1' .. job[PRIORITY] .. id) and
    not (ARGV[4] == '1' and redis.call('LPOS', KEYS[READY + job[PRIORITY]], id)) then
    fault(id, 'is ready and in no LIST')
  end
end

for i = 5, #ARGV do
  local id = ARGV[i]
  local record = redis.call('HGET', JOBS, id)
  local job = record and open(record)
  for state, set in pairs(places) do
    local score = redis.call('ZSCORE', set, id)
    local belongs = job and job[STATE] == state
    if score and not belongs then fault(id, 'stands in ' .. names[state] .. ' and is not') end
    if belongs and not score then fault(id, 'is ' .. names[state] .. ' and does not stand there') end
    if belongs and state == IS_ACTIVE and tonumber(score or -1) ~= job[DEADLINE] then fault(id, 'has two deadlines') end
  end
  if job and job[STATE] == IS_READY then check_ready(id, job) end
  if not job and redis.call('ZSCORE', EXPIRING, id) then fault(id, 'expires and has no record') end
  if job and has(job, EXPIRES) and job[ATTEMPT] == 0 and job[STATE] <= IS_READY and not redis.call('ZSCORE', EXPIRING, id) then
    fault(id, 'does not expire as it should')
  end
  if job and job[STATE] > IS_ACTIVE and has(job, HAS_SLOT) then fault(id, 'has ended and holds a slot of its key') end
end
return answer
