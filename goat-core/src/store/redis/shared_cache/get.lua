-- Answers the time, and of the entry: its revision, when it was read, its value.
local fields = redis.call('HMGET', KEYS[1], 'r', 't', 'v')
return { now, fields[1], fields[2], fields[3] }
