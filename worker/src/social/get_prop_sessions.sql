-- Sessions at a prop, or in a room, that the caller sees and that are not over: all series, whose next occurrence is found
-- in Rust (T4), and of the others those that begin first.
--
-- $1 network  $2 caller  $3 room  $4 prop, '' for the room itself  $5 how many of those that do not recur
WITH here AS (
    SELECT s.id, s.is_recurring, s.starts_at
    FROM social_sessions s
    -- By newer zone data a series may end a little later than its column says.
    WHERE s.network_id = $1 AND s.room_id = $3 AND s.prop_id = $4
        AND coalesce(s.ends_at, 'infinity') > statement_timestamp() - interval '3 days'
        AND (s.is_recurring OR s.ends_at > statement_timestamp())
),
visible AS (
    SELECT h.*, r.manages
    FROM here h
    JOIN social_session_rights r ON r.network_id = $1 AND r.session_id = h.id AND r.user_id = $2
    WHERE r.sees
),
candidates AS (
    SELECT id, manages FROM visible WHERE is_recurring
    UNION ALL
    (SELECT id, manages FROM visible WHERE NOT is_recurring ORDER BY starts_at, id LIMIT $5)
)
SELECT d.*, c.manages, e.ends_at AS until, statement_timestamp() AS now
FROM candidates c
JOIN social_session_details d ON d.network_id = $1 AND d.id = c.id
LEFT JOIN social_events e ON e.network_id = $1 AND e.id = d.event_id
