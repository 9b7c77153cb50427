-- What people outside are sent when a session moves, and when their invitation is taken back (S10).
SET LOCAL lock_timeout = '2s';
ALTER TABLE social_messages
    -- Rises when what is to be sent has changed: an attempt that began before has not said it.
    ADD COLUMN version integer NOT NULL DEFAULT 0,
    -- What is to be sent says that time or place have changed.
    ADD COLUMN is_moved boolean NOT NULL DEFAULT false,
    -- When an invitation was last sent, where `sent_at` does not say it any more: it was cancelled since.
    ADD COLUMN last_request_at timestamptz;
