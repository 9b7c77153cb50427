-- Creates a meeting when the caller may (M1, M2, V4), and says why not otherwise; one row either way. It goes on where
-- `place.sql` ends.
--
-- $1 to $6 as there, so $1 network  $2 caller  $3 source type  $4 room  $5 prop  $6 group
-- $7 direct user  $8 the meeting's id
-- $9 who is invited by name, in order: without the caller, without repeats, the direct user included
-- $10 how many may be invited
-- $11 start  $12 end  $13 subject  $14 description  $15 to $18 colour

-- Who is to take part: the caller, and those whom the request names, else the whole group.
, wanted AS (
    SELECT $2 AS user_id, 0 AS position
    UNION ALL
    SELECT named.user_id, named.position FROM unnest($9) WITH ORDINALITY AS named (user_id, position)
    UNION ALL
    (SELECT gm.user_id, row_number() OVER (ORDER BY gm.position)
     FROM group_members gm JOIN members m ON m.network_id = gm.network_id AND m.user_id = gm.user_id
     WHERE $3 = 'group' AND cardinality($9) = 0 AND (SELECT refusal FROM place) = 0
         AND gm.network_id = $1 AND gm.group_id = $6 AND gm.user_id <> $2
     ORDER BY gm.position
     LIMIT $10 + 1)
),
-- Those of them who are of the network. Locked, in order, until the commit: a user who is just leaving either is seen to
-- be gone, or leaves after this meeting is there for the leaving to find (M7).
present AS (
    SELECT w.user_id, w.position
    FROM wanted w JOIN members m ON m.network_id = $1 AND m.user_id = w.user_id
    WHERE (SELECT refusal FROM place) = 0
    ORDER BY w.user_id
    FOR KEY SHARE OF m
),
counted AS (
    SELECT count(*) FILTER (WHERE position > 0) AS invited, count(*) FILTER (WHERE position = 0) AS callers FROM present
),
created AS (
    INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, prop_id, group_id, direct_user_id,
                          starts_at, ends_at, subject, description, color_r, color_g, color_b, color_a)
    SELECT $1, $8, $2, $3, $4, $5, $6, $7, $11, $12, $13, $14, $15, $16, $17, $18
    FROM counted
    WHERE callers = 1 AND invited <= $10
        -- A whole group is whoever is still there; people named are all of them or nobody.
        AND (invited = cardinality($9) OR cardinality($9) = 0)
    RETURNING network_id, id, starts_at, ends_at, created_at
),
participants AS (
    INSERT INTO meeting_participants (network_id, meeting_id, user_id, status, position, starts_at, ends_at)
    SELECT c.network_id, c.id, p.user_id, CASE WHEN p.position = 0 THEN 'accepted' ELSE 'received' END,
           p.position, c.starts_at, c.ends_at
    FROM created c, present p
)
SELECT (SELECT refusal FROM place) AS refusal,
       (SELECT created_at FROM created) AS created_at,
       (SELECT invited FROM counted) AS invited,
       ARRAY(SELECT user_id FROM present ORDER BY position) AS participant_ids,
       ARRAY(SELECT user_id FROM wanted WHERE user_id NOT IN (SELECT user_id FROM present)
             ORDER BY position LIMIT 10) AS missing;
