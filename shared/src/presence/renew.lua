-- Keeps a session's socket for another lifetime, unless a higher fence has the session. What Redis has forgotten is there
-- again afterwards.
--
-- KEYS[1]  presence:{user}: hash, session -> record of its socket
-- ARGV[1]  session
-- ARGV[2]  record without its expiry
-- ARGV[3]  fence, as twenty digits
-- ARGV[4]  lifetime, in milliseconds
--
-- Answers 1, or 0 when a higher fence has it.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HGET', KEYS[1], ARGV[1])

if record then
    local expires, fence = string.match(record, '^{"expires_ms":(%d+),"fence":"(%d+)"')
    if expires and tonumber(expires) > now and fence > ARGV[3] then
        return 0
    end
end

redis.call('HSET', KEYS[1], ARGV[1], string.format('{"expires_ms":%.0f,%s', now + ARGV[4], ARGV[2]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
