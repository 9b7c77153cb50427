-- What keeps tables small and their reads short, however much was removed, and however many have joined a session.

-- Nothing of a network's log is kept at or below `through`; what is kept may begin later. Removed rows stay in the index as
-- long as somebody's old snapshot could see them: whoever looks for the oldest event that is kept begins here, or would read
-- all of them first. Written with the removal.
CREATE TABLE event_trims (
    network_id text   PRIMARY KEY,
    through    bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Tables through which everything passes: a day's rows come, a day's rows go. A fifth of them dead, as by default, would be
-- hours' worth; and nobody but autovacuum gives their room back to the next rows, so it must keep pace. The lock that giving
-- pages back to the system takes is not worth it: they are soon needed again.
ALTER TABLE event_log SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_limit = 2000, vacuum_truncate = false,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 10000,
    toast.autovacuum_vacuum_cost_limit = 2000, toast.vacuum_truncate = false
);
ALTER TABLE event_recipients SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_limit = 2000, vacuum_truncate = false
);
-- Each row is written twice, before and after its request is done.
ALTER TABLE done_requests SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_limit = 2000, vacuum_truncate = false,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 10000,
    toast.autovacuum_vacuum_cost_limit = 2000, toast.vacuum_truncate = false
);

-- When it is to be looked whether a message is still needed: not before 30 days after it was written, sent or due, nor while
-- its session is to come. What is looked at and needed is looked at again later.
ALTER TABLE social_messages ADD COLUMN keep_until timestamptz NOT NULL DEFAULT now() + interval '30 days';

CREATE INDEX social_messages_by_age ON social_messages (keep_until);

-- Who is invited to a session, and who has joined it, in their order: a part of them, without reading the others.
CREATE INDEX social_participants_invited ON social_participants (network_id, session_id, invited_no)
    INCLUDE (user_id, role) WHERE role IS NOT NULL;
CREATE INDEX social_participants_joined ON social_participants (network_id, session_id, joined_at, user_id)
    WHERE joined_at IS NOT NULL;

-- S11: very many are told in rounds, some of them at a time. The news are pending until everybody has been told.
ALTER TABLE social_news
    -- The last one, in the order in which they have joined, who has been told in this round; NULL: there is no round.
    ADD COLUMN round_joined_at timestamptz,
    ADD COLUMN round_user_id   text,
    -- Whether something has happened since the round began.
    ADD COLUMN is_stale        boolean NOT NULL DEFAULT false;
