-- Take or renew a lease. Each new owner gets a higher fence, by which writes of an earlier owner are refused.
-- KEYS: 1 owner (string, expires)  2 fence (counter)   ARGV: 1 name  2 milliseconds
-- Answer: the fence, or 0 if another holds the lease
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
local fence
if owner then fence = tonumber(redis.call('GET', KEYS[2])) else fence = redis.call('INCR', KEYS[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
