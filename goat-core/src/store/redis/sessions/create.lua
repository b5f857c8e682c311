-- Makes a session; ends those that are over and then the oldest while there are more than allowed.
-- ARGV: time, id, session, most. Answers the ids of those that were ended.
local id, most = ARGV[2], tonumber(ARGV[4])
redis.call('HSET', KEYS[1], id, ARGV[3])
outlive(ARGV[3])
if redis.call('HLEN', KEYS[1]) <= most then return {} end

local others = {}
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  if all[place] ~= id then
    local value = all[place + 1]
    others[#others + 1] = { id = all[place], over = is_over(value), created = created_at(value) }
  end
end
table.sort(others, function(one, other)
  if one.over ~= other.over then return other.over end
  if one.created ~= other.created then return one.created > other.created end
  return one.id > other.id
end)
local evicted = {}
for place = math.max(most, 1), #others do
  evicted[#evicted + 1] = others[place].id
  redis.call('HDEL', KEYS[1], others[place].id)
end
return evicted
