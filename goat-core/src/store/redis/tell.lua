-- Publishes on the channel KEYS[1], if this is a master: it removes what is never there, and of all
-- that writes this is what a server does even when its memory is full. The refusal is answered as it
-- is, since older servers wrap what a script raises and so hide its code.
local written = redis.pcall('DEL', KEYS[1])
if type(written) == 'table' and written.err then return written end
return redis.call('PUBLISH', KEYS[1], ARGV[1])
