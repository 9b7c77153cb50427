-- Invitations of people whom the network does not know yet (S10), and what is sent to them.

-- S10: the directory's phone numbers count as proven. What a token claimed when its user was made known does not, until the
-- directory says it.
ALTER TABLE users ADD COLUMN phone_verified boolean NOT NULL DEFAULT true;

-- An invitation of an address that no user of the network has proven. It ends by being claimed, removed, or with its session.
CREATE TABLE social_outsiders (
    network_id   text        NOT NULL,
    session_id   uuid        NOT NULL,
    kind         smallint    NOT NULL CHECK (kind BETWEEN 0 AND 2),  -- e-mail, phone, Facebook
    -- As it is compared: lower case, E.164, `appId:userId`.
    address      text        NOT NULL,
    -- Another one when the address is invited again after its invitation has ended.
    id           uuid        NOT NULL,
    role         smallint    NOT NULL CHECK (role BETWEEN 0 AND 2),
    inviter_id   text        NOT NULL,
    -- SHA-256 of the tokens of its links. Each attempt to send has one of its own, as nothing is kept that a link could be
    -- made of again; all of them are good, for an attempt that seems to have failed may have arrived.
    token_hashes bytea[]     NOT NULL DEFAULT '{}',
    invited_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    -- Somebody may have proven the address in a transaction that went on at the same time, neither seeing the other. So it
    -- is looked up once more, when such a transaction must be over. NULL: done.
    recheck_at   timestamptz,
    PRIMARY KEY (network_id, session_id, kind, address),
    FOREIGN KEY (network_id, session_id) REFERENCES social_sessions ON DELETE CASCADE
);

-- Who proves an address finds everything that it is invited to.
CREATE INDEX social_outsiders_by_address ON social_outsiders (network_id, kind, address);
-- The ICS file of a link is asked for by people without network.
CREATE INDEX social_outsiders_by_token ON social_outsiders USING gin (token_hashes);
CREATE INDEX social_outsiders_by_expiry ON social_outsiders (expires_at);
CREATE INDEX social_outsiders_unchecked ON social_outsiders (recheck_at) WHERE recheck_at IS NOT NULL;

-- What is sent to an address about a session, and when something was. It outlives the invitation, so that removing and
-- inviting again sends no second message within ten minutes, and the session, so that its end is told.
CREATE TABLE social_messages (
    network_id       text        NOT NULL,
    session_id       uuid        NOT NULL,
    kind             smallint    NOT NULL CHECK (kind BETWEEN 0 AND 1),  -- e-mail, phone
    address          text        NOT NULL,
    -- Of the mail that is sent next: the same in all attempts, so that a mail that arrives twice is known to be one.
    message_id       uuid        NOT NULL,
    -- The next attempt; NULL: nothing is to be sent.
    due_at           timestamptz,
    attempts         integer     NOT NULL DEFAULT 0,
    first_attempt_at timestamptz,
    -- The attempt that is being made. It is lost with its worker: then the next one is made at `due_at`.
    lease            uuid,
    -- When something was last sent.
    sent_at          timestamptz,
    -- I2: the session as it was when it was deleted, as JSON: what is due is to cancel it.
    cancelled        text,
    PRIMARY KEY (network_id, session_id, kind, address)
);

CREATE INDEX social_messages_due ON social_messages (kind, due_at) WHERE due_at IS NOT NULL;

-- How many outsiders each user has invited in the last hour, whatever has become of them.
CREATE TABLE social_inviters (
    network_id text          NOT NULL,
    user_id    text          NOT NULL,
    invited_at timestamptz[] NOT NULL,
    last_at    timestamptz   NOT NULL,
    PRIMARY KEY (network_id, user_id)
);

CREATE INDEX social_inviters_by_time ON social_inviters (last_at);

-- Users who have proven addresses and whose invitations are still to be claimed: those of users who were made known by their
-- token, what was proven while it was invited, and what is left where there are very many. Nearly always empty.
CREATE TABLE social_provers (
    network_id text        NOT NULL,
    user_id    text        NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network_id, user_id)
);
