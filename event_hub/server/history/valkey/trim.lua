-- Remove the events up to `through`, their event_ids and tombstones. KEYS: 1 stream  2 ids  3 meta  4 erased
-- ARGV: 1 epoch  2 through. The caller bounds the step. Answer: {floor, head}
local meta = redis.call('HMGET', KEYS[3], 'epoch', 'head', 'floor')
if meta[1] ~= ARGV[1] then return redis.error_reply('OTHEREPOCH ' .. tostring(meta[1])) end
local through, head, floor = tonumber(ARGV[2]), tonumber(meta[2]), tonumber(meta[3] or '0')
if through > head then through = head end
if through > floor then
  local last = string.format('%.0f', through)
  redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f-0', through + 1))
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', last)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', last)
  redis.call('HSET', KEYS[3], 'floor', last)
  floor = through
end
return {floor, head}
