-- Spends one of a limit, by a log of the calls that were admitted.
--
-- The log is one string: six bytes with the time of the last entry, in milliseconds, and then each
-- entry's time modulo 256^width, the oldest first. None was older than the window at the time of the
-- last, and the window is shorter than the modulus, so that an entry's age is known.
--
-- Entries are rounded up and the present is rounded down: towards refusal.
--
-- ARGV: time, quota's limit, its window in milliseconds, width, for how long a log outlives its
-- window in milliseconds. Answers what remains, microseconds until one is given back, whether it
-- refuses.
local microseconds = now_in_microseconds(ARGV[1])
local limit, window, width, spare =
  tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local before, after = math.floor(microseconds / 1000), math.ceil(microseconds / 1000)
local format, modulus = '>I' .. width, 256 ^ width

local function keep(last, entries)
  local life = last + window - before + spare
  redis.call('SET', KEYS[1], struct.pack('>I6', last) .. entries, 'PX', string.format('%.0f', life))
end

local log = redis.call('GET', KEYS[1])
local last, count = after, 0
if log then
  last, count = struct.unpack('>I6', log), (#log - 6) / width
end
local function age(number)
  return (last - (struct.unpack(format, log, 7 + number * width))) % modulus
end

-- The clock was set back by more than the window: what was admitted then counts as if the last of it
-- were admitted now, or the key would be locked until the clock is there again.
if last > after + window then
  local entries = {}
  for number = 0, count - 1 do
    entries[number + 1] = struct.pack(format, (after - age(number)) % modulus)
  end
  last = after
  entries = table.concat(entries)
  log = struct.pack('>I6', last) .. entries
  keep(last, entries)
end

-- Set back by less, it stands still meanwhile.
local now = math.max(before, last - 1)
local passed = last + window - now
local low, high = 0, count
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
local kept = ''
if live > 0 then kept = string.sub(log, 7 + low * width) end
keep(last, kept .. struct.pack(format, last % modulus))
return { limit - live - 1, math.min(wait, window * 1000), 0 }
