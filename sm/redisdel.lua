-- Removes a session. On a Redis Cluster there is only the first key.
-- KEYS: hash of the user; hash of the host, hash of the node.
-- ARGV: id, channel, notice, highest epoch whose records may go (empty: all);
--       field of the host, field of the node.
-- Returns whether it was there; with an epoch given, its record.
local record = redis.pcall('HGET', KEYS[1], ARGV[1])
if type(record) ~= 'string' then
	record = false -- it is gone, or the key is not ours
end
local foreign = false
if record and ARGV[4] ~= '' then
	local ok, r = pcall(cjson.decode, record)
	foreign = not ok or type(r) ~= 'table' or type(r.epoch) ~= 'number'
	if not foreign and r.epoch > tonumber(ARGV[4]) then
		return redis.error_reply('NEWER epoch')
	end
end
if KEYS[3] then
	redis.pcall('HDEL', KEYS[2], ARGV[5])
	redis.pcall('HDEL', KEYS[3], ARGV[6])
end
if foreign then
	return redis.error_reply('FOREIGN value')
end
if not record then
	return false
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return ARGV[4] ~= '' and record or '1'
