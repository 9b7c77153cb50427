-- The one path of all events: a change leaves them in `outbox`, the relay of the network's partition moves them into the
-- log, where they have their place for good.

-- Numbers the rows of the outbox. CACHE must stay 1: a session that kept numbers for itself would hand out numbers below
-- those that the relay has already passed.
CREATE SEQUENCE outbox_seq AS bigint CACHE 1;

-- What waits to be moved. Rows are inserted under the lock of the object that they are about, so the order of `seq` is, for
-- one object, the order of its commits (I1).
CREATE TABLE outbox (
    partition  smallint    NOT NULL,
    -- The transaction gets its id before it draws a number: the argument is evaluated before the call. The relay's lower
    -- bound rests on that order (see worker/src/relay/bound.rs).
    seq        bigint      NOT NULL DEFAULT nextval(CASE WHEN pg_current_xact_id() IS NOT NULL THEN 'outbox_seq'::regclass END),
    network_id text        NOT NULL,
    recipients text[]      NOT NULL CHECK (cardinality(recipients) BETWEEN 1 AND 1000),
    name       text        NOT NULL,
    -- JSON, kept byte for byte. What is no JSON must fail here, where it is made: nobody could ever deliver it.
    payload    text        NOT NULL CHECK (octet_length(payload) <= 524288 AND payload::json IS NOT NULL),
    -- What moving the row costs, in bytes: its texts, and something for each recipient's own row.
    size       integer     NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, seq)
) WITH (
    -- A queue: nearly all of its rows are dead. Often, at full speed, and without the lock that giving pages back takes.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_cost_delay = 0, toast.vacuum_truncate = false
);

ALTER SEQUENCE outbox_seq OWNED BY outbox.seq;

-- A network's events by position: 1, 2, 3 … without a hole from the oldest that is kept to the newest, which is the
-- network's head and always kept (I3, I4). Rows are only ever added, and removed from the oldest on.
CREATE TABLE event_log (
    network_id text        NOT NULL,
    position   bigint      NOT NULL CHECK (position > 0),
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    name       text        NOT NULL,
    recipients text[]      NOT NULL,
    payload    text        NOT NULL,
    size       integer     NOT NULL,  -- the outbox's
    PRIMARY KEY (network_id, position)
);

-- What is old enough to be removed; what moved within the last minute. A b-tree although time only grows: removed rows
-- leave room that newer ones fill, after which a BRIN would find everything everywhere.
CREATE INDEX event_log_by_age ON event_log (moved_at);

-- The same by user, so that one who comes back reads his own events and no others.
CREATE TABLE event_recipients (
    network_id text   NOT NULL,
    user_id    text   NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (network_id, user_id, position)
);
