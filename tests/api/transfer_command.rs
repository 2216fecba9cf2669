//! `ranq export` and `ranq import`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Process, TestApp};

/// What a command came to.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the command with this standard input to its end.
async fn run(verb: &str, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Done {
    let mut command = Process::command(verb, arguments);
    command.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        // A command that refuses its arguments reads nothing.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("no panic");
        output
    });
    let output = output.await.expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Done {
        code: output.status.code().expect("it ended by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn url(app: &TestApp) -> String {
    format!("http://{}", app.address())
}

fn entries(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn what_is_exported_is_imported_elsewhere() {
    let app = TestApp::spawn().await;
    let items = |from: u32| {
        (from..from + 700).map(|number| json!({"member": format!("m{}", number * 11 % 1400), "score": number % 3}))
    };
    for from in [0, 700] {
        app.batch("race", items(from).collect()).await.is(200);
    }
    let url = url(&app);
    let exported = run("export", &["race", "--url", &url], &[], "").await;
    assert_eq!((exported.code, exported.stderr.as_str()), (0, "1400 rows of `race` exported\n"));
    assert_eq!(exported.stdout.lines().count(), 1400);
    let imported = run("import", &["copy", "--url", &url], &[], &exported.stdout).await;
    assert_eq!((imported.code, imported.stdout.as_str()), (0, "1400 rows imported into `copy`, 0 rejected\n"));
    assert_eq!(imported.stderr, "", "there is no bar without a terminal");
    let copy = app.get("/v1/leaderboards/copy/export").await.is(200);
    assert!(copy.text() == exported.stdout, "the copy is another");
}

#[tokio::test]
async fn files_formats_windows_and_tokens_are_taken() {
    let app = TestApp::with().admin_token("secret").spawn().await;
    app.create("race", json!({"windows": [{"name": "week"}, {"name": "all_time"}]})).await;
    app.submit("race", "ann", 5).await;
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("race.csv");
    let file = file.to_str().expect("UTF-8");
    let (url, token) = (url(&app), [("RANQ_TOKEN", "secret")]);
    fs::write(file, "what was there before").expect("written");
    let done = run("export", &["race", "--url", &url, "--format", "csv", "--output", file], &token, "").await;
    assert_eq!((done.code, done.stderr.as_str(), done.stdout.as_str()), (0, "1 rows of `race` exported\n", ""));
    let text = fs::read_to_string(file).expect("the file is there");
    assert!(text.starts_with("rank,member,score,achieved_at,metadata\n1,ann,5,2026-"), "{text}");
    assert_eq!(entries(directory.path()), ["race.csv"]);

    fs::write(file, text + "2,bob,4,,\n").expect("written");
    let arguments =
        ["race", "--url", &url, "--format", "csv", "--window", "all_time", "--input", file, "--token", "secret"];
    let done = run("import", &arguments, &[], "").await;
    assert_eq!((done.code, done.stdout.as_str()), (0, "2 rows imported into `race`, 0 rejected\n"), "{}", done.stderr);
    assert_eq!(app.rankings("race", "window=all_time").await.members(), ["ann", "bob"]);
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
}

#[tokio::test]
async fn rejected_rows_are_told_and_make_the_code_1() {
    let app = TestApp::spawn().await;
    let input = "{\"member\":\"a\",\"score\":1}\n{\"member\":\"b\"}\nnonsense\n";
    let done = run("import", &["race", "--url", &url(&app)], &[], input).await;
    assert_eq!((done.code, done.stdout.as_str()), (1, "1 rows imported into `race`, 2 rejected\n"));
    assert!(done.stderr.starts_with("line 2: `/score`: is missing\nline 3: the line is not JSON"), "{}", done.stderr);
    assert!(done.stderr.ends_with("ranq: 2 rows were rejected\n"), "{}", done.stderr);
}

#[tokio::test]
async fn a_failure_is_told_and_makes_the_code_1() {
    let app = TestApp::with().admin_token("secret").without_auto_create().spawn().await;
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (file, missing, lost) = (at("file"), at("missing"), at("no/file"));
    // More than what is on the way when the service refuses.
    let input = "{\"member\":\"a\",\"score\":1}\n".repeat(100_000);
    let (here, nowhere) = (url(&app), "http://127.0.0.1:1");
    let token = [("RANQ_TOKEN", "secret")];
    let nobody: [(&str, &str); 0] = [];
    for (verb, arguments, environment, part) in [
        ("export", vec!["race", "--url", &here, "-o", &file], &token[..], "there is no leaderboard `race`"),
        ("export", vec!["race", "--url", &here, "-o", &file], &nobody[..], "401"),
        ("export", vec!["race", "--url", nowhere, "-o", &file], &token[..], "refused"),
        ("export", vec!["race", "--url", "ftp://x", "-o", &file], &token[..], "not the URL of a service"),
        ("import", vec!["race", "--url", &here], &token[..], "there is no leaderboard `race`"),
        ("import", vec!["race", "--url", &here], &nobody[..], "401"),
        ("import", vec!["race", "--url", nowhere], &token[..], "refused"),
        ("import", vec!["race", "--url", &here, "-i", &missing], &token[..], "missing: No such file"),
        (
            "import",
            vec!["race", "--url", &here, "-i", directory.path().to_str().expect("UTF-8")],
            &token[..],
            "directory",
        ),
    ] {
        let done = run(verb, &arguments, environment, &input).await;
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{verb} {arguments:?}: {}", done.stderr);
        assert!(
            done.stderr.starts_with("ranq: ") && done.stderr.contains(part),
            "{verb} {arguments:?}: {}",
            done.stderr
        );
    }
    app.create("race", json!({})).await;
    let done = run("export", &["race", "--url", &here, "-o", &lost], &token, "").await;
    assert!(done.code == 1 && done.stderr.contains("no/file"), "{}", done.stderr);
    assert_eq!(entries(directory.path()), [""; 0], "nothing is left behind");
    for arguments in [vec!["a b"], vec!["race", "--format", "xml"], vec!["race", "--window", ""], vec![]] {
        assert_eq!(run("export", &arguments, &[], "").await.code, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn an_export_that_is_cut_off_leaves_no_file() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).expect("a request") > 0);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        // Without the chunk of length 0 that ends a body.
        write!(stream, "{head}3\r\n{{}}\n\r\n").expect("sent");
    });
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("race.ndjson");
    let done = run("export", &["race", "--url", &url, "-o", file.to_str().expect("UTF-8")], &[], "").await;
    service.join().expect("no panic");
    assert_eq!(done.code, 1);
    assert!(done.stderr.starts_with("ranq: the export was cut off: "), "{}", done.stderr);
    assert_eq!(entries(directory.path()), [""; 0]);
}
