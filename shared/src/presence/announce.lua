-- Says that a pod lives for another lifetime, and forgets those that do not.
--
-- KEYS[1]  presence-pods: sorted set, pod -> when it expires, in Unix milliseconds
-- ARGV[1]  pod
-- ARGV[2]  lifetime, in milliseconds

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- When the last pod is gone nobody comes to forget it.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
