-- Sliding-window log: a counter of a limit without a burst, by a log of the allowed calls.
--
-- The log is one string: six bytes for the time of the last entry in milliseconds, three for the
-- number of the first live entry, then each entry's time modulo 256^width, oldest first. At the time
-- of the last entry no live entry was older than the window, and the window is shorter than the
-- modulus, so an entry's age is unambiguous.
--
-- A short log is rewritten at each call and so takes no more memory than needed. A long log is
-- appended to, and expired entries stay in front until they are the larger part: this takes more
-- memory, but no more time than a short log.
--
-- Entries are rounded up and the present is rounded down, which errs towards limiting.
--
-- Arguments: time in microseconds, milliseconds by which the TTL exceeds the window, limit, window in
-- milliseconds, width. Returns the remaining calls, microseconds until one more is available, whether a
-- call is limited; and, unless it is, a function that counts the call and returns the same three.
local HEADER, SHORT, MAX_EXPIRED = 9, 1024, 2 ^ 24

local function sliding_window_log(key, microseconds, margin, limit, window, width)
  local before, after = math.floor(microseconds / 1000), math.ceil(microseconds / 1000)
  local format, modulus = '>I' .. width, 256 ^ width

  -- All of a short log, or the beginning of a long one.
  local log = redis.call('GETRANGE', key, 0, SHORT - 1)
  local is_long = #log == SHORT
  local last, first, count = after, 0, 0
  if #log > 0 then
    last, first = struct.unpack('>I6I3', log)
    count = ((is_long and redis.call('STRLEN', key) or #log) - HEADER) / width
  end

  -- The bytes of all entries from this one on.
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

  -- The TTL of the log, by the server's clock.
  local function ttl() return string.format('%.0f', last + window - before + margin) end

  local function write(entries)
    redis.call('SET', key, struct.pack('>I6I3', last, 0) .. entries, 'PX', ttl())
  end

  -- The clock was set back by more than the window: the log is shifted as if its last entry were made
  -- now, or the key would be limited until the clock catches up.
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

  -- Set back by less, the time stands still until the clock catches up.
  local now = math.max(before, last - 1)
  local expired = last + window - now
  local low, high = first, count
  if low < high and age(low) < expired then high = low end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if age(middle) >= expired then low = middle + 1 else high = middle end
  end

  local live = count - low
  local oldest = after
  if live > 0 then oldest = last - age(low) end
  local wait = (oldest + window) * 1000 - microseconds
  if live >= limit then return { 0, wait, 1 } end

  return { limit - live, math.min(wait, window * 1000), 0 }, function()
    last = math.max(after, last)
    local entry = struct.pack(format, last % modulus)
    if is_long and low <= live and low < MAX_EXPIRED then
      redis.call('APPEND', key, entry)
      redis.call('SETRANGE', key, 0, struct.pack('>I6I3', last, low))
      redis.call('PEXPIRE', key, ttl())
    else
      write((live > 0 and from(low) or '') .. entry)
    end
    return { limit - live - 1, math.min(wait, window * 1000), 0 }
  end
end
