-- Removes the members with the best scores within a range from all open rankings.
--   KEYS  1 board  2 audit, then for each open ranking: the keys of _ranking.lua, the one that is searched first; with an
--         archive its outbox at last
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 lowest and 5 highest score as the ranking keeps it
--         6 most to remove  7 now µs ('' = server time)  8 audit entry  9 how totals decay (see _decay.lua)
--         10 outbox (see _archive.lua)
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', how many are left in the range, ZSET member, score, … }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local outbox = outbox_at(ARGV[10])
local rankings, width, sub_width = rankings_from(3, #KEYS - (outbox and 3 or 2)), tonumber(ARGV[2]), tonumber(ARGV[3])
local searched, now = rankings[1].rank, clock_us(ARGV[7])
local age = decay_age(ARGV[9], now)
local function as_kept(score)
  if not age or string.find(score, 'inf', 1, true) then return score end
  return string.format('%.17g', decay_encode(tonumber(score), age))
end
local low, high = as_kept(ARGV[4]), as_kept(ARGV[5])
local found = redis.call('ZRANGEBYSCORE', searched, low, high, 'WITHSCORES', 'LIMIT', 0, ARGV[6])
local removed, names, members = { 'ok', 0 }, {}, {}
for i = 1, #found, 2 do
  local member = string.sub(found[i], width + 1)
  removed[#removed + 1], removed[#removed + 2] = found[i], score_shown(found[i + 1], age)
  names[#names + 1], names[#names + 2], members[#members + 1] = 'member', member, member
  for _, r in ipairs(rankings) do
    local entry = entry_find(r, member, width)
    if entry.score then entry_remove(r, entry, sub_width) end
  end
end
if #names > 0 then audit(KEYS[2], '*', now, ARGV[8], unpack(names)) end
outbox_act(outbox, now, ARGV[8], members)
tell(redis.call('HGET', KEYS[1], 'watched'), 0)
removed[2] = redis.call('ZCOUNT', searched, low, high)
return removed
