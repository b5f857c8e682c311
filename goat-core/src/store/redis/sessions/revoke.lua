-- Ends the named sessions, all or none. ARGV: time, epoch, the session it spares, ids.
-- Answers 1, or 0 if one is not there.
for place = 4, #ARGV do
  local value = redis.call('HGET', KEYS[1], ARGV[place])
  if not value or not is_alive(ARGV[place], value, ARGV[2], ARGV[3]) then return 0 end
end
for place = 4, #ARGV do redis.call('HDEL', KEYS[1], ARGV[place]) end
return 1
