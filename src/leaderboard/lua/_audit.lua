-- Part: what administrators did, the newest last.
local AUDIT_ENTRIES = 10000

-- `names` and further values are fields of their own.
local function audit(log, id, now, entry, ...)
  redis.call('XADD', log, 'MAXLEN', AUDIT_ENTRIES, id, 'at', string.format('%.0f', math.floor(now / 1000)), 'entry', entry, ...)
end
