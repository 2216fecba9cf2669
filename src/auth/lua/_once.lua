-- Part: idempotency: a record is a list of the request's fingerprint and the rest of the first answer.

-- { 'replayed', … }, { 'mismatch' } where the record is of another request, or nil.
local function answer_again(record, fingerprint)
  local stored = record and redis.call('GET', record)
  if not stored then return nil end
  local answer = cmsgpack.unpack(stored)
  if answer[1] ~= fingerprint then return { 'mismatch' } end
  answer[1] = 'replayed'
  return answer
end

local function keep_answer(record, fingerprint, lifetime, answer)
  if not record then return answer end
  answer[1] = fingerprint
  redis.call('SET', record, cmsgpack.pack(answer), 'PX', lifetime)
  answer[1] = 'ok'
  return answer
end
