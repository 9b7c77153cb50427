-- Claims a session: the highest fence has it.
--
-- KEYS[1]  the user's hash: session -> {"place": …, "fence": …, "expires": …}
-- ARGV[1]  session
-- ARGV[2]  fence
-- ARGV[3]  place, as JSON
-- ARGV[4]  lifetime of the entry, in milliseconds
--
-- Returns {1, place of the entry that was replaced or ""}, or {0, ""} when a higher fence has the session.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fence = tonumber(ARGV[2])

-- What has expired does not count, and a user who comes and goes leaves nothing behind.
local replaced = ''
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
    local entry = cjson.decode(entries[i + 1])
    if entry.expires <= now then
        redis.call('HDEL', KEYS[1], entries[i])
    elseif entries[i] == ARGV[1] then
        if entry.fence > fence then
            return {0, ''}
        elseif entry.fence < fence then
            replaced = entry.place
        end
    end
end

redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({place = ARGV[3], fence = fence, expires = now + ARGV[4]}))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {1, replaced}
