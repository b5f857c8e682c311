-- Acquires one from each counter, or from none of them if one is limited.
--
-- KEYS: the counters, in one slot. ARGV: time, milliseconds by which a TTL exceeds its time, then the
-- name of each counter's algorithm and its arguments. Returns three numbers for each counter.
local now, margin = now_in_microseconds(ARGV[1]), tonumber(ARGV[2])
local replies, counts, is_limited, place = {}, {}, false, 3

local function arguments(number)
  local numbers = {}
  for index = 1, number do numbers[index] = tonumber(ARGV[place + index]) end
  place = place + number + 1
  return unpack(numbers)
end

for number, key in ipairs(KEYS) do
  if ARGV[place] == 'log' then
    replies[number], counts[number] = sliding_window_log(key, now, margin, arguments(3))
  else
    replies[number], counts[number] = gcra(key, now, margin, arguments(5))
  end
  is_limited = is_limited or not counts[number]
end

local reply = {}
for number in ipairs(KEYS) do
  local three = replies[number]
  if not is_limited then three = counts[number]() end
  for index = 1, 3 do reply[#reply + 1] = three[index] end
end
return reply
