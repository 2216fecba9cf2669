-- Part: what a check has found, as what it is about, what is wrong, and what was done; where ARGV[4] is 1 it is mended.
local found = { 'ok', 0 }

local function fault(about, wrong, done, mend)
  local at, mends = #found, ARGV[4] == '1'
  found[at + 1], found[at + 2], found[at + 3] = about, wrong, mends and done or ''
  if mends then mend() end
  return mends
end
