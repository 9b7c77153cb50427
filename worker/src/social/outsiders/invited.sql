-- An invitation was sent, or that its session has moved.
--
-- $1 to $4 network, session, kind and address   $5 the lease   $6 the pause between two invitations, in seconds
-- $7 the version that it told   $8 the invitation
UPDATE social_messages m
SET sent_at = statement_timestamp(), last_request_at = NULL, lease = NULL, attempts = 0, first_attempt_at = NULL,
    message_id = gen_random_uuid(),
    is_moved = is_moved AND version <> $7,
    due_at = CASE
        -- The session was deleted meanwhile, or the invitation taken back.
        WHEN cancelled IS NOT NULL THEN statement_timestamp()
        WHEN version <> $7
            -- A worker of the release before has taken it back and given it again: the link that was sent is worth nothing.
            OR EXISTS (
                SELECT FROM social_outsiders o
                WHERE o.network_id = m.network_id AND o.session_id = m.session_id AND o.kind = m.kind
                    AND o.address = m.address AND o.id <> $8)
            THEN statement_timestamp() + make_interval(secs => $6)
    END
WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
RETURNING false
