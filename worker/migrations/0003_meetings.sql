-- Meetings and who takes part in them. The organizer is always a participant, so what a user organizes is found there too.

CREATE TABLE meetings (
    -- No foreign key: a network's row is never removed, and every meeting would lock it.
    network_id     text             NOT NULL,
    id             uuid             NOT NULL,
    organizer_id   text             NOT NULL,
    -- M1. The ids that the type needs are set, the others are NULL.
    source_type    text             NOT NULL,
    room_id        text,
    prop_id        text,
    group_id       text,
    direct_user_id text,
    starts_at      timestamptz      NOT NULL,
    ends_at        timestamptz      NOT NULL,
    subject        text             NOT NULL,
    description    text             NOT NULL,
    color_r        double precision NOT NULL,
    color_g        double precision NOT NULL,
    color_b        double precision NOT NULL,
    color_a        double precision NOT NULL,
    -- M4: rises when the time changes (RFC 5546 2.1.4).
    sequence       integer          NOT NULL DEFAULT 0,
    created_at     timestamptz      NOT NULL DEFAULT now(),
    updated_at     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (network_id, id),
    CONSTRAINT meetings_source CHECK (
        CASE source_type
            WHEN 'room' THEN num_nonnulls(room_id) = 1 AND num_nonnulls(prop_id, group_id, direct_user_id) = 0
            WHEN 'prop' THEN num_nonnulls(room_id, prop_id) = 2 AND num_nonnulls(group_id, direct_user_id) = 0
            WHEN 'group' THEN num_nonnulls(group_id) = 1 AND num_nonnulls(room_id, prop_id, direct_user_id) = 0
            WHEN 'direct' THEN num_nonnulls(direct_user_id) = 1 AND num_nonnulls(room_id, prop_id, group_id) = 0
            ELSE false
        END
    ),
    -- M3. Reads rely on the 31 days: what overlaps an instant began at most so long before it.
    CONSTRAINT meetings_time CHECK (starts_at < ends_at AND ends_at - starts_at <= interval '31 days')
);

CREATE TABLE meeting_participants (
    network_id text        NOT NULL,
    meeting_id uuid        NOT NULL,
    user_id    text        NOT NULL,
    status     text        NOT NULL CHECK (status IN ('received', 'accepted', 'declined')),
    -- M2: the organizer has 0, the others follow in the order in which they were invited.
    position   smallint    NOT NULL,
    -- The meeting's, so that one index answers what a user does when.
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    PRIMARY KEY (network_id, meeting_id, user_id),
    FOREIGN KEY (network_id, meeting_id) REFERENCES meetings ON DELETE CASCADE
);

CREATE INDEX meeting_participants_by_time ON meeting_participants (network_id, user_id, starts_at)
    INCLUDE (ends_at, status, meeting_id);

-- U1: pendingRequestCount.
CREATE INDEX meeting_participants_pending ON meeting_participants (network_id, user_id, ends_at) WHERE status = 'received';
