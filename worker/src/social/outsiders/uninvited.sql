-- An invitation was not sent, nor that its session has moved.
--
-- $1 to $4 network, session, kind and address   $5 the lease   $6 the pause between two invitations, in seconds
-- $7 the version that it would have told   $8 when to try again, in seconds; NULL: it is given up
WITH gone AS (
    -- Nobody has been told anything: there is nothing to take back, nor to remember.
    DELETE FROM social_messages
    WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
        AND coalesce(sent_at, last_request_at) IS NULL
        AND (cancelled IS NOT NULL OR $8::double precision IS NULL AND version = $7)
    RETURNING cancelled IS NOT NULL AND $8 IS NOT NULL
), kept AS (
    UPDATE social_messages
    SET lease = NULL,
        -- What is to be told next is another message.
        message_id = CASE WHEN cancelled IS NOT NULL OR version <> $7 THEN gen_random_uuid() ELSE message_id END,
        attempts = CASE WHEN cancelled IS NULL AND $8 IS NOT NULL THEN attempts ELSE 0 END,
        first_attempt_at = CASE WHEN cancelled IS NULL AND $8 IS NOT NULL AND version = $7 THEN first_attempt_at END,
        is_moved = is_moved AND ($8 IS NOT NULL OR version <> $7),
        cancelled = CASE WHEN sent_at IS NOT NULL THEN cancelled END,
        due_at = CASE
            WHEN cancelled IS NOT NULL THEN CASE WHEN sent_at IS NOT NULL THEN statement_timestamp() END
            WHEN $8 IS NOT NULL THEN statement_timestamp() + make_interval(secs => $8)
            WHEN version <> $7
                THEN greatest(statement_timestamp(), coalesce(sent_at, last_request_at) + make_interval(secs => $6))
        END
    WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
        AND NOT (coalesce(sent_at, last_request_at) IS NULL
                 AND (cancelled IS NOT NULL OR $8 IS NULL AND version = $7))
    RETURNING due_at IS NULL AND $8 IS NOT NULL
)
SELECT * FROM gone UNION ALL SELECT * FROM kept
