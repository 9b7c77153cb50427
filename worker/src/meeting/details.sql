-- Meetings as they are now, as clients of either kind get them: what `meeting_details` says and, of those in a room or at
-- a prop, what the deprecated endpoints show beside it (M10). Whoever includes this goes on with JOIN or WHERE.
--
-- Nothing of the directory is ever removed: a deleted room or prop has its last title here, a deleted user his last name.
SELECT d.network_id, d.id, d.organizer_id, d.source_type, d.room_id, d.prop_id, d.group_id, d.direct_user_id,
       d.starts_at, d.ends_at, d.subject, d.description, d.color_r, d.color_g, d.color_b, d.color_a,
       d.created_at, d.updated_at, d.is_valid, d.participant_ids,
       r.title AS room_title, r.thumbnail AS room_thumbnail, o.title AS prop_title,
       -- Everyone who takes part, in order (M2). Beyond 1 MiB NULL: that fits no answer, and is not carried around.
       (SELECT CASE WHEN octet_length(everyone.people::text) <= 1048576 THEN everyone.people END
        FROM (SELECT json_agg(
                         json_build_object(
                             'status', t.status,
                             'user', json_build_object(
                                 'id', u.id, 'firstName', u.first_name, 'lastName', u.last_name,
                                 'privacyMode', u.privacy_mode, 'avatar', u.avatar,
                                 'avatar3D', coalesce(nullif(u.avatar_3d, ''), '{}')::json,
                                 'companyName', u.company_name, 'companyTitle', u.company_title))
                         ORDER BY t.position) AS people
              FROM meeting_participants t JOIN users u ON u.id = t.user_id
              WHERE d.room_id IS NOT NULL AND t.network_id = d.network_id AND t.meeting_id = d.id) AS everyone) AS people
FROM meeting_details d
LEFT JOIN rooms r ON r.network_id = d.network_id AND r.id = d.room_id
LEFT JOIN props o ON o.network_id = d.network_id AND o.id = d.prop_id
