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

-- M7: users who are of a network no more and still stand in more meetings than one request could take them off. Whoever
-- serves `directory` goes on; until then they cannot return. Nearly always empty.
CREATE TABLE meeting_leavers (
    network_id text        NOT NULL,
    user_id    text        NOT NULL,
    left_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network_id, user_id)
);

-- A meeting as it is answered with: whether its source is there (M7), and who takes part, in order (M2).
CREATE VIEW meeting_details AS
SELECT m.network_id, m.id, m.organizer_id, m.source_type, m.room_id, m.prop_id, m.group_id, m.direct_user_id,
       m.starts_at, m.ends_at, m.subject, m.description, m.color_r, m.color_g, m.color_b, m.color_a,
       m.sequence, m.created_at, m.updated_at,
       CASE m.source_type
           WHEN 'room' THEN EXISTS (
               SELECT FROM rooms r
               WHERE r.network_id = m.network_id AND r.id = m.room_id AND r.deleted_at IS NULL)
           WHEN 'prop' THEN EXISTS (
               SELECT FROM props p JOIN rooms r ON r.network_id = p.network_id AND r.id = p.room_id
               WHERE p.network_id = m.network_id AND p.id = m.prop_id
                   AND p.deleted_at IS NULL AND r.deleted_at IS NULL)
           WHEN 'group' THEN EXISTS (
               SELECT FROM groups g
               WHERE g.network_id = m.network_id AND g.id = m.group_id AND g.deleted_at IS NULL)
           ELSE EXISTS (
               SELECT FROM members u WHERE u.network_id = m.network_id AND u.user_id = m.direct_user_id)
       END AS is_valid,
       ARRAY(SELECT p.user_id FROM meeting_participants p
             WHERE p.network_id = m.network_id AND p.meeting_id = m.id
             ORDER BY p.position) AS participant_ids
FROM meetings m;
