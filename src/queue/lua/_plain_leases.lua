-- Part: leases of plain jobs.

-- Takes up to `wanted` ready jobs. Where one is not plain all go back, and it gives false.
local function take_plain(wanted, taken, records)
  local popped, bytes = {}, 0
  -- A few first: large ones come in smaller numbers than are wanted, so that no call takes long.
  while #taken < wanted and bytes < 1048576 do
    local step = #taken > 0 and bytes < 4096 * #taken and wanted - #taken or math.min(wanted - #taken, 4)
    local list = redis.call('LMPOP', 10, KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19],
      KEYS[20], 'LEFT', 'COUNT', step)
    if not list then return true end
    popped[#popped + 1] = list
    local priority, found = tonumber(string.sub(list[1], -1)), redis.call('HMGET', KEYS[2], unpack(list[2]))
    for i, id in ipairs(list[2]) do
      local record = found[i]
      local state, of, traits
      if record then
        local head = { cmsgpack.unpack_limit(record, 17, 0) }
        state, of, traits = head[2], head[3], head[17]
      end
      if string.byte(id) == 1 or (state == 2 and traits % 16 ~= 0) then
        for back = #popped, 1, -1 do
          local line = popped[back][2]
          for place = #line, 1, -1 do redis.call('LPUSH', KEYS[20 - tonumber(string.sub(popped[back][1], -1))], line[place]) end
        end
        return false
      end
      if state == 2 and of == priority then
        taken[#taken + 1], records[#records + 1] = id, record
        bytes = bytes + #record
      end
    end
  end
  return true
end

local function leased(record, now, lease_ms, worker, token)
  local offset, _, priority, attempt, most, enqueued, run_at, ready_at, _, _, _, _, _, _, _, errors, traits, place =
    cmsgpack.unpack_limit(record, 17, 0)
  return cmsgpack.pack(3, priority, attempt + 1, most, enqueued, run_at, ready_at, now, nil, now + lease_ms,
    (attempt + 1) .. '-' .. token, worker, nil, nil, errors, traits, place) .. string.sub(record, offset + 1)
end
