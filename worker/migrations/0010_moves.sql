-- What people outside are sent when a session moves, and when their invitation is taken back (S10).
SET LOCAL lock_timeout = '2s';
ALTER TABLE social_messages
    -- Rises when what is to be sent has changed: an attempt that began before has not said it.
    ADD COLUMN version integer NOT NULL DEFAULT 0,
    -- What is to be sent says that time or place have changed.
    ADD COLUMN is_moved boolean NOT NULL DEFAULT false,
    -- When an invitation was last sent, where `sent_at` does not say it any more: it was cancelled since.
    ADD COLUMN last_request_at timestamptz;

-- S9: by which zone data the first start and the end of a recurring session were worked out.
ALTER TABLE social_sessions
    -- The newest version that `starts_at` and `ends_at` were worked out with; NULL: not known, so an old one.
    ADD COLUMN zone_data          text COLLATE "C",
    -- The session's sequence number then: when it is another one, somebody has moved the session since who has older data, or
    -- is of a release that does not know of these columns.
    ADD COLUMN zone_data_sequence integer;

-- How far the sessions of a network have been looked at, for what is to be worked out again with newer zone data.
CREATE TABLE social_zone_passes (
    network_id    text        PRIMARY KEY,
    -- The newest version that it was done with, or is being done. It never falls.
    zone_data     text        COLLATE "C" NOT NULL,
    -- Sessions up to this one have been looked at; NULL: nobody is at it.
    beyond        uuid,
    -- Who is at it, and until when nobody else is.
    claim         uuid        NOT NULL,
    claimed_until timestamptz NOT NULL,
    -- When all of them had last been looked at; NULL: not with this version yet.
    done_at       timestamptz
);
