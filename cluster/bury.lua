-- Declares a node dead, which fences it, or takes over from a sweeper that has died. Of a node that is gone
-- the entry is removed in the end.
-- KEYS: nodes. ARGV: the dead, its epoch, the sweeper, his epoch, how long his claim holds in ms.
local function number(key) return tonumber(redis.call('GET', key) or '') end
local nodes, dead, by = KEYS[1], ARGV[1], ARGV[3]
if number(nodes .. ':epoch:' .. by) ~= tonumber(ARGV[4]) then return {'fenced'} end
local text = redis.call('HGET', nodes, dead)
if not text or redis.call('EXISTS', nodes .. ':lease:' .. dead) == 1 then return {'alive'} end
local ok, entry = pcall(cjson.decode, text)
if not ok or type(entry) ~= 'table' then return {'foreign'} end
local claim = nodes .. ':claim:' .. dead
local epoch = number(nodes .. ':epoch:' .. dead)
if entry.state == 'gone' then
  if redis.call('EXISTS', claim) == 0 then redis.call('HDEL', nodes, dead) end
  return {'gone'}
end
if entry.state == 'dead' then
  if not redis.call('SET', claim, by, 'NX', 'PX', ARGV[5]) then return {'claimed'} end
  return {'yours', string.format('%.0f', epoch or tonumber(ARGV[2]))}
end
if epoch and epoch ~= tonumber(ARGV[2]) then return {'alive'} end
local fence = string.format('%.0f', tonumber(ARGV[2]) + 1)
redis.call('SET', nodes .. ':epoch:' .. dead, fence)
entry.state, entry.by = 'dead', by
redis.call('HSET', nodes, dead, cjson.encode(entry))
redis.call('SET', claim, by, 'PX', ARGV[5])
return {'yours', fence}
