-- Lays an entry down. ARGV: revision, when it was read, its ttl in milliseconds, its value.
-- Answers whether it lies there.
local revision, read_at = tonumber(ARGV[1]), tonumber(ARGV[2])
local left = read_at + tonumber(ARGV[3]) - now
if left <= 0 then return 0 end
local known_revision, known_read_at, lasts = known()
if revision < known_revision then return 0 end
if revision == known_revision and read_at <= known_read_at then return 0 end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 't', ARGV[2], 'v', ARGV[4])
-- Never shortened: until then an older read may come.
redis.call('PEXPIRE', KEYS[1], math.max(left, lasts))
return 1
