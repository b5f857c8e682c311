-- Adds a session and evicts above the limit: expired sessions first, then the oldest.
-- ARGV: time, id, session, limit. Returns the ids of the evicted sessions.
local id, limit = ARGV[2], tonumber(ARGV[4])
redis.call('HSET', KEYS[1], id, ARGV[3])
extend_ttl(ARGV[3])
if redis.call('HLEN', KEYS[1]) <= limit then return {} end

local others = {}
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  if all[place] ~= id then
    local value = all[place + 1]
    others[#others + 1] = { id = all[place], expired = is_expired(value), created = created_at(value) }
  end
end
table.sort(others, function(one, other)
  if one.expired ~= other.expired then return other.expired end
  if one.created ~= other.created then return one.created > other.created end
  return one.id > other.id
end)
local evicted = {}
for place = math.max(limit, 1), #others do
  evicted[#evicted + 1] = others[place].id
  redis.call('HDEL', KEYS[1], others[place].id)
end
return evicted
