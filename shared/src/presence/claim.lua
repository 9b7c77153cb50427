-- Claims a session for a socket, unless a higher fence has it (invariant I9).
--
-- KEYS[1]  presence:{user}: hash, session -> record of its socket
-- ARGV[1]  session
-- ARGV[2]  record without its expiry
-- ARGV[3]  fence, as twenty digits: Lua's numbers are not exact beyond 2^53, and digits compare like numbers
-- ARGV[4]  lifetime, in milliseconds
--
-- Answers {1, record that was replaced, or ''} or {0, ''}. An expired record counts for nothing; those of the user's other
-- sessions are dropped here, because a dead pod never comes back for them.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local records = redis.call('HGETALL', KEYS[1])
local replaced = ''

for i = 1, #records, 2 do
    local expires, fence = string.match(records[i + 1], '^{"expires_ms":(%d+),"fence":"(%d+)"')
    if not expires or tonumber(expires) <= now then
        redis.call('HDEL', KEYS[1], records[i])
    elseif records[i] == ARGV[1] then
        if fence > ARGV[3] then
            return {0, ''}
        elseif fence < ARGV[3] then
            replaced = records[i + 1]
        end
    end
end

redis.call('HSET', KEYS[1], ARGV[1], string.format('{"expires_ms":%.0f,%s', now + ARGV[4], ARGV[2]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {1, replaced}
