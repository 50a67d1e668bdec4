-- A sign of life of one process, and what has changed at the others.
-- KEYS: 1 peers (sorted set of names by expiry, milliseconds)  2 versions (hash)  3 facts (hash)
-- ARGV: 1 name  2 milliseconds until it counts as gone  3 version of its facts  4 its facts, '' if they have not changed
-- Answer: {1 if its facts are known, {name, version, ...} of all}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
  redis.call('HDEL', KEYS[3], gone)
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
end
return {redis.call('HEXISTS', KEYS[3], ARGV[1]), redis.call('HGETALL', KEYS[2])}
