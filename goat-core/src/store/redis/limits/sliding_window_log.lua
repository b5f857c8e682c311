-- Spends one of a limit without a burst, by a log of the calls that were admitted.
--
-- The log is one string: in six bytes the time of the last entry in milliseconds, in three the
-- number of the first entry that counts, and then each entry's time modulo 256^width, the oldest
-- first. Of those that count, none was older than the window at the time of the last, and the window
-- is shorter than the modulus, so that an entry's age is known.
--
-- A short log is written whole each time, so that it takes no more room than it needs. A long one is
-- added to, and what has passed is left in front until it is the larger part: that takes more room,
-- and no more time than a short one does.
--
-- Entries are rounded up and the present is rounded down: towards refusal.
--
-- ARGV: time, quota's limit, its window in milliseconds, width, for how long a log outlives its
-- window in milliseconds. Answers what remains, microseconds until one is given back, whether it
-- refuses.
local HEADER, SHORT, MOST_IN_FRONT = 9, 1024, 2 ^ 24
local key = KEYS[1]
local microseconds = now_in_microseconds(ARGV[1])
local limit, window, width, spare =
  tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local before, after = math.floor(microseconds / 1000), math.ceil(microseconds / 1000)
local format, modulus = '>I' .. width, 256 ^ width

-- The whole of a short log, or the beginning of a long one.
local log = redis.call('GETRANGE', key, 0, SHORT - 1)
local is_long = #log == SHORT
local last, first, count = after, 0, 0
if #log > 0 then
  last, first = struct.unpack('>I6I3', log)
  count = ((is_long and redis.call('STRLEN', key) or #log) - HEADER) / width
end

-- The bytes of the entries from this one on.
local function from(number)
  local place = HEADER + number * width
  if is_long then return redis.call('GETRANGE', key, place, -1) end
  return string.sub(log, place + 1)
end

local function age(number)
  local place, bytes = HEADER + number * width, log
  if place + width > #log then
    bytes, place = redis.call('GETRANGE', key, place, place + width - 1), 0
  end
  return (last - (struct.unpack(format, bytes, place + 1))) % modulus
end

-- For how long the log is worth keeping, by the server's clock.
local function life() return string.format('%.0f', last + window - before + spare) end

local function write(entries)
  redis.call('SET', key, struct.pack('>I6I3', last, 0) .. entries, 'PX', life())
end

-- The clock was set back by more than the window: what was admitted then counts as if the last of it
-- were admitted now, or the key would be locked until the clock is there again.
if last > after + window then
  local entries = {}
  for number = first, count - 1 do
    entries[#entries + 1] = struct.pack(format, (after - age(number)) % modulus)
  end
  last, first, count = after, 0, #entries
  entries = table.concat(entries)
  write(entries)
  is_long = HEADER + #entries >= SHORT
  log = struct.pack('>I6I3', last, 0) .. entries
end

-- Set back by less, it stands still meanwhile.
local now = math.max(before, last - 1)
local passed = last + window - now
local low, high = first, count
if low < high and age(low) < passed then high = low end
while low < high do
  local middle = math.floor((low + high) / 2)
  if age(middle) >= passed then low = middle + 1 else high = middle end
end

local live = count - low
local oldest = after
if live > 0 then oldest = last - age(low) end
local wait = (oldest + window) * 1000 - microseconds
if live >= limit then return { 0, wait, 1 } end

last = math.max(after, last)
local entry = struct.pack(format, last % modulus)
if is_long and low <= live and low < MOST_IN_FRONT then
  redis.call('APPEND', key, entry)
  redis.call('SETRANGE', key, 0, struct.pack('>I6I3', last, low))
  redis.call('PEXPIRE', key, life())
else
  write((live > 0 and from(low) or '') .. entry)
end
return { limit - live - 1, math.min(wait, window * 1000), 0 }
