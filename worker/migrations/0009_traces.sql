-- Traces of requests that reach other users (W3C Trace Context): what an event's way continues. NULL when no trace is kept.
SET LOCAL lock_timeout = '2s';
ALTER TABLE outbox ADD COLUMN trace_parent text;
ALTER TABLE event_log ADD COLUMN trace_parent text;
