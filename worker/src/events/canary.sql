-- Leaves a canary in the outbox. Makes its network known if it is the first, and removes those that everybody has long had:
-- there would be millions a day. From the oldest on and never the newest, as all of the log is trimmed (I3, I4).
--
--   $1, $2  network and its partition
--   $3      the network's epoch, when it is new
--   $4      the pod that receives it
--   $5, $6  name and payload
--   $7      size, as the outbox measures it
WITH made AS (
    INSERT INTO networks (id, partition, epoch) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
),
old AS MATERIALIZED (
    SELECT max(position) AS through
    FROM event_log
    WHERE network_id = $1
      AND moved_at < now() - interval '1 minute'
      AND position < (SELECT max(position) FROM event_log WHERE network_id = $1)
),
gone AS (
    DELETE FROM event_log l
    USING old
    WHERE l.network_id = $1 AND l.position <= old.through
    RETURNING l.position, l.recipients
),
forgotten AS (
    DELETE FROM event_recipients r
    USING (SELECT position, unnest(recipients) AS user_id FROM gone) g
    WHERE r.network_id = $1 AND r.user_id = g.user_id AND r.position = g.position
)
INSERT INTO outbox (partition, network_id, recipients, name, payload, size) VALUES ($2, $1, ARRAY[$4], $5, $6, $7)
