-- What happened to members of leaderboards, each thing once. Times are microseconds since 1970.
CREATE TABLE ranq_history (
    prefix TEXT NOT NULL,           -- the setting key_prefix
    member TEXT NOT NULL,
    leaderboard TEXT NOT NULL,      -- empty for a service-wide ban
    at_us BIGINT NOT NULL,          -- never twice the same on one leaderboard
    epoch TEXT NOT NULL,            -- tells a leaderboard from an earlier one with its name
    kind TEXT NOT NULL,             -- score, adjustment, ban, unban or removal
    hidden BIGINT NOT NULL,         -- 1: among what is hidden of a banned member; of a ban: submissions are hidden
    windows TEXT NOT NULL,          -- names of those that changed, a comma around each; empty for an act on all of them
    scores TEXT NOT NULL,           -- JSON: window, period, score and subscores of each
    actor TEXT,                     -- the name of the administrator's token
    reason TEXT,
    PRIMARY KEY (prefix, member, leaderboard, at_us, epoch)
);
CREATE INDEX ranq_history_by_time ON ranq_history (prefix, leaderboard, at_us);
