-- Notes that nothing is left of a dead node. Its entry stays until everybody has read that.
-- KEYS: nodes. ARGV: the dead, the sweeper, how long the entry stays in ms.
local ok, entry = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '')
local claim = KEYS[1] .. ':claim:' .. ARGV[1]
if ok and type(entry) == 'table' and entry.state == 'dead' then
  entry.state = 'gone'
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
  redis.call('SET', claim, ARGV[2], 'PX', ARGV[3])
elseif redis.call('GET', claim) == ARGV[2] then
  redis.call('DEL', claim)
end
return 1
