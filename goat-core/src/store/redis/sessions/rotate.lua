-- Rotates a refresh token, by the rule of `Session::rotation_decision`.
-- ARGV: time, id, presented, grace period in milliseconds; of the successor: id,
-- issue time, expiry time, key id; the epoch of the presented token; and the client's address, empty if
-- unknown. Returns the outcome and the session.
local UNKNOWN, ROTATED, REPEATED, REUSED, REPLACED = 0, 1, 2, 3, 4
local id, presented, leeway, successor = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local value = redis.call('HGET', KEYS[1], id)
if not value or is_expired(value) then return { UNKNOWN } end
if is_earlier(ARGV[9], epoch(value)) then return { REPLACED } end

local current, previous = string.sub(value, 34, 49), string.sub(value, 62, 77)
if presented == current then
  local time = struct.pack('>I6', now)
  value = string.sub(value, 1, 15) .. time .. idle_until(value, ARGV[7]) .. string.sub(value, 28, 33)
    .. successor .. ARGV[6] .. ARGV[7]
    .. current .. time
    .. string.char(#ARGV[8]) .. ARGV[8] .. string.char(#ARGV[10]) .. ARGV[10] .. origin(value)
  redis.call('HSET', KEYS[1], id, value)
  extend_ttl(value)
  return { ROTATED, value }
end
if presented == previous then
  -- The same call, repeated because its reply was lost.
  if successor == current then return { ROTATED, value } end
  -- A clock that was set back does not extend the grace period.
  if math.abs(now - time_at(value, 78)) < leeway then return { REPEATED, value } end
end
redis.call('HDEL', KEYS[1], id)
return { REUSED, value }
