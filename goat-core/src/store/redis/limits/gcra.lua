-- Spends one of a limit with a burst, by the theoretical arrival time: until then the key owes.
--
-- The time is one string of thirteen bytes: microseconds in seven, and in six the parts of a
-- microsecond that come on top, of which a thousand times the quota's limit make one. Both are whole
-- numbers that a double holds exactly: a year from now is below 2^52, a microsecond has fewer parts
-- than 2^42. What a call costs, and how much may be owed for one more, come in the same two numbers.
-- None of these is multiplied, divided or rounded here.
--
-- ARGV: time, parts of a microsecond, cost and its parts, most that may be owed for one more and its
-- parts, for how long the key outlives what it owes in milliseconds. Answers what is owed in
-- microseconds and its parts, and whether it refuses.
local FORMAT = '>I7I6'
local key = KEYS[1]
local now = now_in_microseconds(ARGV[1])
local parts, cost, cost_parts, most, most_parts, spare =
  tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]),
  tonumber(ARGV[7])

local function add_cost(owed, owed_parts)
  owed, owed_parts = owed + cost, owed_parts + cost_parts
  if owed_parts < parts then return owed, owed_parts end
  return owed + 1, owed_parts - parts
end

local function is_more(owed, owed_parts, than, than_parts)
  return owed > than or (owed == than and owed_parts > than_parts)
end

local function write(owed, owed_parts)
  -- The key goes when nothing is owed any more, by the server's clock.
  local life = math.ceil((owed + 1) / 1000) + spare
  local arrival = struct.pack(FORMAT, now + owed, owed_parts)
  redis.call('SET', key, arrival, 'PX', string.format('%.0f', life))
end

local owed, owed_parts = 0, 0
local known = redis.call('GET', key)
if known then
  local arrival, arrival_parts = struct.unpack(FORMAT, known)
  if arrival >= now then owed, owed_parts = arrival - now, arrival_parts end
end

if is_more(owed, owed_parts, most, most_parts) then
  -- More than a spent burst was never owed: the clock was set back. As much as a spent burst is owed
  -- now, or the key would be locked until the clock is there again.
  local all, all_parts = add_cost(most, most_parts)
  if is_more(owed, owed_parts, all, all_parts) then
    owed, owed_parts = all, all_parts
    write(owed, owed_parts)
  end
  return { owed, owed_parts, 1 }
end
owed, owed_parts = add_cost(owed, owed_parts)
write(owed, owed_parts)
return { owed, owed_parts, 0 }
