-- Sets or lifts a member's ban on a leaderboard, or meets a service-wide one, and hides or shows its entries.
--   KEYS  1 board  2 bans  3 names of those banned here  4 audit, then for each open ranking: the keys of _ranking.lua; with an
--         archive its outbox at last
--   ARGV  1 asked (see _period.lua)  2 version of the service-wide bans  3 member  4 its service-wide ban ('h', 's' or '')
--         5 'set', 'lift' or 'meet'  6 'h' or 's'  7 the ban's JSON  8 audit entry  9 now µs ('' = server time)  10 order key width
--         11 sub width  12 max entries (0 = all)  13 most bans  14 outbox (see _archive.lua)
--   Gives { 'stale' } | { 'period', now µs } | { 'bans' } (there are newer service-wide ones) | { 'full' } | { 'absent' }
--         | { 'ok', ban before or '', ban or '' }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local seen = redis.call('HGET', KEYS[1], 'bans_seen')
if bans_behind(seen, ARGV[2]) then return { 'bans' } end
local bans, member, verb = KEYS[2], ARGV[3], ARGV[5]
local shape = { width = tonumber(ARGV[10]), sub_width = tonumber(ARGV[11]), keep = tonumber(ARGV[12]) }
local outbox, now = outbox_at(ARGV[14]), clock_us(ARGV[9])
local rankings = rankings_from(5, #KEYS - (outbox and 5 or 4))
local before = redis.call('HGET', bans, member) or ''
local banned_here = before ~= '' and before ~= '-'
local ban = banned_here and before or ''
if verb == 'set' then
  if not banned_here and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[13]) then return { 'full' } end
  ban = ARGV[6] .. string.format('%.0f ', math.floor(now / 1000)) .. ARGV[7]
  redis.call('ZADD', KEYS[3], 0, member)
elseif verb == 'lift' then
  if not banned_here then return { 'absent' } end
  ban = ''
  redis.call('ZREM', KEYS[3], member)
elseif tonumber(ARGV[2]) > tonumber(seen) then
  redis.call('HSET', KEYS[1], 'bans_seen', ARGV[2])
end

local after = ban
if ban == '' and ARGV[4] ~= '' then after = '-' end
if after ~= '' then
  -- Where nothing is hidden a service-wide ban needs no note.
  if not hide(rankings, member, shape) and ban == '' and before == '' then after = '' end
elseif before ~= '' then
  show(rankings, member, shape)
end
if after ~= before then ban_note(KEYS[1], bans, member, after) end
if after ~= before then tell(redis.call('HGET', KEYS[1], 'watched'), 0) end
if ARGV[8] ~= '' then
  audit(KEYS[4], '*', now, ARGV[8])
  outbox_act(outbox, now, ARGV[8], { member })
end
return { 'ok', banned_here and before or '', ban }
