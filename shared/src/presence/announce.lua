-- Says that a gateway lives.
--
-- KEYS[1]  the sorted set of gateways: pod -> expiry
-- ARGV[1]  pod
-- ARGV[2]  lifetime of the entry, in milliseconds
--
-- Returns nothing of interest.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
