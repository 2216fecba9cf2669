-- Finished jobs, each as it finished last. Times are milliseconds since 1970.
CREATE TABLE ranq_jobs (
    prefix TEXT NOT NULL,           -- the setting key_prefix: several services may share a database
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,        -- higher for a later end of the same job
    state TEXT NOT NULL,            -- completed, dead or cancelled
    enqueued_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    job_key TEXT,
    error TEXT,                     -- the texts of its errors, a line each
    job TEXT NOT NULL,              -- JSON, as GET /v1/queues/{queue}/jobs/{id} gives it
    PRIMARY KEY (prefix, queue, id)
);
CREATE INDEX ranq_jobs_by_time ON ranq_jobs (prefix, queue, finished_at, id);
