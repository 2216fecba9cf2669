-- Part: one submission into the rankings of a leaderboard.
local TRIM_AT_ONCE = 16

-- How entries are kept, and what is to be answered.
local function shape_of(operator, ties, directions, keep, ranks)
  local sub_width, width = #directions * SUBSCORE_WIDTH, ties == 'member' and 0 or STAMP_WIDTH
  -- Positions are asked for where ranks are those of several shards.
  return { none = (ranks == 3 or ranks < 0) and '' or -1, operator = operator, ties = ties, directions = directions, keep = keep, ranks = ranks, sub_width = sub_width, width = sub_width + width }
end

-- The row that stands after the operator, as score, sub key and whether it changed; nil when a sum leaves the range of a
-- double.
local function operate(entry, score, sub_key, shape)
  local set = shape.operator == 'set'
  if shape.age then return decay_add(not set and entry.score, score, shape.age) end
  if set or not entry.score then return score, sub_key, true end
  local old, new = tonumber(entry.score), tonumber(score)
  local old_sub_key = shape.sub_width > 0 and string.sub(entry.key, 1, shape.sub_width) or ''
  if shape.operator == 'sum' then
    local sum = old + new
    sub_key = subscores_add(old_sub_key, sub_key, shape.directions)
    if sum - sum ~= 0 or not sub_key then return nil end
    if sum == 0 then sum = 0 end
    return string.format('%.17g', sum), sub_key, sum ~= old or sub_key ~= old_sub_key
  end
  local changes = new ~= old or sub_key ~= old_sub_key
  if shape.operator == 'best' then
    changes = new < old or (new == old and sub_key ~= old_sub_key and bytes_less(sub_key, old_sub_key))
  end
  if not changes then return entry.score, old_sub_key, false end
  return score, sub_key, true
end

-- Whether the sum of any ranking would leave the range of a double, before anything is written.
local function overflows(rankings, member, hash, score, sub_key, shape)
  for _, r in ipairs(rankings) do
    if not operate(entry_find(r, member, shape.width, hash), score, sub_key, shape) then return true end
  end
  return false
end

-- Submits a row. Gives { 'ok', for each ranking: updated, score, rank, previous score, previous rank } or the refusal, and
-- whether anything changed.
local function submit_row(rankings, member, hash, score, sub_key, metadata, given, shape, stamp)
  -- One ranking without dimensions finds out before it writes.
  local looks = shape.operator == 'sum' and (#rankings > 1 or shape.dimensions)
  if looks and overflows(rankings, member, hash, score, sub_key, shape) then return { 'overflow' }, false end
  local parts, refusal_of_row = describe(rankings, member, given, shape.dimensions, shape.described)
  if refusal_of_row then return refusal_of_row, false end
  local result, changed = { 'ok' }, false
  for i = 1, #rankings do
    local r = rankings[i]
    local entry = entry_find(r, member, shape.width, hash)
    local new_score, new_sub_key, changes = operate(entry, score, sub_key, shape)
    if not new_score then return { 'overflow' }, false end
    local rank, old_rank = shape.none, shape.none
    if entry.score and (shape.ranks >= 2 or (shape.ranks == 1 and not changes)) then
      old_rank = shape.ranks == 3 and entry.element or redis.call('ZRANK', r.rank, entry.element)
    end
    if changes then
      changed = true
      if shape.subs then shape.subs[i] = new_sub_key end
      local key = new_sub_key .. stamp_key(stamp, shape.ties)
      local element = entry_write(r, entry, new_score, key, metadata, shape.width, shape.sub_width, parts)
      if shape.keep > 0 then
        entries_trim(r, shape.keep, TRIM_AT_ONCE, shape.width, shape.sub_width)
        changes = redis.call('ZSCORE', r.rank, element) and true or false
      end
      if shape.ranks > 0 and changes then rank = shape.ranks == 3 and element or redis.call('ZRANK', r.rank, element) end
    else
      rank = old_rank
      if parts then segments_move(r, entry, parts, entry.score, entry.element) end
    end
    local at = #result
    result[at + 1], result[at + 2], result[at + 3] = changes and 1 or 0, score_shown(new_score, shape.age), rank
    result[at + 4], result[at + 5] = entry.score and score_shown(entry.score, shape.age) or '', old_rank
  end
  return result, changed
end
