-- Now, in microseconds: the server's, or the caller's where a test says so.
local function now_in_microseconds(callers)
  if callers ~= '' then return tonumber(callers) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
