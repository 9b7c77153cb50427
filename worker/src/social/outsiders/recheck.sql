-- Notes who has proven these addresses.
--
-- $1, $2, $3 networks, kinds and addresses
WITH checked AS (SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[]) c (network_id, kind, address))
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
