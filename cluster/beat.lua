-- Renews the lease of a node and returns what is known of all.
-- KEYS: nodes, its epoch, its lease. ARGV: name, epoch, lease in ms, entry, names of the dead that it sweeps.
local function number(text) return tonumber(text or '') end
local nodes, name, epoch = KEYS[1], ARGV[1], tonumber(ARGV[2])
local now = number(redis.call('GET', KEYS[2]))
if now and now > epoch then return {'fenced'} end
local out = {'ok'}
if not now or now < epoch then
  out[1] = 'emptied'
  redis.call('SET', KEYS[2], ARGV[2])
end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', nodes, name, ARGV[4])
for i = 5, #ARGV do
  local claim = nodes .. ':claim:' .. ARGV[i]
  if redis.call('GET', claim) == name then redis.call('PEXPIRE', claim, ARGV[3]) end
end
local all = redis.call('HGETALL', nodes)
for i = 1, #all, 2 do
  local e = redis.pcall('GET', nodes .. ':epoch:' .. all[i])
  if type(e) ~= 'string' then e = '' end
  out[#out + 1] = all[i]
  out[#out + 1] = all[i + 1]
  out[#out + 1] = e
  out[#out + 1] = tostring(redis.call('PTTL', nodes .. ':lease:' .. all[i]))
end
return out
