-- Traces of requests that reach other users (W3C Trace Context): what an event's way continues. NULL when no trace is kept.
ALTER TABLE outbox ADD COLUMN trace_parent text;
ALTER TABLE event_log ADD COLUMN trace_parent text;
