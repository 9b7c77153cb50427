-- The beginning of a statement: whether the caller may meet at a place (V4).
--
-- $1 network  $2 caller  $3 source type, and of $4 room, $5 prop, $6 group those that it needs
WITH caller AS (
    SELECT is_manager FROM members WHERE network_id = $1 AND user_id = $2
),
-- The error code that the place refuses with, 0 when the caller may meet there.
place AS (
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM caller) THEN 401
        WHEN $3 IN ('room', 'prop') THEN coalesce(
            (SELECT CASE
                 WHEN NOT (r.is_public OR r.owner_id = $2 OR $2 = ANY (r.viewers) OR (SELECT is_manager FROM caller))
                     THEN 803
                 WHEN $3 = 'prop' AND NOT EXISTS (
                     SELECT FROM props p
                     WHERE p.network_id = $1 AND p.id = $5 AND p.room_id = $4 AND p.deleted_at IS NULL)
                     THEN 404
                 ELSE 0
             END
             FROM rooms r WHERE r.network_id = $1 AND r.id = $4 AND r.deleted_at IS NULL),
            802)
        WHEN $3 = 'group' AND NOT EXISTS (
            SELECT FROM group_members gm JOIN groups g ON g.network_id = gm.network_id AND g.id = gm.group_id
            WHERE gm.network_id = $1 AND gm.group_id = $6 AND gm.user_id = $2 AND g.deleted_at IS NULL)
            THEN 404
        ELSE 0
    END AS refusal
)
