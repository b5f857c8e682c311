-- The user's sessions that are alive. ARGV: time, epoch, the session it spares.
local alive = {}
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  if is_alive(all[place], all[place + 1], ARGV[2], ARGV[3]) then
    alive[#alive + 1] = all[place]
    alive[#alive + 1] = all[place + 1]
  end
end
return alive
