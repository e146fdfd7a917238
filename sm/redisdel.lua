-- Removes a session. On a Redis Cluster there is only the first key.
-- KEYS: hash of the user; hash of the host, hash of the node.
-- ARGV: id, channel, notice, lowest and highest epoch whose records may go (empty:
--       any); field of the host, field of the node.
-- Returns its record if it was there and a highest epoch is given, else whether it
-- was there.
local record = redis.pcall('HGET', KEYS[1], ARGV[1])
if type(record) ~= 'string' then
	record = false -- it is gone, or the key is not ours
end
local foreign = false
if record and (ARGV[4] ~= '' or ARGV[5] ~= '') then
	local ok, r = pcall(cjson.decode, record)
	foreign = not ok or type(r) ~= 'table' or type(r.epoch) ~= 'number'
	if not foreign and (r.epoch < (tonumber(ARGV[4]) or 0) or r.epoch > (tonumber(ARGV[5]) or math.huge)) then
		return redis.error_reply('ANOTHER epoch')
	end
end
if KEYS[3] then
	redis.pcall('HDEL', KEYS[2], ARGV[6])
	redis.pcall('HDEL', KEYS[3], ARGV[7])
end
if foreign then
	return redis.error_reply('FOREIGN value')
end
if not record then
	return false
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return ARGV[5] ~= '' and record or '1'
