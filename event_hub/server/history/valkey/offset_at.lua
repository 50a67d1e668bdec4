-- The offset of the last event received before `at`, at least the floor: binary search, since `at` never decreases.
-- KEYS: 1 stream  2 meta   ARGV: 1 at (epoch seconds)
local meta = redis.call('HMGET', KEYS[2], 'head', 'floor')
local low, high, at = tonumber(meta[2] or '0'), tonumber(meta[1] or '0'), tonumber(ARGV[1])
while low < high do
  local middle = math.floor((low + high + 1) / 2)
  local found = redis.call('XRANGE', KEYS[1], string.format('%.0f-0', middle), string.format('%.0f-0', high), 'COUNT', 1)[1]
  if found and tonumber(found[2][2]) < at then
    low = tonumber(string.match(found[1], '^(%d+)'))
  else
    high = middle - 1
  end
end
return low
