-- Write one whole batch of the projection, or nothing; return 0 for nothing, else 1 and how many codes
-- are left out for their version. See app/projection/codes.py.
--
-- KEYS: state, counts, changes, a key for each code, a key for each of the trends
-- ARGV: state as it must be ("" for none), state as it is to be,
--       in msgpack: changes to keep, by how much a version may leap, number of the first change, how
--       long each code is in the text (0 deletes one), how long each change is there, for each of the
--       trends: instant at which it expires (s), field, how many to add; and for each partition whose
--       count of held events changed: field of the counts, count;
--       the text: the codes and the changes, one after the other

local state, counts, changes = KEYS[1], KEYS[2], KEYS[3]
if (redis.call('GET', state) or '') ~= ARGV[1] then
  return 0
end

local changes_kept, leap_max, first, codes, told, trends, held = unpack(cmsgpack.unpack(ARGV[3]))
local text, at = ARGV[4], 1
local more = {}

-- Takes the next piece of the text.
local function piece(length)
  at = at + length
  return string.sub(text, at - length, at - 1)
end

-- A code whose version leapt would keep all others out for good.
local leapt = 0

-- Adds `by` to every count that the head of a code belongs to.
local function count(head, by)
  local colour, reasons, city = string.match(head, '^%d+ %d+ (%a+) (%S+) (%S+)')
  more[colour] = (more[colour] or 0) + by
  if city ~= '-' then
    local field = 'city:' .. city .. ':' .. colour
    more[field] = (more[field] or 0) + by
  end
  if colour == 'red' then
    for rank in string.gmatch(reasons, '%d') do
      local field = 'reason:' .. rank
      more[field] = (more[field] or 0) + by
    end
  end
end

local function version(head)
  return tonumber(string.match(head, '^%d+'))
end

for i, length in ipairs(codes) do
  local key, new = KEYS[3 + i], piece(length)
  local old = redis.call('GET', key)
  if new == '' then
    if old then
      count(old, -1)
      redis.call('DEL', key)
    end
  elseif old and version(new) - version(old) > leap_max then
    leapt = leapt + 1
  elseif not old or version(old) < version(new) then
    if old then
      count(old, -1)
    end
    count(new, 1)
    redis.call('SET', key, new)
  end
end

for field, by in pairs(more) do
  if by ~= 0 and redis.call('HINCRBY', counts, field, by) == 0 then
    redis.call('HDEL', counts, field)
  end
end

for i, length in ipairs(told) do
  local id = string.format('%d-0', first + i - 1)
  redis.call('XADD', changes, id, 'c', piece(length))
end
if #told > 0 then
  redis.call('XTRIM', changes, 'MAXLEN', changes_kept)
end

-- A minute or ten minutes have at most 200 sources by name (app/projection/trends.py). Who may write
-- to the log can invent names; the other fields are of a closed list.
local function bounded(key, field)
  if string.sub(field, 1, 11) == 'red:source:' and redis.call('HEXISTS', key, field) == 0 then
    local sources = redis.call('HINCRBY', key, 'sources', 1)
    if sources > 200 then
      redis.call('HSET', key, 'sources', 200)
      return 'red:source:other'
    end
  end
  return field
end

for i, trend in ipairs(trends) do
  local key, expires, field, by = KEYS[3 + #codes + i], unpack(trend)
  redis.call('HINCRBY', key, bounded(key, field), by)
  redis.call('EXPIREAT', key, expires)
end

for _, of_partition in ipairs(held) do
  redis.call('HSET', counts, unpack(of_partition))
end

redis.call('SET', state, ARGV[2])
return 1 + leapt
