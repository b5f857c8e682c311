-- The current time in microseconds: the server's, or the caller's in tests.
local function now_in_microseconds(caller_time)
  if caller_time ~= '' then return tonumber(caller_time) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
