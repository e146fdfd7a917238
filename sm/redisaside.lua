-- Moves a key away that is not a hash, and destroys nothing.
-- KEYS: the key, where to.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' or kind == 'none' then
	return ''
end
local to, n = KEYS[2], 1
while redis.call('EXISTS', to) == 1 do
	n = n + 1
	to = KEYS[2] .. ':' .. n
end
redis.call('RENAME', KEYS[1], to)
return kind
