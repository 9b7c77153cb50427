-- Removes what was sent, or was to be sent, to outsiders about sessions, when nothing more will come of it.
--
-- A message is needed while it may be sent, and while its session is to come: then whoever was sent an invitation is owed
-- word of its end (I2), and is not sent a second one too soon (S10). What is needed is looked at again later.
--
--   $1  kept for so many seconds, after it was sent or due, and after its session
--   $2  most rows
--   $3  looks from this time on
--
-- One row: the last time looked at, how many were looked at, how many of them were removed, and, as JSON, those of these that
-- were still to be sent.
WITH old AS (
    SELECT ctid AS place, keep_until AS at, network_id, session_id, kind, address, sent_at, due_at
    FROM social_messages
    WHERE keep_until >= $3 AND keep_until < now()
    ORDER BY keep_until
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
judged AS MATERIALIZED (
    SELECT o.place,
           CASE
               -- `greatest` passes over NULL.
               WHEN greatest(o.sent_at, o.due_at) > now() - make_interval(secs => $1)
                   THEN greatest(o.sent_at, o.due_at) + make_interval(secs => $1)
               WHEN s.id IS NOT NULL
                   AND coalesce(s.ends_at, 'infinity') > now() - make_interval(secs => $1)
                   AND (o.sent_at IS NOT NULL OR EXISTS (
                       SELECT FROM social_outsiders i
                       WHERE i.network_id = o.network_id AND i.session_id = o.session_id AND i.kind = o.kind
                           AND i.address = o.address AND i.expires_at > now()))
                   -- A session that is put off is found so; one that is over for longer is not needed any more.
                   THEN now() + make_interval(secs => $1)
           END AS keep_until
    FROM old o
    LEFT JOIN social_sessions s ON s.network_id = o.network_id AND s.id = o.session_id
),
kept AS (
    UPDATE social_messages m SET keep_until = j.keep_until
    FROM judged j
    WHERE m.ctid = j.place AND j.keep_until IS NOT NULL
),
gone AS (
    DELETE FROM social_messages WHERE ctid = ANY (ARRAY(SELECT place FROM judged WHERE keep_until IS NULL))
    RETURNING network_id, session_id, kind, address, attempts, due_at, cancelled, sent_at IS NOT NULL AND is_moved AS is_change
)
SELECT max(at), count(*), (SELECT count(*) FROM gone),
       (SELECT coalesce(json_agg(json_build_object(
            'kind', g.kind, 'session', g.session_id, 'attempts', g.attempts, 'isChange', g.is_change,
            'isCancellation', g.cancelled IS NOT NULL,
            -- Somebody was to be told: of the end, or of an invitation that still stands.
            'isMissed', g.cancelled IS NOT NULL OR EXISTS (
                SELECT FROM social_outsiders i
                WHERE i.network_id = g.network_id AND i.session_id = g.session_id AND i.kind = g.kind
                    AND i.address = g.address)))::text, '[]')
        FROM gone g WHERE g.due_at IS NOT NULL)
FROM old
