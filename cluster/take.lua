-- Takes a new epoch for a node, unless the node lives elsewhere.
-- KEYS: nodes, its epoch, its lease. ARGV: name, instance, lease in ms.
-- An epoch is at least the time in seconds, so that none is given twice even when Redis was emptied.
local ttl = redis.call('PTTL', KEYS[3])
if ttl > 0 then
  local ok, entry = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '')
  local instance = ok and type(entry) == 'table' and entry.instance or ''
  if instance ~= ARGV[2] then return {'taken', tostring(instance), tostring(ttl)} end
end
local last = tonumber(redis.call('GET', KEYS[2]) or '') or 0
local epoch = string.format('%.0f', math.max(last + 1, tonumber(redis.call('TIME')[1])))
redis.call('SET', KEYS[2], epoch)
redis.call('SET', KEYS[3], epoch, 'PX', ARGV[3])
return {'yours', epoch}
