-- Moves what waits in some partitions into the log. One statement, one transaction: rows leave the outbox exactly when
-- they have their place (I3). Rows before a partition's lower bound are known to be gone (bound.rs).
--
--   $1  partitions
--   $2  their lower bounds, in the same order
--   $3  most rows of each
--   $4  most bytes of each; the first row is moved whatever its size
--
-- One row for each event that was moved, ordered by network and position. When there is none, one row of which only what
-- is the same in every row is not NULL: `xmin`, `xid`, `last` (bound.rs) and `cut`, the partitions that may hold more.
WITH candidates AS (
    SELECT w.partition, first.row, first.total <= $4 OR first.total = first.size AS taken, first.number
    FROM unnest($1::smallint[], $2::bigint[]) AS w (partition, bound)
    CROSS JOIN LATERAL (
        SELECT o.ctid AS row, o.size, sum(o.size) OVER place AS total, row_number() OVER place AS number
        FROM (
            SELECT ctid, seq, size
            FROM outbox
            WHERE partition = w.partition AND seq >= w.bound
            ORDER BY seq
            LIMIT $3
        ) o
        WINDOW place AS (ORDER BY o.seq ROWS UNBOUNDED PRECEDING)
    ) first
),
moved AS (
    DELETE FROM outbox
    WHERE ctid = ANY (ARRAY(SELECT row FROM candidates WHERE taken))
    RETURNING partition, seq, network_id, recipients, name, payload, size, created_at, trace_parent
),
heads AS MATERIALIZED (
    SELECT m.network_id,
           (SELECT epoch FROM networks WHERE id = m.network_id) AS epoch,
           coalesce((SELECT max(position) FROM event_log WHERE network_id = m.network_id), 0) AS head
    FROM (SELECT DISTINCT network_id FROM moved) m
),
placed AS (
    SELECT m.*, h.epoch, h.head + row_number() OVER (PARTITION BY m.network_id ORDER BY m.seq) AS position
    FROM moved m JOIN heads h ON h.network_id = m.network_id
),
logged AS (
    INSERT INTO event_log (network_id, position, name, recipients, payload, size, trace_parent)
    SELECT network_id, position, name, recipients, payload, size, trace_parent FROM placed
),
addressed AS (
    INSERT INTO event_recipients (network_id, user_id, position)
    SELECT DISTINCT network_id, unnest(recipients), position FROM placed ORDER BY 1, 2, 3
)
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
       pg_current_xact_id()::text::bigint AS xid,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_seq) AS last,
       ARRAY(SELECT DISTINCT partition FROM candidates WHERE NOT taken OR number = $3) AS cut,
       p.partition, p.seq, p.network_id, p.epoch, p.position, p.name, p.recipients, p.payload, p.trace_parent,
       extract(epoch FROM clock_timestamp() - p.created_at)::float8 AS age
FROM (SELECT) AS always
LEFT JOIN placed p ON true
ORDER BY p.network_id, p.position
