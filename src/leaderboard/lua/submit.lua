-- Submits scores to a leaderboard: each enters every ranking that is open now, or changes nothing.
--   KEYS  1 board  2 bans  3 head record  4 own record (3 and 4 of a call with a fingerprint alone), then for each section,
--         for each ranking: its keys, then the list of periods of each window that resets, then what describes
--         members (if dimensions), then for each submission: its record (if it has a fingerprint), its limit log (if limited),
--         and at last the outbox (with an archive)
--   ARGV  1 board version  2 now µs ('' = server time)  3 operator  4 ties  5 subscore directions ('d'/'a' each)
--         6 max entries (0 = all)  7 submission limit (0 = none)  8 limit window µs  9 keys of rankings and periods
--         10 ranks (0 none, 1 new, 2 new and previous; of a shard 3 ZSET members, -1 none)  11 record lifetime ms  12 fingerprint of the call or ''
--         13 sections (see _period.lua)  14 note of the call  15 how totals decay (see _decay.lua)  16 version of the
--         service-wide bans  17 dimensions (see _describe.lua)  18 of a shard the earliest time (µs) of each submission, with
--         commas, or ''  19 outbox (see _archive.lua), then for each submission: member, its hash, score, sub key,
--         metadata, fingerprint, values of dimensions, service-wide ban ('h', 's' or '')
--   Gives { 'stale' } | { 'period', now µs } (no section holds now) | { 'bans' } (there are newer
--         service-wide ones) | { 'mismatch' } | { number of the section (of a shard a space and the latest time), a result
--         for each submission } | { 'replayed', label and note of the call, … }; a result is { 'ok', for each ranking:
--         updated, score, rank, previous score, previous rank } | { 'replayed', label, … } | { 'mismatch' }
--         | { 'closed' } | { 'banned' } | { 'limited', retry ms } | { 'overflow' } | { 'crowded', dimension }
local board = redis.call('HMGET', KEYS[1], 'version', 'stamp', 'bans', 'bans_seen', 'watched')
if board[1] ~= ARGV[1] then return { 'stale' } end
if bans_behind(board[4], ARGV[16]) then return { 'bans' } end
local head = ARGV[12] ~= '' and KEYS[3]
local answer = head and recall_call(head, KEYS[4], ARGV[12])
if answer then return answer end
local next_key = head and 5 or 3
local section, now = section_at(KEYS[1], ARGV[13], clock_us(ARGV[2]), tonumber(ARGV[9]))
if not section then return { 'period', string.format('%.0f', now) } end
local rankings = rankings_from(next_key + section.first, section.count)
next_key = next_key + ARGV[9]
local rows_from, shape = next_key, shape_of(ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[10]))
if ARGV[17] ~= '' then shape.dimensions, shape.described, next_key = dimensions_of(ARGV[17]), KEYS[next_key], next_key + 1 end
shape.age = decay_age(ARGV[15], now)
local limit, limit_us, lifetime = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[11]
local stamp, results, outbox = math.max(now, tonumber(board[2] or '0') + 1), { section.number }, outbox_at(ARGV[19], shape)
local counted, closed, any = false, section.refused, false
local earliest = ARGV[18] ~= '' and string.gmatch(ARGV[18], '%d+')
for i = 20, #ARGV, 8 do
  if earliest then stamp = math.max(stamp, math.min(tonumber(earliest()), now + 1000000)) end
  local fingerprint, record, log, result, changed = ARGV[i + 5], nil, nil, nil, false
  if fingerprint ~= '' then record, next_key = KEYS[next_key], next_key + 1 end
  if limit > 0 then log, next_key = KEYS[next_key], next_key + 1 end
  if record then result = recall(record, fingerprint) end
  if closed and not result then result = refused(closed, #results) end
  local ban = not result and ban_of(KEYS[1], KEYS[2], board[3], rankings, ARGV[i], ARGV[i + 7], shape)
  if ban == 'h' then result = { 'banned' } end
  result = result or (log and limited(log, limit, limit_us, now, false))
  if not result then
    result, changed = (ban and submit_hidden or submit_row)(
      rankings, ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 6], shape, stamp)
    if changed and outbox then outbox_add(outbox, stamp, ARGV[i], ban, result, shape.subs) end
    if changed then stamp, any = stamp + 1, true end
    if result[1] == 'ok' then
      counted = true
      if log then limited(log, limit, limit_us, now, true) end
      if record then remember(record, fingerprint, section.label, result, lifetime) end
    end
  end
  results[#results + 1] = result
end
if any and (outbox or shape.ties ~= 'member') then redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', stamp - 1)) end
if outbox then outbox_send(outbox, section.label, '') end
if any or (counted and shape.dimensions) then tell(board[5], now) end
if counted and section.new_periods then note_periods(KEYS[1], section, rows_from) end
if head and counted then remember_call(head, KEYS[4], ARGV[12], section.label .. '\n' .. ARGV[14], results, lifetime) end
if ARGV[18] ~= '' then results[1] = string.format('%d %.0f', results[1], stamp) end
return results
