-- Set a value if the lease is still the caller's. KEYS: 1 owner  2 fence  3 value   ARGV: 1 name  2 fence  3 value  4 milliseconds
-- Answer: 1, or 0 if another has taken over
local owner = redis.call('GET', KEYS[1])
if (owner and owner ~= ARGV[1]) or redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
redis.call('SET', KEYS[3], ARGV[3])
return 1
