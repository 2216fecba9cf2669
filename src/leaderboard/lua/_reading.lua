-- Part: what the reads share.

-- The distinct ZSET stands at once when it is begun, and is complete when it holds its end mark.
local function distinct_ready(distinct)
  return redis.call('ZSCORE', distinct, 'end') and true or false
end

-- The 0-based place that follows a position (score, ZSET member), whether that entry is still there or not.
local function place_after(rank, score, element)
  local stands = redis.call('ZSCORE', rank, element)
  if stands and tonumber(stands) == tonumber(score) then return redis.call('ZRANK', rank, element) + 1 end
  return lower_bound(rank, score, element .. '\0')
end

-- The 1-based rank that the entry at `place` has under the way of ranking asked for.
local function shared_rank(r, ranking, element, score, place, sub_width)
  if not element or ranking == 'ordinal' then return place + 1 end
  local sub_key = string.sub(element, 1, sub_width)
  if ranking == 'competition' then return lower_bound(r.rank, score, sub_key) + 1 end
  return redis.call('ZRANK', r.distinct, distinct_entry(score, sub_key)) or -1
end

-- The 1-based rank that a score would have, for which there need be no entry; `place` is where it would stand.
local function rank_of_score(r, ranking, score, place)
  if ranking == 'ordinal' then return place + 1 end
  if ranking == 'competition' then return lower_bound(r.rank, score, '') + 1 end
  return math.max(1, lower_bound(r.distinct, score, ''))
end

local function metadata_of(r, entries, width)
  if #entries == 0 or redis.call('EXISTS', r.meta) == 0 then return {} end
  local members = {}
  for i = 1, #entries, 2 do members[#members + 1] = string.sub(entries[i], width + 1) end
  local found = redis.call('HMGET', r.meta, unpack(members))
  for i = 1, #members do found[i] = found[i] or '' end
  return found
end
