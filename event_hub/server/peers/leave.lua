-- A process ends. KEYS: 1 peers  2 versions  3 facts  4 inbox   ARGV: 1 name
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
return 1
