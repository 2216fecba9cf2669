-- Tells which service-wide bans were set or lifted since a version.
--   KEYS  1 state  2 audit
--   ARGV  1 version  2 most changes
--   Gives { version, for each of the changes that are still listed: version, member, ban ('h', 's' or '') }.
local changes = { tonumber(redis.call('HGET', KEYS[1], 'version') or '0') }
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])) do
  local at = #changes
  changes[at + 1], changes[at + 2], changes[at + 3] = tonumber(string.match(entry[1], '^%d+')), entry[2][6], entry[2][8]
end
return changes
