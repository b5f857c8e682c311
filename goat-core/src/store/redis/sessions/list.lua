-- Returns the user's live sessions. ARGV: time, epoch, the session that the epoch spares.
local live = {}
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  if is_live(all[place], all[place + 1], ARGV[2], ARGV[3]) then
    live[#live + 1] = all[place]
    live[#live + 1] = all[place + 1]
  end
end
return live
