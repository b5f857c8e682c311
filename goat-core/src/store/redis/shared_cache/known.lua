-- Now, in whole milliseconds.
local now = math.floor(now_in_microseconds('') / 1000)

-- The revision that is known, when its entry was read or -1 if none lies there, and for how many
-- milliseconds more it is known. What has no end or no revision is not goat's, and goes.
local function known()
  local lasts = redis.call('PTTL', KEYS[1])
  local fields = redis.call('HMGET', KEYS[1], 'r', 't')
  local revision = tonumber(fields[1])
  if lasts >= 0 and revision then return revision, tonumber(fields[2]) or -1, lasts end
  redis.call('DEL', KEYS[1])
  return 0, -1, 0
end
