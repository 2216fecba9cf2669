-- Part: the keys of a ranking. A call names them one after another: rank, ids, meta, distinct, hidden, segments, values.
local RANKING_KEYS = 7

local function ranking_at(key)
  return {
    rank = KEYS[key], ids = KEYS[key + 1], meta = KEYS[key + 2], distinct = KEYS[key + 3], hidden = KEYS[key + 4],
    segments = KEYS[key + 5], values = KEYS[key + 6],
  }
end

-- The rankings whose keys begin there.
local function rankings_from(key, count)
  local rankings = {}
  for i = key, key + count - 1, RANKING_KEYS do rankings[#rankings + 1] = ranking_at(i) end
  return rankings
end
