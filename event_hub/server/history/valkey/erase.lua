-- Replace events by tombstones. An entry of a stream cannot be changed: it is deleted, and the tombstone stands beside it.
-- KEYS: 1 stream  2 meta  3 erased (sorted set of "offset tombstone" by offset)   ARGV: 1 epoch, then per event: offset, tombstone
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'head', 'floor')
if meta[1] ~= ARGV[1] then return redis.error_reply('OTHEREPOCH ' .. tostring(meta[1])) end
local head, floor = tonumber(meta[2]), tonumber(meta[3] or '0')
for i = 2, #ARGV, 2 do
  local offset = ARGV[i]
  if tonumber(offset) > floor and tonumber(offset) <= head then
    redis.call('ZREMRANGEBYSCORE', KEYS[3], offset, offset)
    redis.call('ZADD', KEYS[3], offset, offset .. ' ' .. ARGV[i + 1])
    redis.call('XDEL', KEYS[1], offset .. '-0')
  end
end
return 1
