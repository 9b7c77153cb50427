-- A cancellation was not sent, and is tried again.
--
-- $1 to $4 network, session, kind and address   $5 the lease   $6 the pause between two invitations, in seconds
-- $7 when to try again, in seconds
UPDATE social_messages
SET lease = NULL,
    -- Invited again meanwhile: that is told instead.
    message_id = CASE WHEN cancelled IS NULL THEN gen_random_uuid() ELSE message_id END,
    attempts = CASE WHEN cancelled IS NULL THEN 0 ELSE attempts END,
    first_attempt_at = CASE WHEN cancelled IS NOT NULL THEN first_attempt_at END,
    due_at = CASE
        WHEN cancelled IS NOT NULL THEN statement_timestamp() + make_interval(secs => $7)
        ELSE greatest(statement_timestamp(), coalesce(sent_at, last_request_at) + make_interval(secs => $6))
    END
WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
RETURNING false
