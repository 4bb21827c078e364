-- Buckets are at least so full: what the provider says is left of its own limits.
-- KEYS: a hash and a sorted set for each bucket.
-- ARGV: buckets; then of each the time until it is empty, for requests and for tokens; below 0 says nothing.

for i = 1, num() do
  local key, due = KEYS[2 * i - 1], KEYS[2 * i]
  local b = load_bucket(key)
  for which = 1, 2 do
    local level = num()
    if level >= 0 then b.empty[which] = math.max(b.empty[which], now + level) end
  end
  save_bucket(key, b)
  local milliseconds = redis.call('PTTL', key)
  local least = math.ceil((math.max(b.empty[1], b.empty[2], now) - now + LATE) / 1000)
  if milliseconds < least then redis.call('PEXPIRE', key, whole(least)) end
end
return {'fed', whole(now)}
