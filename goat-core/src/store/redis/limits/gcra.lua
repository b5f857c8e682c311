-- GCRA: a counter of a limit with a burst, by the theoretical arrival time (TAT), until which the key
-- owes.
--
-- The TAT is a string of thirteen bytes: seven for microseconds, six for the remaining parts of a
-- microsecond, which has a thousand times the quota's limit of them. Both are integers that a double
-- represents exactly: a year from now is below 2^52, and a microsecond has fewer than 2^42 parts. The
-- cost of a call and the tolerance (the most that may be owed for one more call) use the same two
-- numbers. Nothing is multiplied, divided or rounded here.
--
-- Arguments: time in microseconds, milliseconds by which the TTL exceeds the debt, parts per
-- microsecond, cost and its parts, tolerance and its parts. Returns the debt in microseconds and its
-- parts, and whether a call is limited; and, unless it is, a function that counts the call and returns
-- the same three.
local FORMAT = '>I7I6'

local function gcra(
  key, now, margin, parts, cost, cost_parts, tolerance, tolerance_parts
)
  local function add_cost(owed, owed_parts)
    owed, owed_parts = owed + cost, owed_parts + cost_parts
    if owed_parts < parts then return owed, owed_parts end
    return owed + 1, owed_parts - parts
  end

  local function is_more(owed, owed_parts, than, than_parts)
    return owed > than or (owed == than and owed_parts > than_parts)
  end

  local function write(owed, owed_parts)
    -- The key expires when nothing is owed, by the server's clock.
    local life = math.ceil((owed + 1) / 1000) + margin
    local arrival = struct.pack(FORMAT, now + owed, owed_parts)
    redis.call('SET', key, arrival, 'PX', string.format('%.0f', life))
  end

  local owed, owed_parts = 0, 0
  local known = redis.call('GET', key)
  if known then
    local arrival, arrival_parts = struct.unpack(FORMAT, known)
    if arrival >= now then owed, owed_parts = arrival - now, arrival_parts end
  end

  if is_more(owed, owed_parts, tolerance, tolerance_parts) then
    -- A debt above a used-up burst means that the clock was set back. It is reduced to a used-up burst,
    -- or the key would be limited until the clock catches up.
    local all, all_parts = add_cost(tolerance, tolerance_parts)
    if is_more(owed, owed_parts, all, all_parts) then
      owed, owed_parts = all, all_parts
      write(owed, owed_parts)
    end
    return { owed, owed_parts, 1 }
  end
  return { owed, owed_parts, 0 }, function()
    owed, owed_parts = add_cost(owed, owed_parts)
    write(owed, owed_parts)
    return { owed, owed_parts, 0 }
  end
end
