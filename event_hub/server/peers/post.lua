-- Put a message into an inbox, which expires unless more comes. KEYS: 1 inbox   ARGV: 1 message  2 seconds
redis.call('RPUSH', KEYS[1], ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[2])
