-- Part: idempotency records: the fingerprint of a request, a label that says how to read the answer, and the answer.

-- { 'replayed', label, the rest of the first answer }, { 'mismatch' } where the record is of another request, or nil.
local function recall(record, fingerprint)
  local stored = redis.call('GET', record)
  if not stored then return nil end
  local first = cmsgpack.unpack(stored)
  if first[1] ~= fingerprint then return { 'mismatch' } end
  local answer = first[3]
  answer[1] = 'replayed'
  table.insert(answer, 2, first[2])
  return answer
end

local function remember(record, fingerprint, label, answer, lifetime)
  redis.call('SET', record, cmsgpack.pack({ fingerprint, label, answer }), 'PX', lifetime)
end
