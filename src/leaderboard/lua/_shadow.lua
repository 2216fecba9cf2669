-- Part: one submission of a member that is banned without being told.

-- As `submit_row`, but into what is hidden: the ranks are those that its rows would have among what is seen.
local function submit_hidden(rankings, member, _, score, sub_key, metadata, given, shape, stamp)
  local rows, changed = {}, false
  for i, r in ipairs(rankings) do
    local entry = hidden_find(r, member)
    local new_score, new_sub_key, changes = operate(entry, score, sub_key, shape)
    if not new_score then return { 'overflow' }, false end
    rows[i] = { entry, new_score, new_sub_key, changes }
  end
  -- Nobody sees its values, so they are never too many.
  local parts, result = describe({}, member, given, shape.dimensions, shape.described), { 'ok' }
  for i, r in ipairs(rankings) do
    local entry, new_score, changes = rows[i][1], rows[i][2], rows[i][4]
    local rank, old_rank = shape.none, shape.none
    if entry.score and (shape.ranks >= 2 or (shape.ranks == 1 and not changes)) then
      old_rank = shape.ranks == 3 and entry.key .. member or lower_bound(r.rank, entry.score, entry.key .. member)
    end
    if changes then
      changed = true
      if shape.subs then shape.subs[i] = rows[i][3] end
      local key = rows[i][3] .. stamp_key(stamp, shape.ties)
      rank = shape.ranks == 3 and key .. member or lower_bound(r.rank, new_score, key .. member)
      changes = shape.keep == 0 or rank < shape.keep
      if changes then
        hidden_write(r, entry, new_score, key, metadata, parts)
      else
        -- Kept out, as by trimming.
        redis.call('HDEL', r.hidden, member)
        rank = shape.none
      end
      if shape.ranks <= 0 then rank = shape.none end
    else
      rank = old_rank
      if parts then hidden_write(r, entry, entry.score, entry.key, entry.metadata, parts) end
    end
    local at = #result
    result[at + 1], result[at + 2], result[at + 3] = changes and 1 or 0, score_shown(new_score, shape.age), rank
    result[at + 4], result[at + 5] = entry.score and score_shown(entry.score, shape.age) or '', old_rank
  end
  return result, changed
end
