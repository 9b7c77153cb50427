-- The directory: what the rest of the platform tells about networks, people and places.
--
-- Deleting is soft everywhere, and the next line for the same id restores. Identifiers are unique per kind over all
-- networks; whatever belongs to one network is keyed by it first, because the network is the shard key.
-- Columns that hold JSON are text: a client's own maps are kept byte for byte.

CREATE TABLE networks (
    id                  text        PRIMARY KEY,
    -- Which relay moves the network's events; from a hash of the id, once and for all.
    partition           smallint    NOT NULL CHECK (partition BETWEEN 0 AND 63),
    -- The first half of every eventId. Another one makes all positions before it meaningless.
    epoch               text        NOT NULL CHECK (epoch ~ '^[0-9A-Za-z]{1,32}$'),
    full_name           text        NOT NULL DEFAULT '',
    type                text        NOT NULL DEFAULT '',
    thumbnail           text        NOT NULL DEFAULT '',
    parent_network_id   text        NOT NULL DEFAULT '',
    state               text        NOT NULL DEFAULT '{}',  -- JSON: networkState
    defaults            text        NOT NULL DEFAULT '{}',  -- JSON: networkDefaults
    presentation_domain text        NOT NULL DEFAULT '',
    studio_domain       text        NOT NULL DEFAULT '',
    share_domain        text        NOT NULL DEFAULT '',
    load_balancer_url   text        NOT NULL DEFAULT '',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at          timestamptz
);

CREATE INDEX networks_by_partition ON networks (partition);

CREATE TABLE users (
    id                      text        PRIMARY KEY,
    -- As the directory last said. Who may enter a network now is in `members`.
    network_ids             text[]      NOT NULL DEFAULT '{}',
    first_name              text        NOT NULL DEFAULT '',
    last_name               text        NOT NULL DEFAULT '',
    company_name            text        NOT NULL DEFAULT '',
    company_title           text        NOT NULL DEFAULT '',
    birthday                text        NOT NULL DEFAULT '',
    hometown                text        NOT NULL DEFAULT '',
    education               text        NOT NULL DEFAULT '',
    zip_code                text        NOT NULL DEFAULT '',
    description             text        NOT NULL DEFAULT '',
    link_url                text        NOT NULL DEFAULT '',
    privacy_mode            bigint      NOT NULL DEFAULT 0,
    avatar                  text        NOT NULL DEFAULT '',
    avatar_3d               text        NOT NULL DEFAULT '',    -- JSON object; '' when there is none
    params                  text        NOT NULL DEFAULT '{}',  -- JSON object, the client's own
    identity_type           bigint      NOT NULL DEFAULT 0,
    identity_name           text        NOT NULL DEFAULT '',
    z_address               text        NOT NULL DEFAULT '',
    contact_count           bigint      NOT NULL DEFAULT 0,
    pending_contact_count   bigint      NOT NULL DEFAULT 0,
    new_notifications_count bigint      NOT NULL DEFAULT 0,
    ideal_match_count       bigint      NOT NULL DEFAULT 0,
    email                   text        NOT NULL DEFAULT '',
    email_verified          boolean     NOT NULL DEFAULT false,
    phone_number            text        NOT NULL DEFAULT '',
    facebook                text[]      NOT NULL DEFAULT '{}',  -- "appId:userId", each proven
    time_zone               text        NOT NULL DEFAULT '',    -- IANA name
    is_admin                boolean     NOT NULL DEFAULT false, -- permissions.admin
    is_developer            boolean     NOT NULL DEFAULT false, -- permissions.developer
    user_roles              text        NOT NULL DEFAULT '[]',  -- JSON array
    settings                text        NOT NULL DEFAULT '{}',  -- JSON: userSettings
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    deleted_at              timestamptz
);

-- Who is of which network: a row for each network of each user who is not deleted, and no other row. So a network's users
-- are found without looking at `users`, and locking the row keeps a user from leaving.
CREATE TABLE members (
    network_id     text    NOT NULL REFERENCES networks,
    user_id        text    NOT NULL REFERENCES users,
    -- V3, for the network: follows from the user's roles and permissions, and is written with them.
    is_manager     boolean NOT NULL DEFAULT false,
    -- The user's e-mail in lower case while it is proven.
    verified_email text,
    PRIMARY KEY (network_id, user_id)
);

CREATE INDEX members_by_user ON members (user_id);
CREATE UNIQUE INDEX members_by_verified_email ON members (network_id, verified_email) WHERE verified_email IS NOT NULL;

CREATE TABLE rooms (
    network_id text        NOT NULL REFERENCES networks,
    id         text        NOT NULL UNIQUE,
    title      text        NOT NULL DEFAULT '',
    thumbnail  text        NOT NULL DEFAULT '{}',  -- JSON: resource
    owner_id   text        NOT NULL DEFAULT '',
    is_public  boolean     NOT NULL DEFAULT false,
    viewers    text[]      NOT NULL DEFAULT '{}',  -- user ids
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (network_id, id)
);

-- U1: publicRoomCount.
CREATE INDEX rooms_public_by_owner ON rooms (network_id, owner_id) WHERE is_public AND deleted_at IS NULL;

CREATE TABLE props (
    network_id text        NOT NULL,
    id         text        NOT NULL UNIQUE,
    room_id    text        NOT NULL,
    title      text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (network_id, id),
    FOREIGN KEY (network_id, room_id) REFERENCES rooms
);

CREATE INDEX props_by_room ON props (network_id, room_id);

CREATE TABLE groups (
    network_id text        NOT NULL REFERENCES networks,
    id         text        NOT NULL UNIQUE,
    title      text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (network_id, id)
);

-- As the directory lists them, in its order. Users who are deleted or not of the network stay listed, so that they are
-- back when they return: join `members` to know who counts.
CREATE TABLE group_members (
    network_id text    NOT NULL,
    group_id   text    NOT NULL,
    user_id    text    NOT NULL REFERENCES users,
    role       text    NOT NULL,
    position   integer NOT NULL,
    PRIMARY KEY (network_id, group_id, user_id),
    FOREIGN KEY (network_id, group_id) REFERENCES groups
);

CREATE INDEX group_members_by_user ON group_members (network_id, user_id);

CREATE TABLE communities (
    network_id  text        NOT NULL REFERENCES networks,
    id          text        NOT NULL UNIQUE,
    title       text        NOT NULL DEFAULT '',
    join_policy text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    deleted_at  timestamptz,
    PRIMARY KEY (network_id, id)
);

-- As `group_members`.
CREATE TABLE community_members (
    network_id   text    NOT NULL,
    community_id text    NOT NULL,
    user_id      text    NOT NULL REFERENCES users,
    role         text    NOT NULL,
    position     integer NOT NULL,
    PRIMARY KEY (network_id, community_id, user_id),
    FOREIGN KEY (network_id, community_id) REFERENCES communities
);

CREATE INDEX community_members_by_user ON community_members (network_id, user_id);
