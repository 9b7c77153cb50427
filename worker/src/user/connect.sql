-- Everything that a gateway must know before it lets a session in. One statement, so one snapshot: what is at or below
-- `head` is reflected in everything else (I7). No row when the network is unknown.
--
-- $1 network, $2 user, $3 sid
SELECT
    n.partition AS network_partition,
    n.epoch AS network_epoch,
    n.full_name AS network_full_name,
    n.type AS network_type,
    n.thumbnail AS network_thumbnail,
    n.parent_network_id AS network_parent_id,
    n.state AS network_state,
    n.defaults AS network_defaults,
    n.presentation_domain AS network_presentation_domain,
    n.studio_domain AS network_studio_domain,
    n.share_domain AS network_share_domain,
    n.load_balancer_url AS network_load_balancer_url,
    n.created_at AS network_created_at,
    n.updated_at AS network_updated_at,

    -- Missing, so NULL throughout, when the user has never been seen. Who was deleted has been.
    u.id IS NOT NULL AS is_known,
    m.user_id IS NOT NULL AS is_member,
    EXISTS (
        SELECT 1 FROM revoked_sessions r WHERE r.sid = $3 AND r.revoked_at > now() - interval '30 days'
    ) AS is_revoked,
    -- Each by its name: `u.*` would make every prepared statement fail when a newer schema adds a column.
    u.id, u.created_at, u.updated_at, u.company_name, u.company_title, u.first_name, u.last_name, u.birthday, u.hometown,
    u.education, u.zip_code, u.description, u.link_url, u.privacy_mode, u.avatar, u.avatar_3d, u.params, u.identity_type,
    u.identity_name, u.z_address, u.contact_count, u.pending_contact_count, u.new_notifications_count,
    u.ideal_match_count, u.email, u.email_verified, u.phone_number, u.is_admin, u.is_developer, u.user_roles, u.settings,

    -- U1
    (SELECT count(*) FROM meeting_participants p
     WHERE p.network_id = n.id AND p.user_id = $2 AND p.status = 'received' AND p.ends_at > now()
    ) AS pending_request_count,
    (SELECT count(*) FROM social_participants p
     WHERE p.network_id = n.id AND p.user_id = $2 AND p.role IS NOT NULL AND p.joined_at IS NULL
         AND coalesce(p.ends_at, 'infinity') > now()
    ) AS new_invitations_count,
    (SELECT count(*) FROM rooms r
     WHERE r.network_id = n.id AND r.owner_id = $2 AND r.is_public AND r.deleted_at IS NULL
    ) AS public_room_count,

    coalesce((SELECT max(l.position) FROM event_log l WHERE l.network_id = n.id), 0) AS head,
    -- Drawn whatever becomes of the session: fences need not be dense (I9).
    nextval('fence') AS fence
FROM networks n
LEFT JOIN users u ON u.id = $2
LEFT JOIN members m ON m.network_id = n.id AND m.user_id = $2
WHERE n.id = $1 AND n.deleted_at IS NULL
