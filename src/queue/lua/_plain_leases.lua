-- Part: leases of plain jobs.

-- Leases up to `wanted` ready jobs: gives their ids and records one after another, and the scores and ids of their leases. The callers,
-- who begin at `from` in ARGV, have theirs one after another. Where a job is not plain all go back, and it gives nothing.
local function lease_plain(wanted, now, from)
  local jobs, leases, count, bytes, popped = {}, {}, 0, 0, {}
  local caller, before, upto = from, 0, tonumber(ARGV[from])
  local deadlines = {}
  -- A few first: large ones come in smaller numbers than are wanted, so that no call takes long.
  while count < wanted and bytes < 1048576 do
    local step = count > 0 and bytes < 4096 * count and wanted - count or math.min(wanted - count, 4)
    local list = call('LMPOP', 10, KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19],
      KEYS[20], 'LEFT', 'COUNT', step)
    if not list then break end
    popped[#popped + 1] = list
    local ids = list[2]
    local line, found = tonumber(sub(list[1], -1)), call('HMGET', KEYS[2], unpack(ids))
    for i, id in ipairs(ids) do
      local record = found[i]
      local offset, state, priority, attempt, most, enqueued, run_at, ready_at, _, errors, traits, place
      if record then
        offset, state, priority, attempt, most, enqueued, run_at, ready_at, _, _, _, _, _, _, _, errors, traits, place =
          unpack_limit(record, 17, 0)
      end
      if string.byte(id) == 1 or (state == 2 and traits % 16 ~= 0) then
        for back = #popped, 1, -1 do
          local line = popped[back][2]
          for place = #line, 1, -1 do call('LPUSH', KEYS[20 - tonumber(sub(popped[back][1], -1))], line[place]) end
        end
        return nil
      end
      if state == 2 and priority == line then
        while count >= upto do
          caller, before = caller + 6, upto
          upto = upto + ARGV[caller]
        end
        local lease_ms, worker = ARGV[caller + 1], ARGV[caller + 2]
        local deadline = now + lease_ms
        local score = deadlines[lease_ms]
        if not score then
          score = string.format('%.0f', deadline)
          deadlines[lease_ms] = score
        end
        local at = 2 * count
        count = count + 1
        bytes = bytes + #record
        leases[at + 1], leases[at + 2] = score, id
        jobs[at + 1], jobs[at + 2] = id, pack(3, priority, attempt + 1, most, enqueued, run_at, ready_at, now, nil, deadline,
          (attempt + 1) .. '-' .. ARGV[caller + 5] .. (count - before), worker ~= '' and worker or nil, nil, nil, errors, traits, place)
          .. sub(record, offset + 1)
      end
    end
  end
  return jobs, leases
end
