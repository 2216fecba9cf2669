-- Part: who is banned. The HASH `bans` of a leaderboard has its own bans, member -> 'h' (its submissions are refused) or 's'
-- (they are hidden) and the rest; and '-' for members whose entries are hidden because of a service-wide ban. The board's
-- field `bans` counts them. Of service-wide bans each call brings those of its members ('h', 's' or ''), with the version
-- that they were read under; `bans_seen` of the board is the latest version that the leaderboard has been brought to.

-- Whether a call goes by older service-wide bans than the leaderboard. One that has seen none yet is told first.
local function bans_behind(seen, known)
  return not seen or tonumber(seen) > tonumber(known)
end

local function ban_note(board, bans, member, value)
  if value == '' then redis.call('HDEL', bans, member) else redis.call('HSET', bans, member, value) end
  redis.call('HSET', board, 'bans', redis.call('HLEN', bans))
end

-- How a member is banned, 'h' or 's', or nil. One with a service-wide ban that the leaderboard has not met yet is hidden in
-- the rankings given; where it was lifted, its entries stay hidden until the leaderboard has met that, too.
local function ban_of(board, bans, count, rankings, member, everywhere, shape)
  if everywhere == '' and (count or '0') == '0' then return nil end
  local own = string.sub(redis.call('HGET', bans, member) or '', 1, 1)
  if own == 'h' or everywhere == 'h' then return 'h' end
  if own == '' then
    if everywhere == '' then return nil end
    hide(rankings, member, shape)
    ban_note(board, bans, member, '-')
  end
  return 's'
end
