-- A job in state withdrawn was deleted: its row has nothing but its version, and when it was deleted as `finished_at`.
CREATE INDEX ranq_jobs_withdrawn ON ranq_jobs (prefix, queue, finished_at) WHERE state = 'withdrawn';
