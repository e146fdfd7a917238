-- Takes a node out that leaves in order: what it has written holds no more.
-- KEYS: nodes, its epoch, its lease. ARGV: name, epoch.
local now = tonumber(redis.call('GET', KEYS[2]) or '')
if now and now > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], string.format('%.0f', tonumber(ARGV[2]) + 1))
redis.call('DEL', KEYS[3])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
