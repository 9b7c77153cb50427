-- Invitations by addresses that users have proven, in order. Each address is looked up by itself (OFFSET 0), whatever the planner
-- believes of how many there are.
--
-- $1, $2 networks and users   $3, $4 kinds and addresses that they have proven   $5 so many at most
SELECT o.network_id, o.session_id, o.kind, o.address, a.user_id
FROM (
    SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[])
) a (network_id, user_id, kind, address)
CROSS JOIN LATERAL (
    SELECT o.network_id, o.session_id, o.kind, o.address
    FROM social_outsiders o
    WHERE o.network_id = a.network_id AND o.kind = a.kind AND o.address = a.address
        AND o.expires_at > statement_timestamp()
    OFFSET 0
) o
ORDER BY 1, 2, 3, 4, 5
LIMIT $5
