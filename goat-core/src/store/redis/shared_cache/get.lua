-- Returns the current time, and the entry's revision, read time and value.
local fields = redis.call('HMGET', KEYS[1], 'r', 't', 'v')
return { now, fields[1], fields[2], fields[3] }
