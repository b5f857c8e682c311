-- Makes a revision known. ARGV: revision, for how many milliseconds.
local known_revision, _, lasts = known()
if known_revision < tonumber(ARGV[1]) then
  redis.call('HDEL', KEYS[1], 't', 'v')
  redis.call('HSET', KEYS[1], 'r', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[2]), lasts))
return 1
