-- Tells what of an outbox is still to be archived.
--   KEYS  1 outbox
--   Gives { 'ok', entries, ms since the oldest of them came }.
local left, age = outbox_left(KEYS[1])
return { 'ok', left, age }
