-- Publishes on the channel KEYS[1], if this server is a master: a write fails on a replica, and `DEL`
-- is a write that succeeds even when memory is full. The key never exists.
redis.call('DEL', KEYS[1])
return redis.call('PUBLISH', KEYS[1], ARGV[1])
