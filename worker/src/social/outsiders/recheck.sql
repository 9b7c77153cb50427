-- Notes who has proven addresses that were invited a while ago and not looked at since.
--
-- $1 so many addresses at most
WITH checked AS (
    UPDATE social_outsiders SET recheck_at = NULL
    WHERE (network_id, session_id, kind, address) IN (
        SELECT network_id, session_id, kind, address FROM social_outsiders
        WHERE recheck_at <= statement_timestamp()
        ORDER BY recheck_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING network_id, kind, address
)
INSERT INTO social_provers (network_id, user_id)
SELECT m.network_id, m.user_id
FROM checked c JOIN members m ON m.network_id = c.network_id AND m.verified_email = c.address
WHERE c.kind = 0
UNION
SELECT m.network_id, m.user_id
FROM checked c
JOIN users u ON e164(u.phone_number) = c.address AND u.phone_verified
JOIN members m ON m.network_id = c.network_id AND m.user_id = u.id
WHERE c.kind = 1
UNION
SELECT m.network_id, m.user_id
FROM checked c
JOIN users u ON u.facebook @> ARRAY[c.address]
JOIN members m ON m.network_id = c.network_id AND m.user_id = u.id
WHERE c.kind = 2
ON CONFLICT DO NOTHING
