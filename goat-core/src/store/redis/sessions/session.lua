-- What scripts read of a session, by its places in the packed form (pack.rs).
local now = math.floor(now_in_microseconds(ARGV[1]) / 1000)

local function time_at(value, place) return (struct.unpack('>I6', value, place)) end
local function created_at(value) return time_at(value, 10) end
local function idle_at(value) return time_at(value, 22) end
local function ends_at(value) return time_at(value, 28) end
local function is_over(value) return now >= idle_at(value) or now >= ends_at(value) end

-- `epoch` is compared as bytes: as a number it would not be exact.
local function is_alive(id, value, epoch, spared)
  return not is_over(value) and (string.sub(value, 2, 9) == epoch or id == spared)
end

-- Lets the user's key live as long as this session may. It never shortens the life of the others.
local function outlive(value)
  local left = math.max(math.min(idle_at(value), ends_at(value)) - now, 1)
  -- A test's time may stand still for a while.
  if ARGV[1] ~= '' then left = left + 3600000 end
  if left > redis.call('PTTL', KEYS[1]) then
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left))
  end
end
