-- Writes a session. On a Redis Cluster there is only the first key.
-- KEYS: hash of the user; hash of the host, hash of the node, epoch of the node.
-- ARGV: epoch, id, record, channel, notice, whether the user's sessions are wanted;
--       field of the host, short record, field of the node.
if KEYS[4] then
	local epoch = redis.pcall('GET', KEYS[4])
	if type(epoch) == 'string' and (tonumber(epoch) or 0) > tonumber(ARGV[1]) then
		return redis.error_reply('FENCED ' .. epoch)
	end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
if KEYS[4] then
	redis.call('HSET', KEYS[2], ARGV[7], ARGV[8])
	redis.call('HSET', KEYS[3], ARGV[9], ARGV[7])
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
if ARGV[6] == '1' then
	return redis.call('HGETALL', KEYS[1])
end
return {}
