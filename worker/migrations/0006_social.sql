-- Social events, their sessions, and who is invited to a session or has joined it.

-- S10: a phone number as it is compared, `+` and 7 to 15 digits; NULL for a text that is none. What clients write is read by
-- worker/src/social/address.rs, in the same way.
CREATE FUNCTION e164(phone text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN substring(
    regexp_replace(translate(replace(phone, '(0)', ''), E' \t\u00a0()./-', ''), '^00', '+')
    FROM '^\+[1-9][0-9]{6,14}$'
);

-- Who has proven an address: found among all users, whichever worker has written them, then in `members`.
CREATE INDEX users_by_phone ON users (e164(phone_number)) WHERE e164(phone_number) IS NOT NULL;
-- Looked at far more often than it is written: no list of what is still to be sorted in.
CREATE INDEX users_by_facebook ON users USING gin (facebook) WITH (fastupdate = off);

CREATE TABLE social_events (
    -- No foreign key, as in `meetings`.
    network_id          text             NOT NULL,
    id                  uuid             NOT NULL,
    -- S1: '' when the network itself is the source.
    community_id        text             NOT NULL,
    creator_id          text             NOT NULL,
    is_published        boolean          NOT NULL DEFAULT false,
    title               text             NOT NULL,
    description         text             NOT NULL,
    starts_at           timestamptz      NOT NULL,
    ends_at             timestamptz      NOT NULL,
    preview_resource_id text             NOT NULL,
    room_id             text             NOT NULL,  -- of sessions that name none; '' when there is none
    -- S6: 0 for none. How many have joined is counted, under this row's lock.
    participant_limit   bigint           NOT NULL CHECK (participant_limit >= 0),
    price               double precision NOT NULL CHECK (price >= 0),
    custom_data         text             NOT NULL,  -- JSON object, the client's own
    form_schema         text             NOT NULL,  -- JSON object, the client's own
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (network_id, id),
    CONSTRAINT social_events_time CHECK (starts_at < ends_at)
);

-- S1: those that ended longest ago come last.
CREATE INDEX social_events_by_source ON social_events (network_id, community_id, ends_at);

CREATE TABLE social_sessions (
    network_id   text             NOT NULL,
    id           uuid             NOT NULL,
    event_id     uuid,            -- NULL: it stands in a room of its own
    owner_id     text             NOT NULL,
    owner_name   text             NOT NULL,  -- I3: as it was when the session was created
    room_id      text             NOT NULL,  -- '' when neither the session nor its event names one
    prop_id      text             NOT NULL,  -- '' for the room itself
    session_type smallint         NOT NULL CHECK (session_type BETWEEN 0 AND 2),  -- S5: public, private, open slot
    title        text             NOT NULL,
    description  text             NOT NULL,
    color_r      double precision NOT NULL,
    color_g      double precision NOT NULL,
    color_b      double precision NOT NULL,
    color_a      double precision NOT NULL,
    -- S9, T4. A single session is its first instant and its seconds. A recurring one is what the clock shows at its first
    -- start, every week, in the zone that its owner had: all but `starts_at` and `ends_at` of it is what clients have said,
    -- and these two follow from it by the zone data of the worker that wrote them.
    starts_at    timestamptz      NOT NULL,
    seconds      integer          NOT NULL CHECK (seconds BETWEEN 1 AND 2678400),
    is_recurring boolean          NOT NULL,
    local_start  timestamp        NOT NULL,
    time_zone    text             NOT NULL,  -- IANA name, or an offset such as +05:45
    -- The end of its last occurrence; NULL: it goes on without end.
    ends_at      timestamptz,
    -- I3: rises when the time changes.
    sequence     integer          NOT NULL DEFAULT 0,
    created_at   timestamptz      NOT NULL DEFAULT now(),
    updated_at   timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (network_id, id),
    FOREIGN KEY (network_id, event_id) REFERENCES social_events,
    -- S4: one of the two says where it is.
    CONSTRAINT social_sessions_place CHECK (event_id IS NOT NULL OR room_id <> '')
);

-- S1: as `social_events_by_source`; what has no end ends last.
CREATE INDEX social_sessions_by_event ON social_sessions (network_id, event_id, (coalesce(ends_at, 'infinity')))
    WHERE event_id IS NOT NULL;

-- S9, M10: what is still to be at a room or a prop.
CREATE INDEX social_sessions_by_place ON social_sessions (network_id, room_id, prop_id, (coalesce(ends_at, 'infinity')));

-- Whoever belongs to a session: its owner, those who are invited, those who have joined. One row for each, and no other row.
CREATE TABLE social_participants (
    network_id   text        NOT NULL,
    session_id   uuid        NOT NULL,
    user_id      text        NOT NULL,
    is_owner     boolean     NOT NULL,
    -- S10: 0 attendee, 1 presenter, 2 panelist; NULL: not invited. The owner never is.
    role         smallint    CHECK (role BETWEEN 0 AND 2),
    -- In which order they were invited.
    invited_no   integer,
    joined_at    timestamptz,
    -- The session's, so that one index answers who takes a place in an event, and what a user does when.
    event_id     uuid,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz,
    PRIMARY KEY (network_id, session_id, user_id),
    FOREIGN KEY (network_id, session_id) REFERENCES social_sessions ON DELETE CASCADE,
    CONSTRAINT social_participants_belong CHECK (is_owner OR role IS NOT NULL OR joined_at IS NOT NULL),
    CONSTRAINT social_participants_invited CHECK ((role IS NULL) = (invited_no IS NULL) AND NOT (is_owner AND role IS NOT NULL))
);

-- S6: who takes a place in an event, each as often as he has joined.
CREATE INDEX social_participants_places ON social_participants (network_id, event_id, user_id)
    WHERE event_id IS NOT NULL AND joined_at IS NOT NULL AND NOT is_owner;

-- S3: everything that a user belongs to (`meeting_leavers` names those who leave sessions bit by bit, too). U1: what he is invited to and has not joined. A7: when he is busy.
CREATE INDEX social_participants_by_user ON social_participants (network_id, user_id, (coalesce(ends_at, 'infinity')))
    INCLUDE (session_id, starts_at, is_owner, role, joined_at);

-- S11: sessions of very many, of which those who merely joined are told now and then only who joins and declines.
CREATE TABLE social_news (
    network_id text        NOT NULL,
    session_id uuid        NOT NULL,
    told_at    timestamptz NOT NULL,  -- when they were last told
    is_pending boolean     NOT NULL,  -- whether something has happened since
    PRIMARY KEY (network_id, session_id),
    FOREIGN KEY (network_id, session_id) REFERENCES social_sessions ON DELETE CASCADE
);

CREATE INDEX social_news_pending ON social_news (told_at) WHERE is_pending;

-- What each user of a network may do with its events (V3, S1). To be asked for one user.
CREATE VIEW social_event_rights AS
SELECT e.network_id, e.id AS event_id, m.user_id,
       m.is_manager OR coalesce(c.deleted_at IS NULL AND cm.role = 'Admin', false) AS manages,
       m.is_manager OR coalesce(c.deleted_at IS NULL AND cm.role = 'Admin', false)
           OR CASE
               WHEN NOT e.is_published THEN e.creator_id = m.user_id
               WHEN e.community_id = '' THEN true
               ELSE coalesce(c.deleted_at IS NULL AND (c.join_policy = 'OpenForAll' OR cm.user_id IS NOT NULL), false)
           END AS sees
FROM social_events e
JOIN members m ON m.network_id = e.network_id
LEFT JOIN communities c ON c.network_id = e.network_id AND c.id = e.community_id
LEFT JOIN community_members cm
    ON cm.network_id = e.network_id AND cm.community_id = e.community_id AND cm.user_id = m.user_id;

-- The same of its sessions (S4, S5, S8, V4). A room counts also when it is deleted.
CREATE VIEW social_session_rights AS
SELECT s.network_id, s.id AS session_id, m.user_id,
       p.role, p.joined_at,
       s.owner_id = m.user_id OR coalesce(r.manages, false) AS manages,
       p.user_id IS NOT NULL OR coalesce(r.manages, false)
           OR s.session_type <> 1 AND CASE
               WHEN s.event_id IS NOT NULL THEN coalesce(r.sees, false)
               ELSE EXISTS (
                   SELECT FROM rooms o
                   WHERE o.network_id = s.network_id AND o.id = s.room_id
                       AND (o.is_public OR o.owner_id = m.user_id OR m.user_id = ANY (o.viewers) OR m.is_manager))
           END AS sees
FROM social_sessions s
JOIN members m ON m.network_id = s.network_id
LEFT JOIN social_participants p ON p.network_id = s.network_id AND p.session_id = s.id AND p.user_id = m.user_id
LEFT JOIN social_event_rights r ON r.network_id = s.network_id AND r.event_id = s.event_id AND r.user_id = m.user_id;

-- A session as it is answered with, but for who belongs to it: whether its room and its prop are there.
CREATE VIEW social_session_details AS
SELECT s.network_id, s.id, s.event_id, s.owner_id, s.room_id, s.prop_id, s.session_type, s.title, s.description,
       s.color_r, s.color_g, s.color_b, s.color_a, s.starts_at, s.seconds, s.is_recurring, s.local_start, s.time_zone,
       s.ends_at, s.created_at, s.updated_at,
       (s.room_id = '' OR EXISTS (
           SELECT FROM rooms r WHERE r.network_id = s.network_id AND r.id = s.room_id AND r.deleted_at IS NULL))
       AND (s.prop_id = '' OR EXISTS (
           SELECT FROM props p
           WHERE p.network_id = s.network_id AND p.id = s.prop_id AND p.room_id = s.room_id AND p.deleted_at IS NULL))
       AS is_valid
FROM social_sessions s;
