#!lua
-- Replace the registry's copy unless it is newer, and tell those who listen.
--
-- KEYS: the copy. ARGV: version, registry, channel.
local held = tonumber(redis.call('HGET', KEYS[1], 'version'))
if held and held > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'registry', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
