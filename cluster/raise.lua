-- Fences a node whose epoch has gone back, because Redis has lost its last writes.
-- KEYS: its epoch. ARGV: the least it can be.
local now = tonumber(redis.call('GET', KEYS[1]) or '')
if now and now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) return 1 end
return 0
