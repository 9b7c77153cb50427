-- What some users have set of their availability, and when they are busy: a row for each user who is found, in each of them
-- the caller's own zone.
--
-- $1 network  $2 the users' ids and, at the same places, $3 their e-mails and $10 the older forms of these; an id that is found
--    comes first (A8)
-- $4 first and $5 last date for which what was set matters
-- $6 start and $7 end of the window for which busy time matters
-- $8 at most so many busy times of each user; 0: busy time is not asked for
-- $9 the caller
WITH found AS MATERIALIZED (
    SELECT DISTINCT coalesce(
        (SELECT m.user_id FROM members m WHERE m.network_id = $1 AND m.user_id = w.id),
        (SELECT m.user_id FROM members m WHERE m.network_id = $1 AND m.verified_email = w.email),
        (SELECT m.user_id FROM members m WHERE m.network_id = $1 AND m.verified_email = w.older_email)
    ) AS user_id
    FROM unnest($2::text[], $3::text[], $10::text[]) w (id, email, older_email)
),
-- A7: whether those who have not answered yet are busy.
network AS (
    SELECT coalesce((n.state::json #> '{data,receivedBlocks}')::text = 'true', false) AS received_blocks
    FROM networks n WHERE n.id = $1
)
SELECT
    (SELECT coalesce(json_agg(json_build_object(
         'weekday', d.weekday, 'isAvailable', d.is_available, 'timeZone', d.time_zone,
         'starts', d.range_starts, 'ends', d.range_ends)), '[]')
     FROM availability_weekdays d
     WHERE d.network_id = $1 AND d.user_id = f.user_id
    ) AS weekdays,
    (SELECT coalesce(json_agg(json_build_object(
         'day', d.day, 'isAvailable', d.is_available, 'timeZone', d.time_zone,
         'starts', d.range_starts, 'ends', d.range_ends)), '[]')
     FROM availability_days d
     WHERE d.network_id = $1 AND d.user_id = f.user_id AND d.day BETWEEN $4 AND $5
    ) AS days,
    busy.starts AS busy_starts,
    busy.ends AS busy_ends,
    -- A7: those that the user owns or has joined. The first start and the last end are there by the zone data of whoever
    -- wrote them; what really overlaps the window is found with ours.
    (SELECT coalesce(json_agg(o), '[]')
     FROM (
         SELECT s.starts_at, s.seconds, s.is_recurring, s.local_start, s.time_zone, s.ends_at, e.ends_at AS until
         FROM social_participants p
         JOIN social_sessions s ON s.network_id = p.network_id AND s.id = p.session_id
         LEFT JOIN social_events e ON e.network_id = s.network_id AND e.id = s.event_id
         WHERE p.network_id = $1 AND p.user_id = f.user_id AND (p.is_owner OR p.joined_at IS NOT NULL)
             AND coalesce(p.ends_at, 'infinity') > $6 - interval '3 days' AND p.starts_at < $7 + interval '3 days'
         LIMIT $8
     ) o
    ) AS sessions,
    (SELECT u.time_zone FROM users u WHERE u.id = $9) AS caller_time_zone
FROM found f
CROSS JOIN LATERAL (
    SELECT array_agg(b.starts_at) AS starts, array_agg(b.ends_at) AS ends
    FROM (
        -- The organizer has always accepted. What overlaps the window began at most 31 days before it (M3).
        SELECT p.starts_at, p.ends_at
        FROM meeting_participants p
        WHERE p.network_id = $1 AND p.user_id = f.user_id
            AND p.starts_at > $6 - interval '31 days' AND p.starts_at < $7 AND p.ends_at > $6
            AND (p.status = 'accepted' OR p.status = 'received' AND (SELECT received_blocks FROM network))
        LIMIT $8
    ) b
) busy
WHERE f.user_id IS NOT NULL;
