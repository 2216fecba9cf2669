-- Part: one submission into the rankings of a leaderboard.
local TRIM_AT_ONCE = 16

-- The row that stands after the operator, as score and sub key; nil when the sum leaves the range of a double.
local function operate(entry, submission, shape)
  if not entry.score then return submission.score, submission.sub_key, true end
  local old, new = tonumber(entry.score), tonumber(submission.score)
  local old_sub = string.sub(entry.key, 1, shape.sub_width)
  if shape.operator == 'sum' then
    local sum = old + new
    local sub_key = subscores_add(old_sub, submission.sub_key, shape.directions)
    if sum - sum ~= 0 or not sub_key then return nil end
    if sum == 0 then sum = 0 end
    return string.format('%.17g', sum), sub_key, sum ~= old or sub_key ~= old_sub
  end
  local changes = new ~= old or submission.sub_key ~= old_sub
  if shape.operator == 'best' then
    changes = new < old or (new == old and bytes_less(submission.sub_key, old_sub))
  end
  if not changes then return entry.score, old_sub, false end
  return submission.score, submission.sub_key, true
end

local function rank_of(r, element, wanted)
  return wanted and redis.call('ZRANK', r.rank, element) or -1
end

-- Gives { 'ok', for each ranking: updated, score, rank, previous score, previous rank } or { 'overflow' }.
local function submit_row(rankings, submission, shape, stamp)
  local plans = {}
  for i, r in ipairs(rankings) do
    local entry = entry_find(r, submission.member, shape.width)
    local score, sub_key, changes = operate(entry, submission, shape)
    if not score then return { 'overflow' } end
    plans[i] = { r = r, entry = entry, score = score, key = sub_key .. stamp_key(stamp, shape.ties), changes = changes }
  end
  local result = { 'ok' }
  for _, plan in ipairs(plans) do
    local r, entry, old_rank, rank = plan.r, plan.entry, -1, -1
    if entry.score then old_rank = rank_of(r, entry.element, shape.ranks == 2 or (shape.ranks == 1 and not plan.changes)) end
    if plan.changes then
      local element = entry_write(r, entry, plan.score, plan.key, shape.width, shape.sub_width)
      if submission.metadata ~= '' then
        redis.call('HSET', r.meta, submission.member, submission.metadata)
      elseif entry.score then
        redis.call('HDEL', r.meta, submission.member)
      end
      if shape.keep > 0 then
        entries_trim(r, shape.keep, TRIM_AT_ONCE, shape.width, shape.sub_width)
        plan.changes = redis.call('ZSCORE', r.rank, element) and true or false
      end
      rank = rank_of(r, element, shape.ranks > 0 and plan.changes)
    else
      rank = old_rank
    end
    for _, value in ipairs({ plan.changes and 1 or 0, plan.score, rank or -1, entry.score or '', old_rank }) do
      result[#result + 1] = value
    end
  end
  return result
end
