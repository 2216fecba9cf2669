-- Part: idempotency: the first answer to a request is kept under its key, and given again.
local KEPT_MS = 24 * 3600 * 1000

-- The answer that is there already, or nil.
local function answer_again()
  if ARGV[4] == '' then return nil end
  local kept = redis.call('GET', KEYS[31])
  if not kept then return nil end
  local first = cmsgpack.unpack(kept)
  if first[1] ~= ARGV[4] then return { 'mismatch' } end
  first[2][1] = 'replayed'
  return first[2]
end

local function keep_answer(answer)
  if ARGV[4] ~= '' then redis.call('SET', KEYS[31], cmsgpack.pack({ ARGV[4], answer }), 'PX', KEPT_MS) end
  return answer
end
