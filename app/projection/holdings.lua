-- Take a place in a status list for one person. See app/projection/holdings.py.
--
-- KEYS: filling, chunks, held of the person, asked of the asker. Not the state, which the view may
-- only read: whoever names a key to a script has to be let write it.
-- ARGV: person, name of a next chunk, now (s), until (s), slack of a chunk (s), held at most,
--       places of a chunk, seconds between two of one asker, phone, the asker's short name,
--       random places to try
--
-- Returns {chunk, place, state}; "often" if the asker was here a moment ago; "taken" if a next chunk is
-- needed and one of that name is there.

local filling, chunks, held, asked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local person, next_chunk = ARGV[1], ARGV[2]
local now, till = tonumber(ARGV[3]), tonumber(ARGV[4])
local gone = till + tonumber(ARGV[5])
local held_max, size, phone = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[9]

if redis.call('EXISTS', asked) == 1 then
  return 'often'
end

-- Takes one of the places that are tried; returns it, or nil if none is free. A place that was turned
-- off is not free, whether its holder is still known or not.
local function take(chunk)
  for i = 11, #ARGV do
    local off = redis.call('GETBIT', 'yk:chunk:' .. chunk, bit.bxor(tonumber(ARGV[i]), 7))
    if off == 0 and redis.call('HSETNX', 'yk:holders:' .. chunk, ARGV[i], person) == 1 then
      redis.call('INCR', 'yk:taken:' .. chunk)
      return tonumber(ARGV[i])
    end
  end
end

local chunk, place = redis.call('GET', filling), nil
if chunk and tonumber(redis.call('GET', 'yk:taken:' .. chunk) or 0) < size / 2 then
  place = take(chunk)
end
if not place then
  if redis.call('EXISTS', 'yk:chunk:' .. next_chunk) == 1 then
    return 'taken'
  end
  chunk = next_chunk
  redis.call('SET', filling, chunk)
  redis.call('SETBIT', 'yk:chunk:' .. chunk, size - 1, 0) -- the whole of it is there at once
  place = take(chunk)
end

local of_chunk = {'yk:chunk:' .. chunk, 'yk:holders:' .. chunk, 'yk:taken:' .. chunk}
for _, key in ipairs({filling, unpack(of_chunk)}) do
  redis.call('EXPIREAT', key, gone)
end
redis.call('ZREMRANGEBYSCORE', chunks, '-inf', now)
redis.call('ZADD', chunks, gone, chunk)
redis.call('EXPIREAT', chunks, gone)
redis.call('SET', asked, '', 'EX', ARGV[8])

-- Of those that the person holds: the ended ones go. If there are too many, the oldest is turned
-- off: of this phone, which has a newer one now, or else of all.
local on = {}
local all = redis.call('HGETALL', held)
for i = 1, #all, 2 do
  local ends, of = string.match(all[i + 1], '^(%d+) (%x+) ')
  if tonumber(ends) <= now then
    redis.call('HDEL', held, all[i])
  else
    on[#on + 1] = {all[i], tonumber(ends), of == phone and 0 or 1}
  end
end
table.sort(on, function(a, b)
  if a[3] ~= b[3] then
    return a[3] < b[3]
  end
  return a[2] < b[2]
end)
for i = 1, #on - held_max + 1 do
  local of, at = string.match(on[i][1], '^(%x+):(%d+)$')
  if redis.call('EXISTS', 'yk:chunk:' .. of) == 1 then
    redis.call('SETBIT', 'yk:chunk:' .. of, bit.bxor(tonumber(at), 7), 1)
  end
  redis.call('HDEL', 'yk:holders:' .. of, at)
  redis.call('HDEL', held, on[i][1])
end
redis.call('HSET', held, chunk .. ':' .. place, till .. ' ' .. phone .. ' ' .. ARGV[10] .. ' unread')
redis.call('EXPIREAT', held, gone)
return {chunk, place, redis.call('GET', 'yk:state') or ''}
