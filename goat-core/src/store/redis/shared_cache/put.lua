-- Stores an entry. ARGV: revision, read time, TTL in milliseconds, value. Returns whether it was
-- stored.
local revision, read_at = tonumber(ARGV[1]), tonumber(ARGV[2])
local left = read_at + tonumber(ARGV[3]) - now
if left <= 0 then return 0 end
local known_revision, known_read_at, ttl = known()
if revision < known_revision then return 0 end
if revision == known_revision and read_at <= known_read_at then return 0 end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 't', ARGV[2], 'v', ARGV[4])
-- The TTL is never shortened, since an older read may still arrive until then.
redis.call('PEXPIRE', KEYS[1], math.max(left, ttl))
return 1
