-- Forgets a dead node of which nothing is left. Its epoch stays.
-- KEYS: nodes. ARGV: the dead, the sweeper.
local ok, entry = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '')
if ok and type(entry) == 'table' and entry.state == 'dead' then redis.call('HDEL', KEYS[1], ARGV[1]) end
local claim = KEYS[1] .. ':claim:' .. ARGV[1]
if redis.call('GET', claim) == ARGV[2] then redis.call('DEL', claim) end
return 1
