-- Takes a node out that leaves in order: what it has written holds no more.
-- KEYS: nodes, its epoch, its lease. ARGV: name, epoch, how long its entry stays in ms.
local now = tonumber(redis.call('GET', KEYS[2]) or '')
if now and now > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], string.format('%.0f', tonumber(ARGV[2]) + 1))
redis.call('DEL', KEYS[3])
local ok, entry = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '')
if ok and type(entry) == 'table' then
  entry.state = 'gone'
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
  redis.call('SET', KEYS[1] .. ':claim:' .. ARGV[1], ARGV[1], 'PX', ARGV[3])
end
return 1
