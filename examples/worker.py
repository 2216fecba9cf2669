#!/usr/bin/env python3
"""A worker in Python, with the standard library alone: one job at a time from one queue.

    RANQ_URL=http://127.0.0.1:8080 examples/worker.py emails

It keeps the lease while the job runs, and finishes the job at hand on SIGTERM.
"""

import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("RANQ_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("RANQ_TOKEN")
NAME = f"python-{os.getpid()}"
LEASE_MS = 30_000
WAIT_MS = 20_000

# A refusal, no connection, or one that ended too soon.
FAILURES = (OSError, http.client.HTTPException)


def handle(job):
    """The work. What it gives is the job's result; what it raises is its error, and the job is tried again."""
    payload = job["payload"]
    return {"sent_to": payload["to"], "attempt": job["attempt"]}


class Lost(Exception):
    """The lease is another's, or the job was cancelled."""


class Stop(Exception):
    """SIGTERM came while the worker waited for jobs."""


def post(path, body, timeout=10):
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if TOKEN:
        request.add_header("Authorization", f"Bearer {TOKEN}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (404, 409):
            raise Lost(error.read().decode()) from None
        raise


def keep_lease(path, lease, done):
    """Extends the lease at a third of its time until the job is done, or not this worker's any more."""
    while not done.wait(LEASE_MS / 3000):
        try:
            if post(f"{path}/extend", {"lease": lease, "lease_ms": LEASE_MS})["cancelled"]:
                return print("the job was cancelled", file=sys.stderr)
        except Lost:
            return print("the lease is lost", file=sys.stderr)
        except FAILURES as error:
            print(f"the lease is not extended yet: {error}", file=sys.stderr)


def settle(path, body, until):
    """Tells what became of the job, again and again until the service has heard it or the lease has ended."""
    pause = 0.1
    while True:
        try:
            return post(path, body)
        except FAILURES as error:
            if time.monotonic() + pause > until:
                return print(f"not settled: {error}", file=sys.stderr)
            time.sleep(pause)
            pause = min(pause * 2, 5)


def work(queue, job):
    path = f"/v1/queues/{queue}/jobs/{urllib.parse.quote(job['id'], safe='')}"
    done = threading.Event()
    keeper = threading.Thread(target=keep_lease, args=(path, job["lease"], done))
    keeper.start()
    try:
        verdict, body = "ack", {"result": handle(job)}
    except Exception as error:
        verdict, body = "nack", {"error": repr(error)}
    finally:
        done.set()
        keeper.join()
    try:
        settle(f"{path}/{verdict}", {"lease": job["lease"], **body}, time.monotonic() + LEASE_MS / 1000)
        print(f"{verdict} {job['id']}", file=sys.stderr)
    except Lost:
        print(f"job {job['id']} is another worker's", file=sys.stderr)


def main(queue):
    state = {"stopping": False, "waiting": False}

    def stop(*_):
        state["stopping"] = True
        if state["waiting"]:
            raise Stop

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    pause = 0.1
    while not state["stopping"]:
        try:
            state["waiting"] = True
            body = {"worker": NAME, "wait_ms": WAIT_MS, "lease_ms": LEASE_MS}
            jobs = post(f"/v1/queues/{queue}/dequeue", body, timeout=WAIT_MS / 1000 + 10)["jobs"]
            state["waiting"], pause = False, 0.1
        except Stop:
            break
        except FAILURES as error:
            state["waiting"] = False
            print(f"no jobs can be had: {error}", file=sys.stderr)
            time.sleep(pause)
            pause = min(pause * 2, 10)
            continue
        for job in jobs:
            work(queue, job)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} QUEUE")
    main(sys.argv[1])
