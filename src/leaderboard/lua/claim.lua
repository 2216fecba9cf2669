-- Binds idempotency keys to requests, before the shards of their members are asked.
--   KEYS  the records
--   ARGV  1 lifetime ms, then for each its fingerprint and a note
--   Gives for each { 'claimed' }, { 'mismatch' } where it is bound to another request, or { 'known', the first note }.
local claimed = {}
for i, record in ipairs(KEYS) do
  local fingerprint = ARGV[2 * i]
  local first = recall(record, fingerprint)
  if not first then remember(record, fingerprint, ARGV[2 * i + 1], {}, ARGV[1]) end
  if first and first[1] == 'replayed' then first = { 'known', first[2] } end
  claimed[i] = first or { 'claimed' }
end
return claimed
