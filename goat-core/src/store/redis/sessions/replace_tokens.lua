-- Replaces the tokens of a session, by the rule of `Session::replace_tokens`.
-- ARGV: time, id, epoch, and of the new token: id, issue time, expiry time, key id.
-- Returns 1, or 0 if the session does not exist or this replacement or a later one was applied.
local id = ARGV[2]
local value = redis.call('HGET', KEYS[1], id)
if not value or is_expired(value) or not is_earlier(epoch(value), ARGV[3]) then return 0 end
value = string.sub(value, 1, 1) .. ARGV[3] .. string.sub(value, 10, 21)
  .. idle_until(value, ARGV[6]) .. string.sub(value, 28, 33)
  .. ARGV[4] .. ARGV[5] .. ARGV[6]
  .. string.rep('\0', 22)
  .. string.char(#ARGV[7]) .. ARGV[7] .. '\0' .. origin(value)
redis.call('HSET', KEYS[1], id, value)
extend_ttl(value)
return 1
