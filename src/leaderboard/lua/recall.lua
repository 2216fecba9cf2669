-- Looks for the first answer of a request.
--   KEYS  1 idempotency record
--   ARGV  1 fingerprint
--   Gives { 'none' } | { 'mismatch' } | { 'replayed', label, the rest of the first answer }.
return recall(KEYS[1], ARGV[1]) or { 'none' }
