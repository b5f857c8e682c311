-- Ends the given sessions, all or none. ARGV: time, epoch, the session that the epoch spares, ids.
-- Returns 1, or 0 if one of them is not live.
for place = 4, #ARGV do
  local value = redis.call('HGET', KEYS[1], ARGV[place])
  if not value or not is_live(ARGV[place], value, ARGV[2], ARGV[3]) then return 0 end
end
for place = 4, #ARGV do redis.call('HDEL', KEYS[1], ARGV[place]) end
return 1
