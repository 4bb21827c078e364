-- Where counters and buckets stand; a look begins no window.
-- KEYS: a hash and a sorted set for each counter, then for each bucket.
-- ARGV: counters, buckets; then kind, start, length, limit, amount of each counter.

local counter_count, bucket_count = num(), num()
local counters = read_counters(counter_count)
if misdated(counters) then return {'misdated', whole(now)} end

local reply = {'peeked', whole(now)}
for _, c in ipairs(counters) do
  load(c)
  local start, spent, held = 0, 0, 0
  if c.w and window(c) then
    open(c)
    start = c.w
    spent, held = standing(c)
  end
  reply[#reply + 1] = whole(start)
  reply[#reply + 1] = whole(spent)
  reply[#reply + 1] = whole(held)
end
for i = 1, bucket_count do
  local b = load_bucket(KEYS[2 * (counter_count + i) - 1])
  reply[#reply + 1] = exact(math.max(0, b.empty[1] - now))
  reply[#reply + 1] = exact(math.max(0, b.empty[2] - now))
end
return reply
