-- Decides checks of limits, one after another: each acquires one from each of its counters, or from none
-- of them if one is limited.
--
-- KEYS: the counters, each once. ARGV: time; milliseconds by which a TTL exceeds its time; a byte for each
-- key, the number of its quota; the checks; then the quotas, five arguments each: limit, window in
-- milliseconds, width of an entry, 1 if its logs may be long, and an empty one; or for GCRA parts per
-- microsecond, cost and its parts, tolerance and its parts. A check is the number of its key, one byte, or
-- the numbers of its two keys, the first of them plus PAIR.
--
-- Returns two numbers for each counter of each check: the remaining calls and microseconds until one more
-- is available, or the debt of a GCRA and its parts. The first is below zero if the counter is limited (-1,
-- or -1 minus the debt), and MALFORMED if its value is foreign.
--
-- Sliding-window log: a counter of a limit without a burst, by a log of the allowed calls. It is one
-- string: six bytes for the time of the last entry in milliseconds, three for the number of the first live
-- entry, then each entry's time modulo 256^width, oldest first. At the time of the last entry no live
-- entry was older than the window, and the window is shorter than the modulus, so an entry's age is
-- unambiguous. Entries are rounded up and the present is rounded down, which errs towards limiting.
--
-- A log is read and written whole, without its expired entries, and so takes no more memory than needed. A
-- long one is read in parts and appended to, and expired entries stay in front until they are the larger
-- part: this takes more memory, but hardly more time than a short log.
--
-- GCRA: a counter of a limit with a burst, by the theoretical arrival time (TAT), until which the key owes.
-- The TAT is a string of thirteen bytes: seven for microseconds, six for the remaining parts of a
-- microsecond, which has a thousand times the quota's limit of them. Both are integers that a double
-- represents exactly: a year from now is below 2^52, and a microsecond has fewer than 2^42 parts. The
-- cost of a call and the tolerance (the most that may be owed for one more call) use the same two
-- numbers. Nothing is multiplied, divided or rounded here.
--
-- The creation of a function costs more than most steps, so the common path has hardly any.
local call, byte, pack, unpack_bytes = redis.call, string.byte, struct.pack, struct.unpack
local max, min, floor = math.max, math.min, math.floor
local HEADER, HEADER_BYTES, PART, MAX_EXPIRED = '>I6I3', 9, 1024, 2 ^ 24
local TAT, TAT_BYTES = '>I7I6', 13
local PAIR, MALFORMED = 128, -2 ^ 53

