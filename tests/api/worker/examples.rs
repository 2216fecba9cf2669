//! The examples, as somebody runs them who has just found them.

use serde_json::json;

use super::{last_error, service};
use crate::support::{WorkerProcess, example};

#[tokio::test]
async fn the_python_worker_does_its_jobs_and_stops() {
    let app = service().await;
    app.create_queue("emails", json!({"max_attempts": 1})).await;
    let good = app.enqueue_id("emails", json!({"to": "ann@example.com"})).await;
    let bad = app.enqueue_id("emails", json!({})).await;
    let mut worker = WorkerProcess::program(&app, "python3", &[&example("worker.py"), "emails"]);
    let job = app.until("emails", &good, "completed").await;
    assert_eq!(job["result"], json!({"sent_to": "ann@example.com", "attempt": 1}));
    assert_eq!(last_error(&app.until("emails", &bad, "dead").await), "KeyError('to')");
    worker.stop().await;
}

#[tokio::test]
async fn the_shell_worker_does_its_jobs_and_stops() {
    let app = service().await;
    app.create_queue("emails", json!({"max_attempts": 1})).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let seen = directory.path().join("seen");
    let line = r#"cat >"$0"; [ ! "$(cat "$0")" = '"bad"' ]"#;
    let arguments = ["emails", "sh", "-c", line, seen.to_str().expect("UTF-8")];
    let mut worker = WorkerProcess::program(&app, &example("worker.sh"), &arguments);
    // With fields of its own that are called like the job's, and an id that has to be encoded.
    let payload = r#"{"id":"x","lease" : "} , \"","n":123456789012345678901234567890, "a":[{"payload":1e400}]}"#;
    let job = format!(r#"{{"id":"a \"b\"/é","payload":{payload}}}"#);
    app.enqueue_text("emails", &job).await;
    app.until_completed_text("emails", "a \"b\"/é").await;
    assert_eq!(std::fs::read_to_string(&seen).expect("a file"), payload);
    let bad = app.enqueue_id("emails", "bad").await;
    assert_eq!(last_error(&app.until("emails", &bad, "dead").await), "exit code 1");
    worker.stop().await;
}

#[tokio::test]
async fn the_handler_does_a_job_and_knows_one_that_is_hopeless() {
    let app = service().await;
    let handler = example("handler.sh");
    let mut worker = WorkerProcess::spawn(&app, &["--queue", "emails", "--exec", &handler]);
    let good = app.enqueue_id("emails", json!({"to": "ann@example.com"})).await;
    let job = app.until("emails", &good, "completed").await;
    assert_eq!(job["result"], json!({"sent": {"to": "ann@example.com"}, "attempt": 1}));
    let bad = app.enqueue_id("emails", json!({})).await;
    assert_eq!(last_error(&app.until("emails", &bad, "dead").await), "there is no one to send it to");
    worker.stop().await;
}
