-- Part: ranks that equal rows share, and what else belongs to the entries that are shown.

-- The 1-based rank that the entry at `place` has under the way of ranking asked for.
local function shared_rank(sight, ranking, element, score, place, sub_width)
  if not element or ranking == 'ordinal' then return place + 1 end
  local sub_key = string.sub(element, 1, sub_width)
  if ranking == 'competition' then return place_from(sight, score, sub_key) + 1 end
  return redis.call('ZRANK', sight.distinct, distinct_entry(score, sub_key)) or -1
end

-- The 1-based rank that a score would have, for which there need be no entry; `place` is where it would stand.
local function rank_of_score(sight, ranking, score, place)
  if ranking == 'ordinal' then return place + 1 end
  if ranking == 'competition' then return place_of_score(sight, score, true) + 1 end
  return math.max(1, lower_bound(sight.distinct, score, ''))
end

local function fields_of(hash, names)
  if redis.call('EXISTS', hash) == 0 then return {} end
  local found = redis.call('HMGET', hash, unpack(names))
  for i = 1, #names do found[i] = found[i] or '' end
  return found
end

-- The metadata of each entry and the parts that describe it, '' where there is none; nothing at all where no entry has any.
local function belongings_of(r, entries, width)
  if #entries == 0 then return {}, {} end
  if not r.stands or r.is_bare == nil then r.is_bare = redis.call('EXISTS', r.meta, r.values) == 0 end
  if r.is_bare then return {}, {} end
  local members = {}
  for i = 1, #entries, 2 do members[#members + 1] = string.sub(entries[i], width + 1) end
  return fields_of(r.meta, members), fields_of(r.values, members)
end
