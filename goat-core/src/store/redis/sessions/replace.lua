-- Replaces a session by another one. ARGV: time, id, and of the new session: id, session.
-- Returns 1, or 0 if the session does not exist or has expired.
local id, new, value = ARGV[2], ARGV[3], ARGV[4]
-- The same call, repeated because its reply was lost.
if redis.call('HGET', KEYS[1], new) == value then return 1 end
local old = redis.call('HGET', KEYS[1], id)
if not old or is_expired(old) then return 0 end
redis.call('HDEL', KEYS[1], id)
redis.call('HSET', KEYS[1], new, value)
extend_ttl(value)
return 1
