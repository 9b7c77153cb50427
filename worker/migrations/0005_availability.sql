-- When users are available, as they have said it (A1). What was never set has no row.

-- A day of every week. Clock times, read in the zone in which they were set (T4): never instants.
CREATE TABLE availability_weekdays (
    network_id   text     NOT NULL,
    user_id      text     NOT NULL,
    weekday      smallint NOT NULL CHECK (weekday BETWEEN 0 AND 6),  -- 0 is Sunday
    -- A4. Available: in the ranges, or all day when there are none; not available: likewise.
    is_available boolean  NOT NULL,
    time_zone    text     NOT NULL,  -- IANA name, or an offset such as +05:45
    -- Microseconds after midnight, by the clock. What ends beyond 24 hours ends on the next day (A5).
    range_starts bigint[] NOT NULL,
    range_ends   bigint[] NOT NULL,
    PRIMARY KEY (network_id, user_id, weekday),
    CONSTRAINT availability_weekdays_ranges CHECK (cardinality(range_starts) = cardinality(range_ends))
);

-- One date. It replaces that date of the week, whatever their zones.
CREATE TABLE availability_days (
    network_id   text          NOT NULL,
    user_id      text          NOT NULL,
    day          date          NOT NULL,
    is_available boolean       NOT NULL,
    time_zone    text          NOT NULL,
    range_starts timestamptz[] NOT NULL,
    range_ends   timestamptz[] NOT NULL,
    PRIMARY KEY (network_id, user_id, day),
    CONSTRAINT availability_days_ranges CHECK (cardinality(range_starts) = cardinality(range_ends))
);

-- M10: whether a room or a prop is still needed by a meeting that has not ended.
CREATE INDEX meetings_by_place ON meetings (network_id, room_id, prop_id, ends_at) WHERE room_id IS NOT NULL;
