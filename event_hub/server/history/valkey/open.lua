-- Open the history. Each start of the server begins one new epoch, after what survived; where nothing was lost, that is harmless.
-- A server that has just started, and a replica that was promoted, knows no script. So on every new connection, and at NOSCRIPT:
--   MULTI; HGET meta epoch; SCRIPT EXISTS sha; EXEC
--   if append is there: this script with '-', which only reads
--   otherwise: MULTI; EVAL this script <that epoch or ''> <new name>; SCRIPT LOAD append; EXEC
-- The first hub begins the epoch (compare and set), the others read it. None can append before: the script is loaded after it.
-- KEYS: 1 stream  2 meta  3 epochs (list of "first name")   ARGV: 1 the expected epoch ('': none, '-': only read)  2 new name
-- Answer: {epoch or '', head, floor, {"first name", ...}}
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'head', 'floor')
local head = tonumber(meta[2] or '0')
if ARGV[1] == (meta[1] or '') then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  local there = last and tonumber(string.match(last[1], '^(%d+)')) or 0
  if there > head then head = there end              -- only if somebody else has written
  redis.call('RPUSH', KEYS[3], string.format('%.0f ', head + 1) .. ARGV[2])
  redis.call('HSET', KEYS[2], 'epoch', ARGV[2], 'head', string.format('%.0f', head), 'at', redis.call('HGET', KEYS[2], 'at') or '0')
  meta[1] = ARGV[2]
end
return {meta[1] or '', head, tonumber(meta[3] or '0'), redis.call('LRANGE', KEYS[3], 0, -1)}
