-- Holds every amount and takes every place, or none.
-- KEYS: a hash and a sorted set for each counter, then for each bucket.
-- ARGV: id, lease, late, forced, counters, buckets; then kind, start, length, limit, amount of each counter; then
-- length, request, token, requests, tokens, patience of each bucket.

local id, lease, late, forced = arg(), num(), arg(), arg() == '1'
local counter_count, bucket_count = num(), num()
local counters, buckets = read_counters(counter_count), {}
for i = 1, bucket_count do
  local at = 2 * (counter_count + i)
  buckets[i] = {key = KEYS[at - 1], due = KEYS[at], length = num(), time = {num(), num()}, count = {num(), num()},
                patience = num()}
end

if misdated(counters) then return {'misdated', whole(now)} end

for i, c in ipairs(counters) do
  load(c)
  open(c)
  c.known = redis.call('HEXISTS', c.key, 'l:' .. id) == 1
  if not forced and not c.known then
    local spent, held = standing(c)
    if spent + held + c.amount > c.limit then
      return {'refused', whole(now), 'counter', i - 1, whole(spent), whole(held), whole(c.w)}
    end
  end
end

local wait = 0
for i, b in ipairs(buckets) do
  local state = load_bucket(b.key)
  b.empty, b.returned = state.empty, state.returned
  local needed = 0
  for which = 1, 2 do
    local taken = b.count[which] * b.time[which]
    if taken > b.length then return {'refused', whole(now), 'bucket', i - 1, 'inf'} end
    if taken > 0 then needed = math.max(needed, math.max(now, b.empty[which]) + taken - now - b.length) end
  end
  if needed > b.patience then return {'refused', whole(now), 'bucket', i - 1, exact(needed)} end
  wait = math.max(wait, needed)
end

local reply = {'admitted', whole(now), exact(wait)}
for _, c in ipairs(counters) do
  if not c.known then
    c.h = c.h + c.amount
    redis.call('HSET', c.key, 'h', whole(c.h), 'l:' .. id, whole(c.w) .. '|' .. whole(c.amount) .. '|' .. late .. '|held')
    redis.call('ZADD', c.due, whole(now + lease), id)
  end
  if c.length > 0 then
    expire(c.key, c.due, c.w + (c.kind == 'sliding' and 2 or 1) * c.length + lease + LATE)
  end
  local spent, held = standing(c)
  reply[#reply + 1] = whole(c.w)
  reply[#reply + 1] = whole(spent + held)
end
for _, b in ipairs(buckets) do
  if not redis.call('ZSCORE', b.due, id) then
    for which = 1, 2 do
      local taken = b.count[which] * b.time[which]
      if taken > 0 then b.empty[which] = math.max(now, b.empty[which]) + taken end
    end
  end
  redis.call('ZREMRANGEBYSCORE', b.due, '-inf', whole(now))
  redis.call('ZADD', b.due, whole(now + lease + LATE), id)
  save_bucket(b.key, b)
  expire(b.key, b.due, math.max(b.empty[1], b.empty[2], now) + lease + LATE)
  for which = 1, 2 do
    reply[#reply + 1] = exact(b.empty[which])
    reply[#reply + 1] = exact(b.returned[which])
  end
end
return reply
