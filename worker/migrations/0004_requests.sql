-- Requests that are done once, sessions that were revoked, and the fence that orders the claims of a session.

-- A change of a client, by the event.id that the client gave it. Written in the transaction of the change itself: it is
-- there exactly when the change is. Kept for retry-retention.
CREATE TABLE done_requests (
    network_id text        NOT NULL,
    user_id    text        NOT NULL,
    sid        text        NOT NULL,
    event_id   text        NOT NULL,
    endpoint   text        NOT NULL,
    -- SHA-256 of the request's data in a canonical form.
    digest     bytea       NOT NULL,
    -- The answer's data as JSON. NULL only inside the transaction that does the request.
    answer     text,
    done_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network_id, user_id, sid, event_id)
);
CREATE INDEX done_requests_by_age ON done_requests (done_at);

-- Every token with such a sid is refused for 30 days, whatever its user and network.
CREATE TABLE revoked_sessions (
    sid        text        PRIMARY KEY,
    revoked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revoked_sessions_by_age ON revoked_sessions (revoked_at);

-- Orders the claims of sessions. It stands here so that it never falls, whatever Redis forgets (I9). No CACHE: a
-- connection that keeps numbers for itself would hand out old ones later.
CREATE SEQUENCE fence AS bigint;
