-- Removes the oldest events. A network loses them from its oldest one on, never its newest: what is left has no hole, and
-- its head does not fall (I3, I4). A clock that was put back does not matter: what lies before an old event goes with it.
--
--   $1  kept for so many seconds
--   $2, $3, $4  looks beyond the event that moved then, of this network and position
--   $5  most events looked at
--   $6  most bytes looked at; the first event is looked at whatever its size
--
-- One row: the last event looked at, and how many were removed. None: there is nothing more to look at.
WITH old AS (
    SELECT *
    FROM (
        SELECT network_id, position, moved_at, size, sum(size) OVER place AS total
        FROM (
            SELECT network_id, position, moved_at, size
            FROM event_log
            WHERE (moved_at, network_id, position) > ($2, $3, $4)
              AND moved_at < now() - make_interval(secs => $1)
            ORDER BY moved_at, network_id, position
            LIMIT $5
        ) l
        WINDOW place AS (ORDER BY moved_at, network_id, position ROWS UNBOUNDED PRECEDING)
    ) l
    WHERE total <= $6 OR total = size
),
cut AS MATERIALIZED (
    SELECT o.network_id,
           -- Else what was removed before would be read again, as long as an old snapshot could see it.
           coalesce((SELECT through FROM event_trims WHERE network_id = o.network_id), 0) AS beyond,
           least(max(o.position), (SELECT max(position) FROM event_log WHERE network_id = o.network_id) - 1) AS through
    FROM old o
    GROUP BY o.network_id
),
gone AS (
    DELETE FROM event_log l
    USING cut c
    WHERE l.network_id = c.network_id AND l.position > c.beyond AND l.position <= c.through
    RETURNING l.network_id, l.position, l.recipients
),
forgotten AS (
    DELETE FROM event_recipients r
    USING (SELECT network_id, unnest(recipients) AS user_id, position FROM gone) g
    WHERE r.network_id = g.network_id AND r.user_id = g.user_id AND r.position = g.position
),
told AS (
    INSERT INTO event_trims AS t (network_id, through)
    SELECT network_id, through FROM cut WHERE through > beyond
    ON CONFLICT (network_id) DO UPDATE SET through = excluded.through WHERE t.through < excluded.through
)
SELECT moved_at, network_id, position, (SELECT count(*) FROM gone)
FROM old
ORDER BY moved_at DESC, network_id DESC, position DESC
LIMIT 1
