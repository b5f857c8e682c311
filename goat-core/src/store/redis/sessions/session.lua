-- Fields of an encoded session, by their offsets (codec.rs).
local now = math.floor(now_in_microseconds(ARGV[1]) / 1000)

local function time_at(value, place) return (struct.unpack('>I6', value, place)) end
local function created_at(value) return time_at(value, 10) end
local function idle_at(value) return time_at(value, 22) end
local function ends_at(value) return time_at(value, 28) end
local function epoch(value) return string.sub(value, 2, 9) end
-- The proofs, in the version that has them, and the address and device of the login, which never change:
-- they follow the key id and the address of the previous token's use.
local function origin(value)
  local place = 85 + string.byte(value, 84)
  return string.sub(value, place + 1 + string.byte(value, place))
end
local function is_expired(value) return now >= idle_at(value) or now >= ends_at(value) end

-- The idle expiry with a token of this expiry: never after the end of the session.
local function idle_until(value, expires_at)
  return struct.pack('>I6', math.min((struct.unpack('>I6', expires_at)), ends_at(value)))
end

-- Compares two epochs by halves, since a number of eight bytes would not be exact.
local function is_earlier(one, other)
  local high, low = struct.unpack('>I4I4', one)
  local other_high, other_low = struct.unpack('>I4I4', other)
  return high < other_high or (high == other_high and low < other_low)
end

-- The liveness rule of `Session::is_live`. `number` is the user's epoch.
local function is_live(id, value, number, spared)
  return not is_expired(value) and (epoch(value) == number or id == spared)
end

-- Extends the TTL of the user's key to the end of this session. It is never shortened.
local function extend_ttl(value)
  local left = math.max(math.min(idle_at(value), ends_at(value)) - now, 1)
  -- In tests the caller's clock may stand still.
  if ARGV[1] ~= '' then left = left + 3600000 end
  if left > redis.call('PTTL', KEYS[1]) then
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left))
  end
end
