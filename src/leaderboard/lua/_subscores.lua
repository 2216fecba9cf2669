-- Part: adding subscores, for the operator `sum`.
-- A subscore is its IEEE 754 bits, made sortable (sign bit set if positive, all bits turned if negative), turned once
-- more for a descending column, and written as ten bytes 0x80 + 7 bits. The Rust side holds the same format.
local SUBSCORE_WIDTH = 10

-- Adds column by column; nil when a sum leaves the range of a double. One function, since the operators that do not add
-- would make the inner ones for nothing.
local function subscores_add(old, new, directions)
  local function subscore_unpack(text, descending)
    local bits = {}
    for i = 1, SUBSCORE_WIDTH do
      local value = string.byte(text, i) - 128
      for b = 6, 0, -1 do bits[#bits + 1] = math.floor(value / 2 ^ b) % 2 end
    end
    local turn = descending
    local positive = (bits[7] == 1) ~= turn
    local bytes = {}
    for i = 0, 7 do
      local value = 0
      for b = 1, 8 do
        local bit = bits[6 + i * 8 + b]
        local flip = turn ~= (not positive or (i == 0 and b == 1))
        if flip then bit = 1 - bit end
        value = value * 2 + bit
      end
      bytes[#bytes + 1] = string.char(value)
    end
    return (struct.unpack('>d', table.concat(bytes)))
  end

  local function subscore_pack(number, descending)
    local raw = struct.pack('>d', number + 0)
    local negative = string.byte(raw, 1) >= 128
    local value, filled, out = 0, 6, {}
    for i = 1, 8 do
      local byte = string.byte(raw, i)
      for b = 7, 0, -1 do
        local bit = math.floor(byte / 2 ^ b) % 2
        local flip = descending ~= (negative or (i == 1 and b == 7))
        if flip then bit = 1 - bit end
        value, filled = value * 2 + bit, filled + 1
        if filled == 7 then
          out[#out + 1] = string.char(128 + value)
          value, filled = 0, 0
        end
      end
    end
    return table.concat(out)
  end

  local out = {}
  for i = 1, #directions do
    local from, descending = (i - 1) * SUBSCORE_WIDTH, string.sub(directions, i, i) == 'd'
    local a = subscore_unpack(string.sub(old, from + 1, from + SUBSCORE_WIDTH), descending)
    local b = subscore_unpack(string.sub(new, from + 1, from + SUBSCORE_WIDTH), descending)
    local sum = a + b
    if sum - sum ~= 0 then return nil end
    if sum == 0 then sum = 0 end
    out[i] = subscore_pack(sum, descending)
  end
  return table.concat(out)
end
