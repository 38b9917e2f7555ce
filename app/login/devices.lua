-- Give a family its next number, if the one that is shown is its newest. See app/login/devices.py.
--
-- KEYS: the family
-- ARGV: the number shown, now (ms), how long the former number is taken (ms), now (text), seconds to
--       keep the family
-- Returns what came of it, and the newest number. Of several requests with one number at the same
-- time one turns it, and the others are told the number that it turned to.

local family = redis.call('HMGET', KEYS[1], 'number', 'turned_ms')
local newest, turned_ms = tonumber(family[1]), tonumber(family[2] or '0')
local shown, now_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
if not newest then
  return {'none', 0}
elseif shown == newest then
  redis.call('HSET', KEYS[1], 'number', newest + 1, 'turned_ms', now_ms, 'used', ARGV[4])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  return {'turned', newest + 1}
elseif shown == newest - 1 and now_ms - turned_ms <= tonumber(ARGV[3]) then
  return {'former', newest}
end
redis.call('DEL', KEYS[1])
return {'reused', newest}
