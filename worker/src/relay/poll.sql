-- Looks which partitions have something to move, without moving it.
--
--   $1  partitions
--   $2  their lower bounds, in the same order (bound.rs)
--   $3  whether to take a transaction id
--
-- One row for each partition: `lowest` and `age` are of its first row, NULL when there is none.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
       CASE WHEN $3 THEN pg_current_xact_id()::text::bigint END AS xid,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_seq) AS last,
       w.partition, first.seq AS lowest,
       extract(epoch FROM clock_timestamp() - first.created_at)::float8 AS age
FROM unnest($1::smallint[], $2::bigint[]) AS w (partition, bound)
LEFT JOIN LATERAL (
    SELECT seq, created_at
    FROM outbox
    WHERE partition = w.partition AND seq >= w.bound
    ORDER BY seq
    LIMIT 1
) first ON true
