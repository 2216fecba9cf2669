-- Sets a member's row in open rankings, whatever the operator.
--   KEYS  1 board  2 bans  3 audit  4 what describes members, then for each open ranking: the keys of _ranking.lua, then the list of periods of each
--         window that resets; with an archive its outbox at last
--   ARGV  1 board version  2 now µs ('' = server time)  3 ties  4 subscore directions ('d'/'a' each)  5 max entries (0 = all)
--         6 keys of rankings and periods  7 section (see _period.lua)  8 version of the service-wide bans  9 's' where one is
--         the member's, or ''  10 number of the ranking (0 = all)  11 member  12 its hash  13 score  14 sub key  15 metadata
--         16 audit entry  17 how totals decay (see _decay.lua)  18 dimensions (see _describe.lua)
--         19 ranks (2 new and previous, 3 positions)  20 the earliest time in µs  21 outbox (see _archive.lua)
--   Gives { 'stale' } | { 'period', now µs } | { 'bans' } (there are newer service-wide ones) | { 'crowded', dimension }
--         | { 'ok', for each ranking set: updated, score, rank, previous score, previous rank }.
local board = redis.call('HMGET', KEYS[1], 'version', 'stamp', 'bans', 'bans_seen')
if board[1] ~= ARGV[1] then return { 'stale' } end
if bans_behind(board[4], ARGV[8]) then return { 'bans' } end
local section, now = section_at(KEYS[1], ARGV[7], clock_us(ARGV[2]), tonumber(ARGV[6]))
if not section then return { 'period', string.format('%.0f', now) } end
local open, only = rankings_from(5, section.count), tonumber(ARGV[10])
local rankings = only > 0 and { open[only] } or open
local shape = shape_of('set', ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[19]))
shape.age = decay_age(ARGV[17], now)
if ARGV[18] ~= '' then shape.dimensions, shape.described = dimensions_of(ARGV[18]), KEYS[4] end
local outbox, stamp = outbox_at(ARGV[21], shape), math.max(now, tonumber(board[2] or '0') + 1, math.min(tonumber(ARGV[20]), now + 1000000))
local banned = ban_of(KEYS[1], KEYS[2], board[3], open, ARGV[11], ARGV[9], shape)
local submit = banned and submit_hidden or submit_row
local result, changed = submit(rankings, ARGV[11], tonumber(ARGV[12]), ARGV[13], ARGV[14], ARGV[15], '', shape, stamp)
if result[1] ~= 'ok' then return result end
if outbox or shape.ties ~= 'member' then redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', stamp)) end
if section.new_periods then note_periods(KEYS[1], section, outbox and #KEYS or #KEYS + 1) end
tell(redis.call('HGET', KEYS[1], 'watched'), 0)
audit(KEYS[3], '*', now, ARGV[16])
if outbox and changed then
  outbox.first = math.max(0, only - 1)
  outbox_add(outbox, stamp, ARGV[11], banned, result, shape.subs)
  outbox_send(outbox, section.label, ARGV[16])
end
return result
