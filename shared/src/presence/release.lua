-- Removes a session's entry if it is still the one of this fence.
--
-- KEYS[1]  the user's hash
-- ARGV[1]  session
-- ARGV[2]  fence
--
-- Returns nothing of interest.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored and cjson.decode(stored).fence == tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
