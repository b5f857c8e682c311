-- Ends every session but one. ARGV: time, epoch, the session that the epoch spares, the one to keep.
-- Returns how many were live.
local count = 0
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  if all[place] ~= ARGV[4] then
    if is_live(all[place], all[place + 1], ARGV[2], ARGV[3]) then count = count + 1 end
    redis.call('HDEL', KEYS[1], all[place])
  end
end
return count
