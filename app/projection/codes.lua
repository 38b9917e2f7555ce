-- Write one whole batch of the projection, or nothing; return 0 for nothing, else 1 and how many codes
-- are left out for their version. See app/projection/codes.py.
--
-- KEYS: state, counts, changes, a key for each code, a key for each of the trends
-- ARGV: state as it must be ("" for none), state as it is to be, changes to keep,
--       number of the first change, count of codes, count of changes,
--       the codes ("" deletes one), the changes,
--       for each of the trends: instant at which it expires (s), field, how many to add,
--       for each partition whose count of held events changed: field of the counts, count

local state, counts, changes = KEYS[1], KEYS[2], KEYS[3]
if (redis.call('GET', state) or '') ~= ARGV[1] then
  return 0
end

local codes_n, changes_n = tonumber(ARGV[5]), tonumber(ARGV[6])
local more = {}

-- More than a code changes between two batches. One that leapt would keep all others out for good.
local leap_max, leapt = 1000000, 0

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

for i = 1, codes_n do
  local key, new = KEYS[3 + i], ARGV[6 + i]
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

local first = tonumber(ARGV[4])
for i = 1, changes_n do
  local id = string.format('%d-0', first + i - 1)
  redis.call('XADD', changes, id, 'c', ARGV[6 + codes_n + i])
end
if changes_n > 0 then
  redis.call('XTRIM', changes, 'MAXLEN', ARGV[3])
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

local at = 6 + codes_n + changes_n
for i = 4 + codes_n, #KEYS do
  redis.call('HINCRBY', KEYS[i], bounded(KEYS[i], ARGV[at + 2]), ARGV[at + 3])
  redis.call('EXPIREAT', KEYS[i], ARGV[at + 1])
  at = at + 3
end

for i = at + 1, #ARGV, 2 do
  redis.call('HSET', counts, ARGV[i], ARGV[i + 1])
end

redis.call('SET', state, ARGV[2])
return 1 + leapt
