"""Times to live in a server from which keys are taken: none goes before it was taken.

Scripts for the server itself: Redis and Valkey, with hashes whose fields expire since 7.4 and 9.0.
"""

from __future__ import annotations

#: Milliseconds by which each key and field lives longer: ten years.
SPARE = 3650 * 86_400_000

#: Of a hash, each field with a time to live in batches: their names, and when that is over (-2: it
#: is). Where a log is read, HRANDFIELD of Redis has those, too, which HKEYS has not.
_FIELDS = """
local function each(key, names, act)
  for first = 1, #names, 1000 do
    local some = {unpack(names, first, math.min(first + 999, #names))}
    local ends = redis.call('HPEXPIRETIME', key, 'FIELDS', #some, unpack(some))
    for at, name in ipairs(some) do
      if ends[at] ~= -1 then act(name, ends[at]) end
    end
  end
end
local function set(key, moment, ...)
  return redis.call('HPEXPIREAT', key, string.format('%.0f', moment), ...)
end
local known = not redis.pcall('HPEXPIRETIME', 'mngdb', 'FIELDS', 1, 'mngdb').err
local function expiring(key)
  return known and redis.call('TYPE', key).ok == 'hash'
    and redis.call('OBJECT', 'ENCODING', key) ~= 'listpack'
end
"""

#: For a log that is read, while nothing expires. ARGV: SPARE, the moment that is wanted, now. Redis
#: does not tell when a field expired, only whether that was before some time, if it then lives
#: until that: it gets up to a sixteenth more than it had at that moment, and a second at least.
LENGTHEN = f"""{_FIELDS}
local spare, moment, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function over(key, names)
  local ends, step = moment, 1000
  while #names > 0 do
    local left = {{}}
    local done = set(key, ends, 'GT', 'FIELDS', #names, unpack(names))
    for at, name in ipairs(names) do
      if done[at] ~= 1 then
        left[#left + 1] = name
      elseif ends > moment then
        set(key, ends + spare, 'FIELDS', 1, name)
      end
    end
    if ends > now then break end
    names, ends, step = left, moment + step, step * 17 / 16
  end
end
local function lengthen(key)
  local gone = {{}}
  each(key, redis.call('HRANDFIELD', key, redis.call('HLEN', key)), function(name, ends)
    if ends > 0 then set(key, ends + spare, 'FIELDS', 1, name) else gone[#gone + 1] = name end
    if #gone == 1000 then over(key, gone); gone = {{}} end
  end)
  over(key, gone)
end
for number = 0, 1e9 do
  local found = redis.pcall('SELECT', number)
  if found.err then break end
  local cursor = '0'
  repeat
    local answer = redis.call('SCAN', cursor, 'COUNT', 1000)
    cursor = answer[1]
    for _, key in ipairs(answer[2]) do
      local ends = redis.call('PEXPIRETIME', key)
      if ends > 0 then
        redis.call('PEXPIREAT', key, string.format('%.0f', ends + spare))
      end
      if expiring(key) then lengthen(key) end
    end
  until cursor == '0'
end
"""

#: Has the fields of hashes live on from now as they did at a moment, so that DUMP gives them so.
#: KEYS: names; ARGV: the milliseconds from that moment to now, less SPARE.
RESUME = f"""{_FIELDS}
for _, key in ipairs(KEYS) do
  if expiring(key) then
    each(key, redis.call('HKEYS', key), function(name, ends)
      set(key, ends + tonumber(ARGV[1]), 'FIELDS', 1, name)
    end)
  end
end
"""
