-- Append a batch atomically, at dense offsets, each event_id once.
-- KEYS: 1 stream  2 ids (sorted set event_id -> offset)  3 meta (hash epoch, head, at, floor)  4 the last batch of this hub (string)
-- ARGV: 1 the epoch that the hub knows  2 the number of this batch, given by the hub  3 at (epoch seconds)  4 seconds to remember
--       the batch, then two per draft: event_id ('' = none), data
-- A script is not rolled back where a call in it fails, so everything that can fail (wrong type, no memory, an id that is there)
-- fails before the first write: the reads look at every key, and XADD comes before ZADD.
-- Answer: {head before, new events, epoch, {index, offset, ...} of the duplicates}
local known = redis.call('GET', KEYS[4])
if known then
  local number, rest = string.match(known, '^(%d+) (.*)$')
  if number == ARGV[2] then return cmsgpack.unpack(rest) end
  -- What waited in a stopped server's buffers arrives after what was sent later: its publisher was told that it failed.
  if tonumber(number) > tonumber(ARGV[2]) then return redis.error_reply('LATEBATCH ' .. number) end
end
local meta = redis.call('HMGET', KEYS[3], 'epoch', 'head', 'at')
if not meta[1] then return redis.error_reply('NOHISTORY there is no epoch: the history was lost, or never begun') end
if ARGV[1] ~= meta[1] then return redis.error_reply('OTHEREPOCH ' .. meta[1]) end
local time = redis.call('TIME')
local latest = tonumber(time[1]) + 1 + tonumber(time[2]) / 1000000
local before, at = tonumber(meta[2]), ARGV[3]
if tonumber(at) > latest then at = string.format('%.6f', latest) end -- one hub's clock must not move all others ahead
if tonumber(meta[3]) > tonumber(at) then at = meta[3] end
local head, duplicates = before, {}
for i = 5, #ARGV, 2 do
  local id = ARGV[i]
  local stored = id ~= '' and redis.call('ZSCORE', KEYS[2], id)
  if stored then
    duplicates[#duplicates + 1] = (i - 5) / 2
    duplicates[#duplicates + 1] = tonumber(stored)
  else
    head = head + 1
    local offset = string.format('%.0f', head)
    redis.call('XADD', KEYS[1], offset .. '-0', 'a', at, 'd', ARGV[i + 1])
    if id ~= '' then redis.call('ZADD', KEYS[2], offset, id) end
  end
end
if head > before then redis.call('HSET', KEYS[3], 'head', string.format('%.0f', head), 'at', at) end
local answer = {before, head - before, meta[1], duplicates}
redis.call('SET', KEYS[4], ARGV[2] .. ' ' .. cmsgpack.pack(answer), 'EX', ARGV[4])
return answer
