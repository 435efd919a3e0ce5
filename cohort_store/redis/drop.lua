#!lua flags=allow-oom
-- Forget the changes of an outbox up to and including one, if that very one is still there.
--
-- KEYS: the outbox. ARGV: the entry's id, the start of its change's SHA-1, the id right behind it.
-- A full server runs it too: it only gives back, and what cannot be dropped would be published again and again.
-- Why the SHA-1: a server that takes over with an older clock may give the same ids to other changes.
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not found or string.sub(redis.sha1hex(found[2][2]), 1, #ARGV[2]) ~= ARGV[2] then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3])
