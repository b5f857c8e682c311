-- The current time in whole milliseconds.
local now = math.floor(now_in_microseconds('') / 1000)

-- Returns the known revision, the time at which its entry was read or -1 without an entry, and the
-- remaining TTL in milliseconds. A key without TTL or revision is foreign and is deleted.
local function known()
  local ttl = redis.call('PTTL', KEYS[1])
  local fields = redis.call('HMGET', KEYS[1], 'r', 't')
  local revision = tonumber(fields[1])
  if ttl >= 0 and revision then return revision, tonumber(fields[2]) or -1, ttl end
  redis.call('DEL', KEYS[1])
  return 0, -1, 0
end
