-- Try a code against a challenge: use up a right one, or count a wrong try. See app/travel/codes.py.
--
-- KEYS: the challenge
-- ARGV: MAC of the code that is tried, now (ms)
-- Returns what came of it, and how many tries are left.
--
-- The comparison of MACs need not take constant time: who tries a code cannot choose its MAC, so the
-- time tells nothing about the right one.

local challenge = redis.call('HMGET', KEYS[1], 'mac', 'until_ms', 'left', 'used')
local mac, until_ms, left, used = challenge[1], tonumber(challenge[2]), tonumber(challenge[3]), challenge[4]
if not mac then
  return {'none', 0}
elseif used then
  return {'used', 0}
elseif tonumber(ARGV[2]) >= until_ms then
  return {'expired', 0}
elseif left < 1 then
  return {'spent', 0}
elseif mac == ARGV[1] then
  redis.call('HSET', KEYS[1], 'used', '1')
  return {'good', left}
end
left = redis.call('HINCRBY', KEYS[1], 'left', -1)
return {left > 0 and 'wrong' or 'spent', left}
