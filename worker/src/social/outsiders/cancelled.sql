-- A cancellation was sent, or given up. What is kept of it keeps the next invitation from coming too soon.
--
-- $1 to $4 network, session, kind and address   $5 the lease   $6 the pause between two invitations, in seconds
WITH gone AS (
    DELETE FROM social_messages
    WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
        AND NOT EXISTS (SELECT FROM social_sessions WHERE network_id = $1 AND id = $2)
    RETURNING false
), kept AS (
    UPDATE social_messages
    SET lease = NULL, attempts = 0, first_attempt_at = NULL, message_id = gen_random_uuid(),
        last_request_at = coalesce(sent_at, last_request_at), sent_at = NULL, cancelled = NULL, is_moved = false,
        -- Invited again meanwhile.
        due_at = CASE
            WHEN cancelled IS NULL
                THEN greatest(statement_timestamp(), coalesce(sent_at, last_request_at) + make_interval(secs => $6))
        END
    WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
        AND EXISTS (SELECT FROM social_sessions WHERE network_id = $1 AND id = $2)
    RETURNING false
)
SELECT * FROM gone UNION ALL SELECT * FROM kept
