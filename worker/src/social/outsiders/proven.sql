-- Invitations by addresses that these users have proven, in order.
--
-- $1, $2 networks and users   $3 so many at most
WITH p AS MATERIALIZED (
    SELECT DISTINCT m.network_id, m.user_id, m.verified_email
    FROM unnest($1::text[], $2::text[]) l (network_id, user_id)
    JOIN members m ON m.network_id = l.network_id AND m.user_id = l.user_id
    -- The directory's imports ask for very many users, where mostly nobody is invited.
    WHERE EXISTS (SELECT FROM social_outsiders)
)
SELECT o.network_id, o.session_id, o.kind, o.address, p.user_id
FROM p
JOIN social_outsiders o ON o.network_id = p.network_id AND o.kind = 0 AND o.address = p.verified_email
WHERE o.expires_at > statement_timestamp()
UNION ALL
SELECT o.network_id, o.session_id, o.kind, o.address, p.user_id
FROM p
JOIN users u ON u.id = p.user_id AND u.phone_verified
JOIN social_outsiders o ON o.network_id = p.network_id AND o.kind = 1 AND o.address = e164(u.phone_number)
WHERE o.expires_at > statement_timestamp()
UNION ALL
SELECT o.network_id, o.session_id, o.kind, o.address, p.user_id
FROM p
JOIN users u ON u.id = p.user_id
CROSS JOIN LATERAL (SELECT DISTINCT unnest(u.facebook)) f (account)
JOIN social_outsiders o ON o.network_id = p.network_id AND o.kind = 2 AND o.address = f.account
WHERE o.expires_at > statement_timestamp()
ORDER BY 1, 2, 3, 4, 5
LIMIT $3
