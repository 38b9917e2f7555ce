-- Write one whole batch of the rows, or nothing. See app/projection/rows.py and refusals.py.
--
-- KEYS: state, people whose national status is high, a key for each row
-- ARGV: state as it must be ("" for none), state as it is to be, what sources are told
--       (ToldBatch.packed, "" for nothing), the rows,
--       for each change among the high: instant of the report ("" for none), person
--
-- Returns 0, or 1 more than the count of sources that were left out for room.

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end

for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 1])
end
for i = #KEYS + 2, #ARGV, 2 do
  if ARGV[i] == '' then
    redis.call('ZREM', KEYS[2], ARGV[i + 1])
  else
    redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end

local dropped = 0

if ARGV[3] ~= '' then
  local letters, parked, limits = unpack(cmsgpack.unpack(ARGV[3]))
  local letters_max, sources_max, partitions, retention = unpack(limits)

  local function note_cut(hash, partition, offset)
    local field = 'cut:' .. partition
    if tonumber(redis.call('HGET', hash, field) or -1) < tonumber(offset) then
      redis.call('HSET', hash, field, offset)
    end
  end

  for _, letter in ipairs(letters) do
    local source, partition, offset, ms, text, place, last = unpack(letter)
    local list = 'yk:letters:' .. source .. ':' .. partition
    local hash = 'yk:source:' .. source
    redis.call('ZADD', list, offset, text)
    local over = redis.call('ZCARD', list) - letters_max
    if over > 0 then
      note_cut(hash, partition, redis.call('ZRANGE', list, over - 1, over - 1, 'WITHSCORES')[2])
      redis.call('ZREMRANGEBYRANK', list, 0, over - 1)
    end
    if place ~= '' then
      redis.call('HSET', hash, 'last:' .. place, last)
    end
    redis.call('PEXPIREAT', list, ms + retention)
    redis.call('PEXPIREAT', hash, ms + retention)
    redis.call('ZADD', 'yk:sources', 'GT', ms, source)
    redis.call('ZREMRANGEBYSCORE', 'yk:sources', '-inf', ms - retention)
  end

  while redis.call('ZCARD', 'yk:sources') > sources_max do
    local source = redis.call('ZPOPMIN', 'yk:sources')[1]
    for partition = 0, partitions - 1 do
      local list = 'yk:letters:' .. source .. ':' .. partition
      local newest = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
      if newest then
        note_cut('yk:cut', partition, newest)
        redis.call('DEL', list)
      end
    end
    redis.call('DEL', 'yk:source:' .. source)
    dropped = dropped + 1
  end

  for _, of in ipairs(parked) do
    local place, sources = unpack(of)
    local all = 'yk:parked-in:' .. place
    for _, source in ipairs(redis.call('SMEMBERS', all)) do
      redis.call('HDEL', 'yk:parked:' .. source, place)
    end
    redis.call('DEL', all)
    for _, each in ipairs(sources) do
      redis.call('SADD', all, each[1])
      redis.call('HSET', 'yk:parked:' .. each[1], place, each[2])
    end
  end
end

redis.call('SET', KEYS[1], ARGV[2])
return 1 + dropped
