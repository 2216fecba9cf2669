-- Part: totals that decay, for the operator `sum` with a half-life. A total x at a time t is kept as
--   sign(x) * (DECAY_OFFSET + log2|x| + half-lives from the leaderboard's creation until t), and 0 as 0,
-- so that what stands decays without being written, and the order of what is kept is that of the totals at any time. The
-- offset keeps the bracket above 0 for every double. The Rust side (decay.rs) holds the same format.
local DECAY_OFFSET, LN_2, LARGEST = 1100, math.log(2), 1.7976931348623157e308

-- How old a leaderboard is at a time (µs), in whole half-lives and the rest of one; nil where its totals do not decay.
-- `setting` is its half-life and its creation in µs, or ''.
local function decay_age(setting, now)
  local half_life, created = string.match(setting, '^(%d+) (%d+)$')
  if not half_life then return nil end
  local past = math.max(0, now - created)
  local rest = past % half_life
  return { whole = (past - rest) / half_life, part = rest / half_life }
end

local function decay_encode(total, age)
  if total == 0 then return 0 end
  local mantissa, exponent = math.frexp(math.abs(total))
  local bracket = DECAY_OFFSET + exponent + age.whole + (math.log(mantissa) / LN_2 + age.part)
  return total < 0 and -bracket or bracket
end

local function decay_decode(kept, age)
  if kept == 0 then return 0 end
  local power = math.abs(kept) - DECAY_OFFSET - age.whole - age.part
  local whole = math.floor(power)
  local total = math.min(LARGEST, math.ldexp(2 ^ (power - whole), whole))
  return kept < 0 and -total or total
end

-- A kept total as it is shown: with the digits that its distance from the next one leaves true, and 12 at most.
local function score_shown(kept, age)
  if not age then return kept end
  kept = tonumber(kept)
  local _, exponent = math.frexp(kept)
  local digits = math.max(1, math.min(12, math.floor((53 - exponent) * 0.30103)))
  return string.format('%.' .. digits .. 'g', decay_decode(kept, age))
end

-- What is kept of a standing total (or false) and new points, an empty sub key, and whether it changed; nil when the sum
-- leaves the range of a double.
local function decay_add(standing, points, age)
  points = tonumber(points)
  if standing and points == 0 then return standing, '', false end
  local sum = points + (standing and decay_decode(tonumber(standing), age) or 0)
  if sum - sum ~= 0 then return nil end
  local kept = string.format('%.17g', decay_encode(sum, age))
  return kept, '', not standing or tonumber(kept) ~= tonumber(standing)
end
