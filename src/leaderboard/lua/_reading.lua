-- Part: what the reads share. They look at a sight: a whole ranking, or the entries of one part of its segments.
local PAST_ANY_ENTRY = string.rep('\255', 64)

-- The distinct ZSET stands at once when it is begun, and is complete when it holds its end mark.
local function distinct_ready(distinct)
  return redis.call('ZSCORE', distinct, 'end') and true or false
end

-- The ranking r as a sight: whole where the part is ''. `base` is the place of its first entry in the ZSET of segments.
local function sight_of(r, part)
  local sight = { rank = r.rank, distinct = r.distinct, segments = r.segments, from = part ~= '' and part .. '\0' }
  if not sight.from then
    sight.total = redis.call('ZCARD', r.rank)
  else
    sight.base = redis.call('ZLEXCOUNT', r.segments, '-', '(' .. sight.from)
    sight.total = segment_total(r.segments, part)
  end
  return sight
end

-- The 0-based place of an entry that stands in the ranking; false where it is not in sight.
local function place_of(sight, score, element)
  if not sight.from then return redis.call('ZRANK', sight.rank, element) end
  local place = redis.call('ZRANK', sight.segments, sight.from .. score_bytes(score) .. element)
  return place and place - sight.base
end

-- The place of the first entry with this score whose bytes are not below these.
local function place_from(sight, score, bytes)
  if not sight.from then return lower_bound(sight.rank, score, bytes) end
  return redis.call('ZLEXCOUNT', sight.segments, '[' .. sight.from, '(' .. sight.from .. score_bytes(score) .. bytes)
end

-- The place of a score, ahead of the entries that equal it or behind them.
local function place_of_score(sight, score, ahead)
  if sight.from then return place_from(sight, score, ahead and '' or PAST_ANY_ENTRY) end
  return redis.call('ZCOUNT', sight.rank, '-inf', (ahead and '(' or '') .. score)
end

-- The place that follows a position (score, ZSET member), whether that entry is still there or not.
local function place_after(sight, score, element)
  if sight.from then return place_from(sight, score, element .. '\0') end
  local stands = redis.call('ZSCORE', sight.rank, element)
  if stands and tonumber(stands) == tonumber(score) then return redis.call('ZRANK', sight.rank, element) + 1 end
  return lower_bound(sight.rank, score, element .. '\0')
end

-- { ZSET member, score, … }; scores inside a part are eight bytes each.
local function entries_in(sight, from, to)
  if not sight.from then return redis.call('ZRANGE', sight.rank, from, to, 'WITHSCORES') end
  to = math.min(to, sight.total - 1)
  if to < from then return {} end
  local entries, head = {}, #sight.from
  for i, element in ipairs(redis.call('ZRANGE', sight.segments, sight.base + from, sight.base + to)) do
    entries[2 * i - 1], entries[2 * i] = string.sub(element, head + 9), string.sub(element, head + 1, head + 8)
  end
  return entries
end

local function plain_score(sight, score)
  if score and sight.from then return string.format('%.17g', bytes_score(score)) end
  return score
end
