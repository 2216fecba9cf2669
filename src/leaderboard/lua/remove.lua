-- Removes a member from the rankings given, and what is remembered of it.
--   KEYS  1 board  2 what describes members  3 audit, then for each ranking: the keys of _ranking.lua; with an archive its outbox at
--         last
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 member  5 now µs ('' = server time)
--         6 audit entry ('' = none)  7 outbox (see _archive.lua)
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', how many rankings held it }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
redis.call('HDEL', KEYS[2], ARGV[4])
local removed, outbox = 0, outbox_at(ARGV[7])
for _, r in ipairs(rankings_from(4, #KEYS - (outbox and 4 or 3))) do
  local entry = entry_find(r, ARGV[4], tonumber(ARGV[2]))
  if entry.score then
    entry_remove(r, entry, tonumber(ARGV[3]))
    removed = removed + 1
  end
  removed = removed + redis.call('HDEL', r.hidden, ARGV[4])
end
if removed > 0 and ARGV[6] ~= '' then
  audit(KEYS[3], '*', clock_us(ARGV[5]), ARGV[6])
  outbox_act(outbox, clock_us(ARGV[5]), ARGV[6], { ARGV[4] })
end
if removed > 0 then tell(redis.call('HGET', KEYS[1], 'watched'), 0) end
return { 'ok', removed }
