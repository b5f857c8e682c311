-- Records a revision and removes an entry of a lower one. ARGV: revision, TTL in milliseconds.
local known_revision, _, ttl = known()
if known_revision < tonumber(ARGV[1]) then
  redis.call('HDEL', KEYS[1], 't', 'v')
  redis.call('HSET', KEYS[1], 'r', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[2]), ttl))
return 1
