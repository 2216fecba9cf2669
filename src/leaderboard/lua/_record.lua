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

-- Remembers a call: its request by the head, its answer by its own record.
local function remember_call(head, record, fingerprint, label, answer, lifetime)
  remember(head, fingerprint, '', {}, lifetime)
  remember(record, fingerprint, label, answer, lifetime)
end

-- What a call under this fingerprint is answered at once, or nil: its request may have begun with other items, or it may have
-- been made before.
local function recall_call(head, record, fingerprint)
  local begun, first_answer = recall(head, fingerprint), recall(record, fingerprint)
  if begun and begun[1] == 'mismatch' then return begun end
  return first_answer
end