local now, margin = now_in_microseconds(ARGV[1]), tonumber(ARGV[2])
local before, after = floor(now / 1000), math.ceil(now / 1000)
local quota_numbers, checks, quotas = ARGV[3], ARGV[4], {}
for place = 5, #ARGV, 5 do
  local one, two, three = tonumber(ARGV[place]), tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
  local four, five = tonumber(ARGV[place + 3]), tonumber(ARGV[place + 4])
  quotas[#quotas + 1] = five
      and { parts = one, cost = two, cost_parts = three, tolerance = four, tolerance_parts = five }
    or {
      limit = one, window = two, width = three, is_long = four == 1,
      format = '>I' .. three, modulus = 256 ^ three,
    }
end

-- By the numbers of the keys: the quota, nil for a foreign value; whether the counter is to be written; of
-- a log its bytes, whether these are a part, the time of the last entry, the first live entry, the number
-- of live ones, of those that are added, and the microseconds until one more call is available; of a GCRA
-- the debt and its parts.
local quota, is_changed = {}, {}
local log, is_partial, last, first, live, added, wait = {}, {}, {}, {}, {}, {}, {}
local owed, owed_parts = {}, {}

-- Reads the counters.
for number, key in ipairs(KEYS) do
  local of, value = quotas[byte(quota_numbers, number)], nil
  if of.is_long then
    value = redis.pcall('GETRANGE', key, 0, PART - 1)
  else
    value = redis.pcall('GET', key) or ''
  end
  local size = type(value) == 'string' and #value or -1
  if of.parts and (size == 0 or size == TAT_BYTES) then
    local debt, debt_parts = 0, 0
    if size > 0 then
      local arrival, arrival_parts = unpack_bytes(TAT, value)
      if arrival >= now then debt, debt_parts = arrival - now, arrival_parts end
    end
    quota[number], owed[number], owed_parts[number] = of, debt, debt_parts
  elseif of.window and (size == 0 or size >= HEADER_BYTES) then
    local window, width, format, modulus = of.window, of.width, of.format, of.modulus
    local latest, start, count, oldest, is_part = after, 0, 0, after, false
    if size > 0 then
      latest, start = unpack_bytes(HEADER, value)
      if of.is_long and size == PART then
        size = call('STRLEN', key)
        is_part = size > PART
      end
      count = (size - HEADER_BYTES) / width
      -- The clock was set back by more than the window: the log is shifted as if its last entry were made
      -- now, or the key would be limited until the clock catches up.
      if latest > after + window then
        if is_part then value = call('GET', key) end
        local entries = {}
        for place = HEADER_BYTES + start * width + 1, size, width do
          local age = (latest - unpack_bytes(format, value, place)) % modulus
          entries[#entries + 1] = pack(format, (after - age) % modulus)
        end
        latest, start, count, is_part, is_changed[number] = after, 0, #entries, false, true
        value = pack(HEADER, after, 0) .. table.concat(entries)
      end
      -- Set back by less, the time stands still until the clock catches up.
      local expired = latest + window - max(before, latest - 1)
      if is_part then
        local function age(entry)
          local place, part = HEADER_BYTES + entry * width, value
          if place + width > PART then
            place, part = 0, call('GETRANGE', key, place, place + width - 1)
          end
          return (latest - unpack_bytes(format, part, place + 1)) % modulus
        end
        -- Few entries have expired since the last call: the first live one is sought in growing steps, and
        -- then between the last two.
        local high, step = start, 1
        while high < count and age(high) >= expired do
          start, step = high + 1, step * 2
          high = min(start + step, count)
        end
        while start < high do
          local middle = floor((start + high) / 2)
          if age(middle) >= expired then start = middle + 1 else high = middle end
        end
        if start < count then oldest = latest - age(start) end
      else
        while start < count do
          local place = HEADER_BYTES + start * width + 1
          local age = (latest - unpack_bytes(format, value, place)) % modulus
          if age < expired then
            oldest = latest - age
            break
          end
          start = start + 1
        end
      end
    end
    if count % 1 == 0 then quota[number] = of end
    log[number], is_partial[number], last[number] = value, is_part, latest
    first[number], live[number], added[number] = start, count - start, 0
    wait[number] = (oldest + window) * 1000 - now
  end
end

local function is_limited(number)
  local of = quota[number]
  if of.window then return live[number] + added[number] >= of.limit end
  return owed[number] > of.tolerance
    or (owed[number] == of.tolerance and owed_parts[number] > of.tolerance_parts)
end

-- Decides the checks.
local reply, filled, place = {}, 0, 1
while place <= #checks do
  local one, other = byte(checks, place, place + 1)
  if one > PAIR then
    one, place = one - PAIR, place + 2
  else
    other, place = one, place + 1
  end
  -- From the one to the other.
  local step, is_counted = other ~= one and other - one or 1, true
  for number = one, other, step do
    if not quota[number] or is_limited(number) then is_counted = false end
  end
  for number = one, other, step do
    local of, left, time = quota[number], MALFORMED, 0
    local limits = of and not is_counted and is_limited(number)
    if of and of.window then
      if is_counted then added[number], is_changed[number] = added[number] + 1, true end
      if limits then
        left, time = -1, wait[number]
      else
        left, time = of.limit - live[number] - added[number], min(wait[number], of.window * 1000)
      end
    elseif of then
      local debt, debt_parts = owed[number], owed_parts[number]
      -- A debt above a used-up burst means that the clock was set back. It is reduced to a used-up burst,
      -- or the key would be limited until the clock catches up.
      local most, most_parts = of.tolerance + of.cost, of.tolerance_parts + of.cost_parts
      if most_parts >= of.parts then most, most_parts = most + 1, most_parts - of.parts end
      if debt > most or (debt == most and debt_parts > most_parts) then
        debt, debt_parts, is_changed[number] = most, most_parts, true
      end
      if is_counted then
        debt, debt_parts, is_changed[number] = debt + of.cost, debt_parts + of.cost_parts, true
        if debt_parts >= of.parts then debt, debt_parts = debt + 1, debt_parts - of.parts end
      end
      owed[number], owed_parts[number] = debt, debt_parts
      left, time = limits and -1 - debt or debt, debt_parts
    end
    reply[filled + 1], reply[filled + 2] = left, time
    filled = filled + 2
  end
end

-- Writes the counters. Each expires when it counts nothing any more, by the server's clock.
for number, key in ipairs(KEYS) do
  local of = quota[number]
  if is_changed[number] and of.window then
    local latest, start, entries = last[number], first[number], ''
    if added[number] > 0 then
      latest = max(after, latest)
      entries = pack(of.format, latest % of.modulus)
      if added[number] > 1 then entries = string.rep(entries, added[number]) end
    end
    local ttl = latest + of.window - before + margin
    if is_partial[number] and start <= live[number] and start < MAX_EXPIRED then
      call('APPEND', key, entries)
      call('SETRANGE', key, 0, pack(HEADER, latest, start))
      call('PEXPIRE', key, ttl)
    else
      local from, old = HEADER_BYTES + start * of.width, ''
      if live[number] > 0 then
        old = is_partial[number] and call('GETRANGE', key, from, -1) or string.sub(log[number], from + 1)
      end
      call('SET', key, pack(HEADER, latest, 0) .. old .. entries, 'PX', ttl)
    end
  elseif is_changed[number] then
    local tat = pack(TAT, now + owed[number], owed_parts[number])
    call('SET', key, tat, 'PX', math.ceil((owed[number] + 1) / 1000) + margin)
  end
end
return reply
