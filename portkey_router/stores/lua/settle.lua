-- What was held under an id becomes what it cost; a second time changes nothing.
-- KEYS: a hash and a sorted set for each counter, then for each bucket.
-- ARGV: id, counters, buckets; then kind, length, cost, alerts and so many amounts of each counter; then for requests
-- and tokens of each bucket the time to give back, and the mark of the reservation (end, returned).

local id, counter_count, bucket_count = arg(), num(), num()
local reply = {'settled', whole(now)}

for i = 1, counter_count do
  local c = {key = KEYS[2 * i - 1], due = KEYS[2 * i], kind = arg(), length = num()}
  local cost, alerts = num(), {}
  for n = 1, num() do alerts[n] = num() end
  local lease = redis.call('HGET', c.key, 'l:' .. id)
  if lease then
    redis.call('HDEL', c.key, 'l:' .. id)
    redis.call('ZREM', c.due, id)
    local start, amount, _, state = parse(lease)
    load(c)
    local present = add(c, start, cost - (state == 'spend' and amount or 0), state == 'held' and -amount or 0)
    if present then
      local spent = c.s + math.ceil(c.ps * reach(c))
      for _, amount_told in ipairs(alerts) do
        if c.a < amount_told and amount_told <= spent then
          c.a = amount_told
          reply[#reply + 1] = i - 1
          reply[#reply + 1] = whole(amount_told)
          reply[#reply + 1] = whole(spent)
        end
      end
    end
    save(c)
  end
end

for i = 1, bucket_count do
  local at = 2 * (counter_count + i)
  local key, due = KEYS[at - 1], KEYS[at]
  local back, marks = {}, {}
  for which = 1, 2 do
    back[which] = num()
    marks[which] = {num(), num()}
  end
  local score = redis.call('ZSCORE', due, id)
  redis.call('ZREM', due, id)
  if score and tonumber(score) > now and redis.call('EXISTS', key) == 1 then
    local b = load_bucket(key)
    for which = 1, 2 do
      if back[which] < 0 then
        b.empty[which] = math.max(now, b.empty[which]) - back[which]
      elseif back[which] > 0 then
        -- No more than of its own place is still to come: what has passed may have let others in already.
        local to_come = marks[which][1] - math.max(0, b.returned[which] - marks[which][2]) - now
        local given = math.min(back[which], math.max(0, to_come))
        b.empty[which] = b.empty[which] - given
        b.returned[which] = b.returned[which] + given
      end
    end
    save_bucket(key, b)
  end
end
return reply
