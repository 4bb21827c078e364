-- The ledger's state in Redis, and its arithmetic; it stands before each of the ledger's scripts. `ledger/books.py`
-- does the same in Python, step by step, and one test runs both.
--
-- Money is in nano-dollars, time in microseconds: doubles, exact up to 2^53. A counter is a hash (w: its window's start,
-- s: spent, h: held, ps and ph: those of the window before, a: the highest alert told) with a field `l:<id>` for each
-- lease ("start|amount|late|state"), and beside it a sorted set of ids by when they are due. A bucket is a hash (re, te:
-- when it will be empty, for requests and tokens; rs, ts: the time ever given back), and a sorted set of ids.

local LATE, SWEPT = 3600000000, 64

local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])

local next_arg = 0
local function arg() next_arg = next_arg + 1; return ARGV[next_arg] end
local function num() return tonumber(arg()) end
local function whole(n) return string.format('%.0f', n) end
local function exact(n) return string.format('%.17g', n) end

local function read_counters(count)
  local counters = {}
  for i = 1, count do
    counters[i] = {key = KEYS[2 * i - 1], due = KEYS[2 * i], kind = arg(), start = num(), length = num(),
                   limit = num(), amount = num()}
  end
  return counters
end

local function misdated(counters)
  for _, c in ipairs(counters) do
    if c.kind == 'calendar' and (now < c.start or now >= c.start + c.length) then return true end
  end
  return false
end

local function load(c)
  local v = redis.call('HMGET', c.key, 'w', 's', 'h', 'ps', 'ph', 'a')
  c.w = tonumber(v[1])
  c.s, c.h = tonumber(v[2]) or 0, tonumber(v[3]) or 0
  c.ps, c.ph, c.a = tonumber(v[4]) or 0, tonumber(v[5]) or 0, tonumber(v[6]) or 0
end

local function save(c)
  redis.call('HSET', c.key, 'w', whole(c.w), 's', whole(c.s), 'h', whole(c.h), 'ps', whole(c.ps), 'ph', whole(c.ph),
             'a', whole(c.a))
end

-- When the present window began; nil for a fixed one that nothing has begun.
local function window(c)
  if c.kind == 'sliding' then return now - now % c.length end
  if c.kind ~= 'fixed' then return c.start end
  if c.w and now < c.w + c.length then return c.w end
  return nil
end

-- Begins the window at `start`, unless it, or a later one, has begun; whether it did.
local function roll(c, start)
  if c.w and start <= c.w then return false end
  if c.kind == 'sliding' and c.w and c.w + c.length == start then
    c.ps, c.ph = c.s, c.h
  else
    c.ps, c.ph = 0, 0
  end
  c.w, c.s, c.h, c.a = start, 0, 0, 0
  return true
end

-- Adds to the window that began at `start`; whether that is the present one. Older ones are forgotten.
local function add(c, start, spent, held)
  if start == c.w then
    c.s, c.h = c.s + spent, c.h + held
    return true
  end
  if c.kind == 'sliding' and c.w and start + c.length == c.w then
    c.ps, c.ph = c.ps + spent, c.ph + held
  end
  return false
end

local function parse(lease)
  local start, amount, late, state = string.match(lease, '^(%d+)|(%d+)|(%a+)|(%a+)$')
  return tonumber(start), tonumber(amount), late, state
end

-- Settles leases that have run out; forgets those that have been settled so for long; whether there were any.
local function sweep(c)
  local late = redis.call('ZRANGEBYSCORE', c.due, '-inf', whole(now), 'LIMIT', 0, SWEPT)
  for _, id in ipairs(late) do
    local lease = redis.call('HGET', c.key, 'l:' .. id)
    if lease then
      local start, amount, late, state = parse(lease)
      if state == 'held' then
        add(c, start, late == 'spend' and amount or 0, -amount)
        redis.call('HSET', c.key, 'l:' .. id, whole(start) .. '|' .. whole(amount) .. '|' .. late .. '|' .. late)
        redis.call('ZADD', c.due, whole(now + LATE), id)
      else
        redis.call('HDEL', c.key, 'l:' .. id)
        redis.call('ZREM', c.due, id)
      end
    else
      redis.call('ZREM', c.due, id)
    end
  end
  return #late > 0
end

local function open(c)
  local rolled, swept = roll(c, window(c) or now), sweep(c)
  if rolled or swept then save(c) end
end

-- The share of the window before that is still in reach.
local function reach(c)
  if c.kind ~= 'sliding' or not c.w then return 0 end
  return math.max(0, math.min(c.length, c.length - (now - c.w))) / c.length
end

local function standing(c)
  local share = reach(c)
  return c.s + math.ceil(c.ps * share), c.h + math.ceil(c.ph * share)
end

local function expire(key, due, at)
  local milliseconds = whole(math.ceil((at - now) / 1000))
  redis.call('PEXPIRE', key, milliseconds)
  redis.call('PEXPIRE', due, milliseconds)
end

local function load_bucket(key)
  local v = redis.call('HMGET', key, 're', 'te', 'rs', 'ts')
  return {empty = {tonumber(v[1]) or 0, tonumber(v[2]) or 0}, returned = {tonumber(v[3]) or 0, tonumber(v[4]) or 0}}
end

local function save_bucket(key, b)
  redis.call('HSET', key, 're', exact(b.empty[1]), 'te', exact(b.empty[2]),
             'rs', exact(b.returned[1]), 'ts', exact(b.returned[2]))
end
