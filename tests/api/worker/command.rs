//! `ranq worker`: what goes into a command and what comes out.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{last_error, service, without_backoff};
use crate::support::{Process, TestApp, WorkerProcess};

/// A worker of the queue `work` that runs a line of shell.
fn shell(app: &TestApp, line: &str) -> WorkerProcess {
    WorkerProcess::spawn(app, &["--queue", "work", "--exec", "sh", "--", "-c", line])
}

#[tokio::test]
async fn the_output_of_a_command_is_the_result_of_its_job() {
    let app = service().await;
    let _worker = shell(&app, "cat");
    for (id, payload) in [r#"{"a": 1e400}"#, "[1,2]", r#""text""#, "123456789012345678901234567890"].iter().enumerate()
    {
        app.enqueue_text("work", &format!(r#"{{"id":"{id}","payload":{payload}}}"#)).await;
        let job = app.until_completed_text("work", &id.to_string()).await;
        assert!(job.contains(&format!(r#""result":{payload}"#)), "{job}");
    }
}

#[tokio::test]
async fn output_that_is_no_json_is_a_text_and_none_is_no_result() {
    let app = service().await;
    let _worker = shell(&app, "read -r line; case $line in 1) printf 'sent to \"ann\"\\n\\n' ;; 2) echo ;; esac");
    let text = app.enqueue_id("work", 1).await;
    assert_eq!(app.until("work", &text, "completed").await["result"], "sent to \"ann\"");
    for payload in [2, 3] {
        let none = app.enqueue_id("work", payload).await;
        assert_eq!(app.until("work", &none, "completed").await.get("result"), None);
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_fails_the_job_with_a_reason() {
    let app = service().await;
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let _worker = shell(&app, "head -c 300000 /dev/zero | tr '\\0' 1");
    let id = app.enqueue_id("work", 1).await;
    let job = app.until("work", &id, "dead").await;
    assert_eq!(last_error(&job), "the output has 300000 bytes, and 262144 are allowed");
}

#[tokio::test]
async fn a_payload_arrives_byte_for_byte() {
    let app = service().await;
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    let arguments = ["--queue", "work", "--exec", "sh", "--", "-c", "cat >\"$0/$RANQ_JOB_ID\"", path];
    let _worker = WorkerProcess::spawn(&app, &arguments);
    let large = format!(r#"{{"text":"{}"}}"#, "é🦀".repeat(40_000));
    let payloads = [
        r#"{"n": 123456789012345678901234567890, "x" : 1e400,"a":1,"a":2}"#,
        "-0.0",
        "1.10",
        r#""\u00e9é \ud83d\ude00 \/""#,
        "[ ]",
        "null",
        &large,
    ];
    for (id, payload) in payloads.iter().enumerate() {
        app.enqueue_text("work", &format!(r#"{{"id":"{id}","payload":{payload}}}"#)).await;
        app.until_completed_text("work", &id.to_string()).await;
        let arrived = std::fs::read_to_string(directory.path().join(id.to_string())).expect("a file");
        assert!(arrived == *payload, "{payload:.80} arrived as {arrived:.80}");
    }
}

#[tokio::test]
async fn a_command_need_not_read_its_payload() {
    let app = service().await;
    let _worker = shell(&app, "exec <&-; echo done");
    let id = app.enqueue_id("work", "x".repeat(200_000)).await;
    assert_eq!(app.until("work", &id, "completed").await["result"], "done");
}

#[tokio::test]
async fn the_environment_has_the_facts_of_the_job() {
    let app = service().await;
    let arguments = ["--queue", "work", "--name", "w1", "--exec", "sh", "--", "-c", "env | grep ^RANQ_ | sort"];
    let _worker = WorkerProcess::spawn(&app, &arguments);
    let job = json!({"payload": 1, "id": "a b/c", "key": "tenant 7", "priority": 9, "max_attempts": 3,
        "headers": {"trace": "x=\"1\"\n"}});
    let enqueued = app.enqueue_job("work", job).await.is(201)["enqueued_at"].as_str().expect("a time").to_owned();
    let done = app.until("work", "a b/c", "completed").await;
    let facts = [
        "RANQ_ATTEMPT=1".to_owned(),
        format!("RANQ_ENQUEUED_AT={enqueued}"),
        r#"RANQ_HEADERS={"trace":"x=\"1\"\n"}"#.to_owned(),
        "RANQ_JOB_ID=a b/c".to_owned(),
        "RANQ_KEY=tenant 7".to_owned(),
        "RANQ_MAX_ATTEMPTS=3".to_owned(),
        "RANQ_PRIORITY=9".to_owned(),
        "RANQ_QUEUE=work".to_owned(),
        "RANQ_WORKER=w1".to_owned(),
    ];
    assert_eq!(done["result"], facts.join("\n"));
    assert_eq!(done["worker"], "w1");
}

#[tokio::test]
async fn what_a_command_says_about_its_failure_is_the_error() {
    let app = service().await;
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let worker = shell(
        &app,
        "read -r n; case $n in 1) echo first >&2; echo no route >&2; exit 3 ;; 2) exit 7 ;; 3) kill -9 $$ ;; esac",
    );
    for (payload, error) in [(1, "first\nno route"), (2, "exit code 7"), (3, "killed by signal 9")] {
        let id = app.enqueue_id("work", payload).await;
        let job = app.until("work", &id, "dead").await;
        assert_eq!(last_error(&job), error);
    }
    worker.says("no route").await;
}

#[tokio::test]
async fn of_a_long_error_the_end_is_kept() {
    let app = service().await;
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let _worker = shell(&app, "for n in $(seq 2000); do printf 'é%s ' \"$n\" >&2; done; exit 1");
    let id = app.enqueue_id("work", 1).await;
    let job = app.until("work", &id, "dead").await;
    let error = last_error(&job);
    assert!(error.ends_with("é1999 é2000"), "{error}");
    assert!((4090..=4096).contains(&error.len()) && !error.contains('\u{fffd}'), "{} bytes", error.len());
}

#[tokio::test]
async fn a_failed_job_is_tried_again_and_65_is_the_end_of_it() {
    let app = service().await;
    app.create_queue("work", without_backoff()).await;
    let _worker = shell(&app, "read -r code; [ $RANQ_ATTEMPT -lt 3 ] || { echo $RANQ_ATTEMPT; exit 0; }; exit $code");
    for code in [1, 75] {
        let id = app.enqueue_id("work", code).await;
        let job = app.until("work", &id, "completed").await;
        assert_eq!((&job["attempt"], &job["result"]), (&json!(3), &json!(3)));
    }
    let id = app.enqueue_id("work", 65).await;
    let job = app.until("work", &id, "dead").await;
    assert_eq!((&job["attempt"], last_error(&job)), (&json!(1), "exit code 65"));
}

#[tokio::test]
async fn several_queues_are_worked_on_and_ids_may_be_the_same() {
    let app = service().await;
    for queue in ["low", "high"] {
        for id in ["a", "b", "c"] {
            app.enqueue_job(queue, json!({"payload": queue, "id": id})).await.is(201);
        }
    }
    let mut worker =
        WorkerProcess::spawn(&app, &["--queue", "high", "--queue", "low", "--concurrency", "2", "--exec", "cat"]);
    for queue in ["low", "high"] {
        app.until_count(queue, "completed", 3).await;
    }
    let finished =
        async |queue: &str, id: &str| app.job(queue, id).await["finished_at"].as_str().expect("text").to_owned();
    assert!(finished("high", "a").await < finished("low", "c").await);
    worker.stop().await;
    worker.says("6 taken: 6 completed, 0 failed, 0 cancelled, 0 released, 0 lost").await;
}

#[tokio::test]
async fn queues_may_have_weights() {
    let app = service().await;
    for queue in ["low", "high"] {
        app.enqueue(queue, queue).await;
    }
    let arguments = ["--queue", "high=3", "--queue", "low", "--order", "weighted", "--exec", "cat"];
    let _worker = WorkerProcess::spawn(&app, &arguments);
    for queue in ["low", "high"] {
        app.until_count(queue, "completed", 1).await;
    }
}

#[tokio::test]
async fn mistakes_of_the_command_line_are_told_before_a_job_is_taken() {
    let run = async |arguments: &[&str]| Process::run("worker", arguments, &[]).await;
    for (arguments, words) in [
        (&["--queue", "work", "--exec", "./no-such-program"][..], "./no-such-program is no program"),
        (&["--queue", "work", "--exec", "no-such-program"], "no program `no-such-program` is on the PATH"),
        (&["--queue", "a/b", "--exec", "cat"], "`a/b` is no name of a queue"),
        (&["--queue", "work=2", "--exec", "cat"], "weight"),
        (&["--queue", "work", "--exec", "cat", "--url", "localhost"], "no address of a service"),
        (&["--queue", "work", "--exec", "cat", "--lease-ms", "5"], "100 to 43200000 ms"),
    ] {
        let (code, message) = run(arguments).await;
        assert_eq!(code, 1, "{message}");
        assert!(message.contains(words) && message.lines().count() == 1, "{message} has no {words}");
    }
    assert_eq!(run(&["--exec", "cat"]).await.0, 2, "a queue is needed");
}

#[tokio::test]
async fn a_token_is_sent_and_one_that_is_refused_ends_the_worker() {
    let app = TestApp::with().server_clock().admin_token("a-token-for-tests").spawn().await;
    let id = app.enqueue_id("work", 1).await;
    let url = format!("http://{}", app.address());
    let arguments = ["--url", &url, "--queue", "work", "--exec", "cat"];
    let (code, message) = Process::run("worker", &arguments, &[("RANQ_TOKEN", "another-token")]).await;
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("ranq: the service refuses this worker: 401: "), "{message}");
    assert!(!message.contains("another-token"), "{message}");
    let arguments = ["--queue", "work", "--exec", "cat", "--token", "a-token-for-tests"];
    let _worker = WorkerProcess::spawn(&app, &arguments);
    assert_eq!(app.until("work", &id, "completed").await["result"], Value::from(1));
}
