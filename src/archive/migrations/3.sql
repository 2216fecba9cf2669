-- Periods of leaderboards that have ended. One without `archived_at` is being written, and read by nobody. Times are milliseconds since 1970.
CREATE TABLE ranq_periods (
    id BIGINT NOT NULL PRIMARY KEY, -- by chance
    prefix TEXT NOT NULL,           -- the setting key_prefix
    leaderboard TEXT NOT NULL,
    epoch TEXT NOT NULL,            -- which life of the leaderboard: another one when it is deleted and created again
    window_name TEXT NOT NULL,
    period TEXT NOT NULL,           -- its start, as the API names it
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    board TEXT NOT NULL,            -- JSON: the settings of the leaderboard, and what else is needed to read the entries
    archived_at BIGINT
);
CREATE UNIQUE INDEX ranq_periods_by_name ON ranq_periods (prefix, leaderboard, epoch, window_name, period) WHERE archived_at IS NOT NULL;
CREATE INDEX ranq_periods_by_leaderboard ON ranq_periods (prefix, leaderboard);
-- Their entries, each once for the whole ranking and once for each of its segments.
CREATE TABLE ranq_standings (
    period BIGINT NOT NULL REFERENCES ranq_periods (id) ON DELETE CASCADE,
    part TEXT NOT NULL,             -- empty for the whole, else the values by dimension as JSON
    place BIGINT NOT NULL,          -- from 1 on; the ordinal rank
    competition BIGINT NOT NULL,    -- ranks where equal rows share one: 1, 2, 2, 4
    dense BIGINT NOT NULL,          -- and 1, 2, 2, 3
    member TEXT NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    subscores TEXT,                 -- JSON
    achieved_at BIGINT,
    metadata TEXT,                  -- JSON; with the whole alone
    segments TEXT,                  -- JSON; with the whole alone
    ranked DOUBLE PRECISION NOT NULL, -- the score as the ranking keeps it
    element BYTEA NOT NULL,         -- what decides between equal ones, and the member
    PRIMARY KEY (period, member, part)
);
CREATE INDEX ranq_standings_by_place ON ranq_standings (period, part, place);
CREATE INDEX ranq_standings_by_score ON ranq_standings (period, part, ranked, element);
