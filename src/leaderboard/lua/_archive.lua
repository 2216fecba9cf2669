-- Part: what happens to members, on its way to the archive. Where the service has one, the key of the outbox is the last.

-- The outbox of a call, or nil without an archive: `setting` is then '', else how many entries there is room for (0 = any number),
-- and what says of what they are.
local function outbox_at(setting, shape)
  local most, of = string.match(setting, '^(%d+) (.+)$')
  if not most then return nil end
  if shape then shape.subs = {} end
  return { most = tonumber(most), of = of, stream = KEYS[#KEYS], rows = {}, filled = 0, count = 0, first = 0 }
end

-- Puts in a row: stamp, member, 1 where it is hidden, how many rankings have changed, and of each number, score and subscores.
local function outbox_add(outbox, stamp, member, is_hidden, result, subs)
  local rows, from, at = outbox.rows, outbox.filled, outbox.filled + 4
  rows[from + 1], rows[from + 2], rows[from + 3], rows[from + 4] = stamp, member, is_hidden and 1 or 0, 0
  for i = 2, result and #result or 0, 5 do
    if result[i] == 1 then
      local number = (i - 2) / 5
      rows[at + 1], rows[at + 2], rows[at + 3] = outbox.first + number, result[i + 1], subs[number + 1]
      at = at + 3
    end
  end
  if result and at == from + 4 then
    -- It was trimmed at once.
    rows[from + 1], rows[from + 2], rows[from + 3], rows[from + 4] = nil, nil, nil, nil
    return
  end
  rows[from + 4], outbox.filled, outbox.count = (at - from - 4) / 3, at, outbox.count + 1
end

-- The oldest make room for one entry; a few at a time, should there be room for fewer than there are.
local function outbox_make_room(outbox)
  local length, dropped = redis.call('XLEN', outbox.stream), 0
  if length < outbox.most then return end
  local oldest = redis.call('XRANGE', outbox.stream, '-', '+', 'COUNT', math.min(length - outbox.most + 1, 16))
  for _, entry in ipairs(oldest) do dropped = dropped + entry[2][8] end
  redis.call('XTRIM', outbox.stream, 'MAXLEN', length - #oldest)
  redis.call('HINCRBY', KEYS[1], 'dropped', dropped)
end

-- Sends what was put in. `label` names the rankings; `note` is the audit entry of an act, or ''.
local function outbox_send(outbox, label, note)
  if outbox.count == 0 then return end
  if outbox.most > 0 then outbox_make_room(outbox) end
  redis.call('XADD', outbox.stream, '*', 'of', outbox.of, 'label', label, 'note', note, 'count', outbox.count,
    'rows', cmsgpack.pack(outbox.rows))
end

-- Sends an act on members that changes no score by itself. It has stamps as rows have, so that no two happen at one time.
local function outbox_act(outbox, now, note, members)
  if not outbox or #members == 0 then return end
  local stamp = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'stamp') or '0') + 1)
  for i, member in ipairs(members) do outbox_add(outbox, stamp + i - 1, member, false) end
  redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', stamp + #members - 1))
  outbox_send(outbox, '', note)
end
