-- Removes a session's socket, if the session is still its own.
--
-- KEYS[1]  presence:{user}: hash, session -> record of its socket
-- ARGV[1]  session
-- ARGV[2]  fence, as twenty digits

local record = redis.call('HGET', KEYS[1], ARGV[1])
if record and string.match(record, '^{"expires_ms":%d+,"fence":"(%d+)"') == ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[1])
end
