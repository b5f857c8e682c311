-- Publishes on the channel KEYS[1], if this is a master: it removes what is never there, and of all
-- that writes this is what a server does even when its memory is full.
redis.call('DEL', KEYS[1])
return redis.call('PUBLISH', KEYS[1], ARGV[1])
