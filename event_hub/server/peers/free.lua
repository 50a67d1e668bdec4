-- Give up a lease. KEYS: 1 owner   ARGV: 1 name
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
