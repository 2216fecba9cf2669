-- Removes all that one shard has of a member: its entries in the rankings given, hidden ones included, its ranks in their snapshots,
-- its ban, what describes it, and the log of its submissions.
--   KEYS  1 board  2 what describes members  3 bans  4 names of those banned here  5 log of the member's submissions, then for each
--         ranking: the keys of _ranking.lua, then the snapshots of each
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 member  5 its hash  6 how many rankings
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', how many rankings held it, 1 if there was anything }.
local SNAPSHOT_RECORDS = 64
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local member, snapshots_from = ARGV[4], #KEYS - ARGV[6] + 1
local removed, found = 0, redis.call('HDEL', KEYS[2], member) + redis.call('UNLINK', KEYS[5])
if redis.call('HGET', KEYS[3], member) then
  redis.call('ZREM', KEYS[4], member)
  ban_note(KEYS[1], KEYS[3], member, '')
  found = found + 1
end

-- Takes the member's record out of a bucket of a snapshot.
local function forget_rank(snapshots, field)
  local bucket = redis.call('HGET', snapshots, field) or ''
  local from, to = string.find(bucket, '\1' .. member .. '\0', 1, true)
  if not from then return end
  local behind = string.find(bucket, '\1', to, true)
  redis.call('HSET', snapshots, field, string.sub(bucket, 1, from - 1) .. (behind and string.sub(bucket, behind) or ''))
  found = found + 1
end

for i = snapshots_from, #KEYS do
  for taken, entries in string.gmatch(redis.call('HGET', KEYS[i], 'list') or '', '(%d+)=(%d+)') do
    local buckets = math.max(1, math.ceil(entries / SNAPSHOT_RECORDS))
    forget_rank(KEYS[i], taken .. ':' .. string.format('%.0f', ARGV[5] % buckets))
  end
end
for _, r in ipairs(rankings_from(6, snapshots_from - 6)) do
  local entry = entry_find(r, member, tonumber(ARGV[2]))
  if entry.score then
    entry_remove(r, entry, tonumber(ARGV[3]))
    removed = removed + 1
  end
  removed = removed + redis.call('HDEL', r.hidden, member)
end
-- A snapshot that is being taken of what was there before is not kept.
if removed > 0 then redis.call('HINCRBY', KEYS[1], 'erased', 1) end
if removed > 0 then tell(redis.call('HGET', KEYS[1], 'watched'), 0) end
return { 'ok', removed, removed + found > 0 and 1 or 0 }
