-- Addresses that these users have proven. Each user's are looked up by themselves (OFFSET 0), whatever the planner believes of how
-- many there are.
--
-- $1, $2 networks and users
WITH p AS MATERIALIZED (
    SELECT m.network_id, m.user_id, m.verified_email, m.e164, m.facebook
    FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) l (network_id, user_id)
    CROSS JOIN LATERAL (
        SELECT m.network_id, m.user_id, m.verified_email,
               CASE WHEN u.phone_verified THEN e164(u.phone_number) END AS e164, u.facebook
        FROM members m JOIN users u ON u.id = m.user_id
        WHERE m.network_id = l.network_id AND m.user_id = l.user_id
        OFFSET 0
    ) m
    -- The directory's imports ask for very many users, where mostly nobody is invited.
    WHERE EXISTS (SELECT FROM social_outsiders)
)
SELECT network_id, user_id, 0::smallint AS kind, verified_email AS address FROM p WHERE verified_email IS NOT NULL
UNION ALL
SELECT network_id, user_id, 1::smallint, e164 FROM p WHERE e164 IS NOT NULL
UNION ALL
SELECT network_id, user_id, 2::smallint, unnest(facebook) FROM p
