//! The rules of the house, held against the files: levels, scripts, documents, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ranq::auth::Scope;
use ranq::error::ErrorCode;
use ranq::metrics::{Metrics, Removal};
use ranq::queue::{QueueSettings, State};

const MOST_LINES: usize = 620;
const MOST_SCRIPT_LINES: usize = 66;
const MOST_PART_LINES: usize = 80;

/// What a module uses of its own level or in spite of a rule, and why.
const ALLOWED: [(&str, &str, &str); 4] = [
    ("error", "types", "errors carry the names that they are about"),
    ("telemetry", "config", "the log is set up from the settings"),
    ("http", "db::Health", "readiness is answered by the probe of Redis"),
    ("http", "db::RedisKind", "readiness shows what Redis is"),
];

/// Files that may name the Redis client.
const KNOW_REDIS: [&str; 11] = [
    "src/db/",
    "src/leaderboard/store",
    "src/queue/store",
    "src/auth/store",
    "src/limit/store",
    "src/audit/store",
    "src/archive/store",
    "src/erase/store",
    "src/profile/store",
    "src/error.rs",
    "src/config/",
];

/// The kinds of keys: the first word of each after the prefix and the hash tag. Those of a queue that scripts take by their
/// place stand in `KEY_NAMES` of src/queue/line.rs.
const KEY_KINDS: &[&str] = &[
    "board",
    "rank",
    "ids",
    "meta",
    "distinct",
    "hidden",
    "segments",
    "values",
    "described",
    "snapshots",
    "idem",
    "limit",
    "bans",
    "banned",
    "audit",
    "log",
    "players",
    "state",
    "members",
    "names",
    "pending",
    "periods",
    "free",
    "closing",
    "inbox",
    "leaderboards",
    "probe",
    "format",
    "mint",
    "token",
    "player",
    "peer",
    "ends",
    "changes",
    "version",
    "ready",
    "to_archive",
    "unarchived",
    "withdrawn",
    "archiving",
    "archiving_scores",
    "archiver",
    "retainer",
    "erasing",
    "period_archiver",
    "leaving",
    "era",
    "answer",
    "job",
    "reader",
    "known",
    "asked",
    "queues",
    "workers",
    "wake",
];

/// Where scripts are. The names of parts are known within their folder.
const SCRIPTS: [&str; 7] = [
    "src/leaderboard/lua",
    "src/queue/lua",
    "src/auth/lua",
    "src/audit/lua",
    "src/limit/lua",
    "src/archive/lua",
    "src/profile/lua",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    assert!(text.is_ok(), "{path} cannot be read: {text:?}");
    text.unwrap_or_default()
}

/// All files below `directory` with this ending, by path from the root.
fn files(directory: &str, ending: &str) -> BTreeMap<String, String> {
    let found = files_below(directory, ending);
    assert!(!found.is_empty(), "no {ending} in {directory}");
    found
}

fn files_below(directory: &str, ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join(directory)).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{directory}/{}", entry.file_name().to_str().expect("a UTF-8 name"));
        if entry.file_type().expect("a type").is_dir() {
            found.extend(files_below(&path, ending));
        } else if path.ends_with(ending) {
            found.insert(path.clone(), read(&path));
        }
    }
    found
}

/// Rust or Lua without its comment lines.
fn code(text: &str, comment: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(comment));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// What follows each `word` that is not the end of a longer one.
fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let whole = |(at, _): &(usize, &str)| !text[..*at].ends_with(is_word);
    text.match_indices(word).filter(whole).map(|(at, _)| &text[at + word.len()..])
}

fn holds_word(text: &str, word: &str) -> bool {
    after(text, word).any(|rest| !rest.starts_with(is_word))
}

/// The module at the top that a file belongs to.
fn module_of(path: &str) -> &str {
    let inner = path.strip_prefix("src/").expect("a source");
    inner.split('/').next().expect("a name").trim_end_matches(".rs")
}

/// The table in the docs of the crate.
fn levels() -> BTreeMap<String, u32> {
    let library = read("src/lib.rs");
    let mut levels = BTreeMap::new();
    for row in library.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let (level, modules) = row.split_once('|').expect("two columns");
        let Ok(level) = level.trim().parse() else { continue };
        for module in modules.split('`').skip(1).step_by(2) {
            levels.insert(module.to_owned(), level);
        }
    }
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: BTreeSet<&str> = modules.collect();
    assert_eq!(levels.keys().map(String::as_str).collect::<BTreeSet<_>>(), modules, "the table and the modules");
    levels
}

/// The paths that a use tree (`db::{Health, RedisKind}`) names.
fn paths(tree: &str) -> Vec<String> {
    let end = tree.find(|letter| !is_word(letter) && letter != ':').unwrap_or(tree.len());
    let (stem, rest) = tree.split_at(end);
    let Some(group) = rest.strip_prefix('{') else { return vec![stem.trim_end_matches(':').to_owned()] };
    let (mut found, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[from..at].trim();
                found.extend(
                    paths(item).into_iter().filter(|path| !path.is_empty()).map(|path| format!("{stem}{path}")),
                );
                from = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn a_module_uses_only_modules_of_lower_levels() {
    let levels = levels();
    let mut needed: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for (file, text) in files("src", ".rs") {
        let module = module_of(&file);
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let text = code(&text, "//");
        let at_top = file == format!("src/{module}.rs") || file == format!("src/{module}/mod.rs");
        let by_super = after(&text, "super::").filter(|_| at_top).flat_map(paths);
        let by_super = by_super.filter(|path| levels.contains_key(path.split("::").next().expect("a name")));
        for path in after(&text, "crate::").flat_map(paths).chain(by_super) {
            let used = path.split("::").next().expect("a name").to_owned();
            let level = *levels.get(&used).unwrap_or_else(|| panic!("{file}: crate::{path} is no module"));
            let allowed = ALLOWED
                .iter()
                .find(|(from, what, _)| *from == module && (path == *what || path.starts_with(&format!("{what}::"))));
            let crosses = level >= levels[module] || (module == "http" && used == "db");
            if used != module && crosses {
                assert!(allowed.is_some(), "{file} ({module}, level {}) uses {path} (level {level})", levels[module]);
                needed.extend(allowed);
            }
        }
    }
    assert_eq!(needed.len(), ALLOWED.len(), "an exception is needed no more");
}

#[test]
fn only_the_stores_know_the_redis_client() {
    for (file, text) in files("src", ".rs") {
        let text = code(&text, "//");
        let names = after(&text, "redis::").next().is_some() || holds_word(&text, "deadpool_redis");
        assert!(!names || KNOW_REDIS.iter().any(|known| file.starts_with(known)), "{file} names redis::");
    }
}

#[test]
fn only_the_archive_knows_the_databases() {
    for (file, text) in files("src", ".rs") {
        let names = after(&code(&text, "//"), "sqlx::").next().is_some();
        assert!(!names || file.starts_with("src/archive/") || file == "src/config/archive.rs", "{file} names sqlx::");
    }
}

#[test]
fn only_profiles_and_commands_call_out_by_http() {
    // What they ask for, and where profiles come from.
    const CALL: [&str; 4] = ["src/profile/", "src/worker/", "src/cli/", "src/leaderboard/profiles.rs"];
    for (file, text) in files("src", ".rs") {
        let names = after(&code(&text, "//"), "reqwest::").next().is_some();
        assert!(!names || CALL.iter().any(|known| file.starts_with(known)), "{file} names reqwest::");
    }
}

#[test]
fn a_worker_knows_the_service_by_http_alone() {
    for (file, text) in files("src/worker", ".rs") {
        assert!(after(&code(&text, "//"), "crate::").next().is_none(), "{file} uses another module of the crate");
    }
}

#[test]
fn sources_are_short_and_finished() {
    for (file, text) in files("src", ".rs") {
        assert!(text.lines().count() <= MOST_LINES, "{file} has {} lines", text.lines().count());
        for mark in ["todo!", "unimplemented!", "#[ignore", "thread::sleep"] {
            let waits_for_a_child = mark == "thread::sleep" && file == "src/db/embedded.rs";
            assert!(!text.contains(mark) || waits_for_a_child, "{file} has {mark}");
        }
    }
}

/// Lua in words and signs; a text becomes one sign.
fn lua_tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut token = letter.to_string();
        if is_word(letter) {
            while let Some(more) = letters.next_if(|next| is_word(*next)) {
                token.push(more);
            }
        } else if letter == '\'' || letter == '"' {
            while letters.next().expect("the end of a text") != letter {}
            token = "''".to_owned();
        } else if letter == '-' && letters.peek() == Some(&'-') {
            while letters.next_if(|next| *next != '\n').is_some() {}
            continue;
        } else if letter.is_whitespace() {
            continue;
        } else if ".=~<>".contains(letter) {
            while let Some(more) = letters.next_if(|next| *next == letter || *next == '=') {
                token.push(more);
            }
        }
        tokens.push(token);
    }
    tokens
}

fn is_name(token: &str) -> bool {
    const KEYWORDS: [&str; 21] = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not",
        "or", "repeat", "return", "then", "true", "until", "while",
    ];
    token.starts_with(|first: char| first.is_alphabetic() || first == '_') && !KEYWORDS.contains(&token)
}

/// The names that a Lua text makes: locals, parameters and loop variables.
fn lua_locals(tokens: &[String]) -> BTreeSet<&str> {
    let mut made = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let names: &[String] = match token.as_str() {
            "function" => {
                let open = at + tokens[at..].iter().position(|token| token == "(").expect("parameters");
                &tokens[at + 1..open + tokens[open..].iter().position(|token| token == ")").expect("their end")]
            }
            "local" | "for" => {
                let is_list = |token: &&String| is_name(token) || *token == ",";
                &tokens[at + 1..at + 1 + tokens[at + 1..].iter().take_while(is_list).count()]
            }
            _ => continue,
        };
        // `local a, b c = 1` does not exist, and without `=` the next statement begins with a name of its own.
        let mut after_comma = true;
        for name in names {
            let listed = token == "function" || after_comma;
            if is_name(name) && listed {
                made.insert(name.as_str());
            }
            after_comma = name == ",";
        }
    }
    made
}

/// Holds the names of a script against those that it makes, those of the parts and those that Redis gives. Gives the names of
/// parts that it changes though it does not make them.
fn changed_elsewhere<'a>(file: &str, tokens: &'a [String], of_parts: &BTreeSet<&str>) -> Vec<&'a str> {
    const GIVEN: [&str; 16] = [
        "redis", "string", "math", "table", "struct", "cmsgpack", "bit", "tonumber", "tostring", "ipairs", "pairs",
        "unpack", "type", "pcall", "KEYS", "ARGV",
    ];
    let own = lua_locals(tokens);
    let (mut in_table, mut changed) = (0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        let before = if at == 0 { "" } else { tokens[at - 1].as_str() };
        let next = tokens.get(at + 1).map_or("", String::as_str);
        match token.as_str() {
            "{" => in_table += 1,
            "}" => in_table -= 1,
            // One without a name is a value.
            "function" if next == "(" => {}
            "function" => assert_eq!(before, "local", "{file}: function {next} is not local"),
            name if is_name(name) && before != "." && !(in_table > 0 && next == "=") => {
                let known = own.contains(name) || of_parts.contains(name) || GIVEN.contains(&name);
                assert!(known, "{file}: {name} is a global");
                let assigned = next == "=" && !own.contains(name);
                assert!(!assigned || !GIVEN.contains(&name), "{file}: {name} is changed");
                changed.extend(assigned.then_some(name));
            }
            _ => {}
        }
    }
    changed
}

#[test]
fn scripts_use_no_globals() {
    // What a part declares and others change, and why.
    const SHARED: [(&str, &str); 1] = [("pushed", "transitions count what becomes ready, for one wake-up at the end")];
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    for scripts in SCRIPTS.map(|folder| files(folder, ".lua")) {
        let tokens: BTreeMap<&String, Vec<String>> =
            scripts.iter().map(|(file, text)| (file, lua_tokens(text))).collect();
        // Parts stand in front of the scripts, so their names are known there.
        let of_parts: BTreeSet<&str> =
            tokens.iter().filter(|(file, _)| file.contains("/_")).flat_map(|(_, tokens)| lua_locals(tokens)).collect();
        for (file, tokens) in &tokens {
            for name in changed_elsewhere(file, tokens, &of_parts) {
                let shared = SHARED.iter().find(|(known, _)| *known == name);
                assert!(shared.is_some(), "{file}: {name} of another part is changed");
                needed.extend(shared.map(|(known, _)| known));
            }
        }
    }
    assert_eq!(needed.len(), SHARED.len(), "an exception is needed no more");
}

/// The numbers of a header, with those that `1 to 30` leaves unsaid.
fn numbers(described: &str) -> BTreeSet<u32> {
    let words: Vec<&str> = described.split(|letter| !is_word(letter)).filter(|word| !word.is_empty()).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
    let mut named: BTreeSet<u32> = (0..words.len()).filter_map(number).collect();
    for at in (1..words.len()).filter(|at| words[*at] == "to") {
        named.extend(number(at - 1).zip(number(at + 1)).into_iter().flat_map(|(from, to)| from..=to));
    }
    named
}

#[test]
fn scripts_begin_with_their_signature() {
    for (file, text) in SCRIPTS.into_iter().flat_map(|folder| files(folder, ".lua")) {
        let lines = text.lines().count();
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        if file.contains("/_") {
            assert!(header.first().is_some_and(|line| line.starts_with("-- Part: ")), "{file} begins in another way");
            assert!(lines <= MOST_PART_LINES, "{file} has {lines} lines");
            continue;
        }
        assert!(lines <= MOST_SCRIPT_LINES, "{file} has {lines} lines");
        assert!(
            header.first().is_some_and(|line| line.len() > 10 && !line.contains("KEYS")),
            "{file} says not what it does"
        );
        let body = code(&text, "--");
        let header = header.join("\n");
        let (_, header) = header.split_once("--   KEYS ").unwrap_or_else(|| panic!("{file} has no KEYS"));
        let (inputs, _) = header.split_once("--   Gives ").unwrap_or_else(|| panic!("{file} has no Gives"));
        let (keys, arguments) = inputs.split_once("--   ARGV ").unwrap_or((inputs, ""));
        for (name, described) in [("KEYS", keys), ("ARGV", arguments)] {
            assert!(name == "KEYS" || !body.contains(name) || !arguments.is_empty(), "{file} has no {name}");
            let used =
                after(&body, name).filter_map(|rest| rest.strip_prefix('[')?.split(']').next()?.parse::<u32>().ok());
            let named = numbers(described);
            // What follows a `then` has numbers that depend on the call, but for the first of them.
            let next = named.last().filter(|_| described.contains("then ")).map(|last| last + 1);
            for number in used.collect::<BTreeSet<_>>() {
                let known = named.contains(&number) || next == Some(number);
                assert!(known, "{file}: {name}[{number}] is not in the header");
            }
        }
    }
}

/// The arguments of a call, in Lua or Rust, whose text begins behind its parenthesis.
fn arguments(call: &str) -> Vec<String> {
    let (mut depth, mut arguments) = (1, vec![String::new()]);
    for letter in call.chars() {
        match letter {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            ',' if depth == 1 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        arguments.last_mut().expect("one at least").push(letter);
    }
    arguments.iter().map(|argument| argument.trim().to_owned()).collect()
}

/// Whether a key is one of KEYS, whatever its place is reckoned from (`KEYS[i]`, `KEYS[READY + priority]`), or a name that
/// stands for one, such as those that _keys.lua gives.
fn is_handed_in(key: &str) -> bool {
    let Some(place) = key.strip_prefix("KEYS[").and_then(|rest| rest.strip_suffix(']')) else {
        let is_path = key.chars().all(|letter| is_word(letter) || letter == '.') && !key.contains("..");
        return key == "unpack(KEYS)" || (is_path && key.parse::<f64>().is_err());
    };
    // The bracket that opens there must not close before the end: `KEYS[1] .. KEYS[2]` would be a new key.
    let depths = place.chars().scan(0, |depth, letter| {
        *depth += i32::from(letter == '[') - i32::from(letter == ']');
        Some(*depth)
    });
    depths.min().unwrap_or_default() >= 0
}

#[test]
fn no_script_builds_a_key() {
    // What comes before the keys, and whether all that follows are keys.
    const MANY_KEYS: [&str; 4] = ["'EXISTS'", "'UNLINK'", "'DEL'", "'MGET'"];
    for (file, text) in SCRIPTS.into_iter().flat_map(|folder| files(folder, ".lua")) {
        let body = code(&text, "--");
        for call in after(&body, "redis.call(") {
            let arguments = arguments(call);
            let keys = match arguments[0].as_str() {
                "'LMPOP'" => {
                    let count: usize = arguments[1].parse().expect("a number of keys");
                    arguments.get(2..2 + count).unwrap_or_else(|| panic!("{file}: LMPOP has not its {count} keys"))
                }
                // A channel is no key.
                "'PUBLISH'" => &[],
                many if MANY_KEYS.contains(&many) => &arguments[1..],
                _ => &arguments[1..arguments.len().min(2)],
            };
            for key in keys {
                assert!(is_handed_in(key), "{file} builds the key {key}");
            }
        }
    }
}

#[test]
fn every_error_is_documented() {
    let document = read("docs/errors.md");
    for code in ErrorCode::ALL {
        let slug = code.facts().slug;
        assert!(document.contains(&format!("`{slug}`")), "docs/errors.md does not know `{slug}`");
    }
}

#[test]
fn every_setting_is_documented() {
    let document = read("README.md");
    let defaults = read("src/config/default.toml");
    for setting in defaults.lines().filter_map(|line| line.split_once(" = ").filter(|_| !line.starts_with('#'))) {
        let name = setting.0;
        let shown =
            document.contains(&format!("`{name}`")) || holds_word(&document, &format!("RANQ_{}", name.to_uppercase()));
        assert!(shown, "README.md does not know the setting `{name}`");
    }
}

#[test]
fn every_setting_that_security_names_is_there() {
    // What stands there in the form of a setting and is none: fields of the API.
    const FIELDS: [&str; 10] = [
        "rate_limit",
        "expires_in_ms",
        "created_by",
        "last_used_at",
        "achieved_at",
        "enqueued_at",
        "min_score",
        "max_score",
        "submission_limit",
        "stale_ms",
    ];
    let (document, defaults) = (read("SECURITY.md"), read("src/config/default.toml"));
    let is_setting =
        |name: &str| defaults.lines().any(|line| line.split_once(" = ").is_some_and(|line| line.0 == name));
    let is_word = |text: &&str| text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    let looks_like_one = |text: &&str| is_word(text) && text.trim_matches('_').contains('_');
    let quoted = document.split('`').skip(1).step_by(2);
    // `auto_create = false` names a setting, too.
    let named: BTreeSet<&str> = quoted.filter_map(|text| text.split(" = ").next()).filter(looks_like_one).collect();
    assert!(named.contains("admin_token") && named.contains("auto_create"), "{named:?}");
    for name in named.iter().filter(|name| !FIELDS.contains(name)) {
        let is_metric = name.starts_with("ranq_");
        assert!(is_metric || is_setting(name), "SECURITY.md names `{name}`, which is no setting");
    }
}

#[test]
fn every_metric_is_documented() {
    let document = read("docs/operations.md");
    let metrics = Metrics::default();
    metrics.request("GET", "/", 200, Duration::ZERO);
    drop(metrics.in_flight());
    metrics.connection_opened();
    metrics.connection_refused();
    metrics.redis_call("call", Duration::ZERO, false);
    metrics.redis_connected();
    metrics.redis_restarted();
    drop(metrics.stream_opened());
    metrics.stream_event("snapshot");
    metrics.task_run("task", Duration::ZERO, false);
    metrics.jobs_enqueued("queue", 1);
    metrics.jobs_completed("queue", 1);
    metrics.jobs_failed("queue", 1, 1);
    metrics.jobs_removed(Removal { queue: "queue", state: "dead", reason: "age" }, 1);
    metrics.job_waited("queue", Duration::ZERO);
    metrics.job_ran("queue", Duration::ZERO);
    metrics.queue_depth("queue", "ready", 1);
    metrics.oldest_ready("queue", Duration::ZERO);
    metrics.archive_waiting("queue", 1, Duration::ZERO);
    metrics.archive_dropped("queue", 1);
    metrics.archive_scores_waiting(1, Duration::ZERO);
    metrics.archive_scores_dropped(1);
    metrics.archive_written(1, Duration::ZERO);
    metrics.archive_purged(1);
    metrics.archive_read("job", "cache");
    metrics.archive_periods_waiting(1);
    metrics.archive_failed();
    metrics.profile_reads("hit", 1);
    metrics.profiles_fetched(Duration::ZERO, false);
    let text = metrics.render().expect("text");
    let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let registered = read("src/metrics.rs").matches("registry.register").count();
    assert_eq!(types.len(), registered, "a metric is not touched by this test");
    for line in types {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let name = match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        assert!(holds_word(&document, &name), "docs/operations.md does not know {name}");
    }
}

#[test]
fn every_key_is_documented() {
    let document = read("docs/keys.md");
    let line = read("src/queue/line.rs");
    let (_, names) = line.split_once("const KEY_NAMES").expect("the names of a queue's keys");
    let (_, names) = names.split_once('=').expect("their list");
    let names: Vec<&str> = names.split(';').next().expect("its end").split('"').skip(1).step_by(2).collect();
    assert!(names.contains(&"jobs") && names.contains(&"outbox"), "{names:?}");
    for kind in KEY_KINDS.iter().chain(&names) {
        let named = document.split(':').any(|rest| rest.starts_with(kind) && !rest[kind.len()..].starts_with(is_word));
        assert!(named, "docs/keys.md does not know the kind {kind}");
    }
    // Scripts take the keys by their place in that list.
    for (at, name) in names.iter().enumerate() {
        let row = format!("| {} | `ranq:{{q:NAME}}:{name}` |", at + 1);
        assert!(document.contains(&row), "docs/keys.md does not begin a row with {row}");
    }
    let bound = code(&read("src/queue/lua/_keys.lua"), "--");
    for statement in bound.split("local ").filter(|statement| statement.contains("KEYS[")) {
        let (locals, places) = statement.split_once('=').expect("names and keys");
        let places =
            after(places, "KEYS").filter_map(|rest| rest.strip_prefix('[')?.split(']').next()?.parse::<usize>().ok());
        for (local, place) in locals.split(',').zip(places) {
            assert_eq!(names[place - 1], local.trim().to_lowercase(), "KEYS[{place}] in _keys.lua");
        }
    }
    // Where the code makes keys, their first words are the ones known here.
    let sources: String = files("src", ".rs").values().map(|text| code(text, "//")).collect();
    for maker in [".global(", ".tagged(", "key_of("] {
        for call in sources.split(maker).skip(1) {
            let name = arguments(call).join(",");
            let texts = name.split('"').skip(1).step_by(2);
            for kind in texts.filter_map(|text| text.split(':').next()).filter(|kind| !kind.contains('{')) {
                assert!(KEY_KINDS.contains(&kind), "keys of the kind {kind} are not in the list");
            }
        }
    }
}

#[test]
fn every_setting_of_a_queue_is_documented() {
    let document = read("README.md");
    let all = QueueSettings { retention_count: Some(1), dead_retention_count: Some(1), ..QueueSettings::default() };
    let settings = serde_json::to_value(all).expect("settings have a JSON");
    for name in settings.as_object().expect("an object").keys() {
        assert!(document.contains(&format!("| `{name}` |")), "README.md has no row for the queue setting `{name}`");
    }
}

#[test]
fn every_state_of_a_job_is_documented() {
    let document = read("docs/job-states.md");
    for state in State::ALL.map(State::name) {
        let drawn = document.contains(&format!("{state} --> ")) || document.contains(&format!(" --> {state}"));
        let explained = document.contains(&format!("| `{state}` |"));
        assert!(drawn && explained, "docs/job-states.md does not draw and explain `{state}`");
    }
}

/// An operation: method, path, scope.
type Operation = (String, String, String);

/// The operations under `/v1` of the checked-in document.
fn documented_operations() -> BTreeSet<Operation> {
    let document: serde_json::Value = serde_json::from_str(&read("openapi/openapi.json")).expect("JSON");
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths").iter().filter(|(path, _)| path.starts_with("/v1"))
    {
        for (method, operation) in item.as_object().expect("operations") {
            let scopes = operation["security"][0]["token"].as_array().map_or(0, Vec::len);
            assert_eq!(scopes, 1, "{method} {path} needs not one scope");
            let scope = operation["security"][0]["token"][0].as_str().expect("a name").to_owned();
            found.insert((method.to_uppercase(), path.clone(), scope));
        }
    }
    found
}

#[test]
fn every_handler_comes_by_its_service_through_the_scope_that_its_document_names() {
    let mut found = BTreeSet::new();
    for (file, text) in files("src/http", ".rs") {
        for method in ["get", "put", "post", "delete"] {
            for rest in after(&text, &format!("#[{method}(\"/v1")) {
                let path = format!("/v1{}", rest.split('"').next().expect("its end"));
                let handler = rest.split("async fn ").nth(1).expect("a handler");
                let (name, arguments) = handler.split_once('(').expect("arguments");
                let (_, first) = arguments.split_once(':').expect("a first argument");
                let first: String = first.split_whitespace().collect();
                let needs = first.strip_prefix("Allowed<").unwrap_or_else(|| panic!("{file}: {name} is open to all"));
                // What else it needs stands around the scope: `OnAllLeaderboards<LeaderboardsAdmin>`.
                let needs = needs.split([',', '>']).next().expect("a scope").rsplit('<').next().expect("its name");
                let scope = Scope::ALL.into_iter().find(|scope| format!("{scope:?}") == needs);
                let scope = scope.unwrap_or_else(|| panic!("{file}: {name} needs {needs}, which is no scope"));
                found.insert((method.to_uppercase(), path, scope.name().to_owned()));
            }
        }
    }
    assert_eq!(found, documented_operations());
}

#[test]
fn services_are_made_outside_of_http_and_held_by_the_guard_alone() {
    for (file, text) in files("src/http", ".rs") {
        let text = code(&text, "//");
        for service in ["Leaderboards", "Profiles", "Queues", "Archive", "Erasure", "Tokens", "AuditLog"] {
            for maker in
                [format!("{service}::new("), format!("Data::<{service}>"), format!("app_data::<Data<{service}>>")]
            {
                assert!(!text.contains(&maker), "{file} has {maker}");
            }
            let held = text.contains(&format!("Data<{service}>"));
            let keeps = ["src/http/access.rs", "src/http/noting.rs"];
            assert!(!held || keeps.contains(&file.as_str()), "{file} holds {service} without a scope");
        }
    }
}

#[test]
fn who_may_do_what_is_documented() {
    let document = read("docs/access.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let mut found = BTreeSet::new();
    for row in rows {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [operation, scope, patterns, player] = columns[..] else { panic!("{row} has not four columns") };
        let (method, path) = operation.trim_matches('`').split_once(' ').expect("a method and a path");
        let scope = scope.trim_matches('`');
        let (leaderboard, queue) = (path.contains("{leaderboard}"), path.contains("{queue}"));
        assert!(!leaderboard || patterns.starts_with("the leaderboard"), "{row}: the path names a leaderboard");
        assert!(!queue || patterns.starts_with("the queue"), "{row}: the path names a queue");
        let expected = match scope {
            "leaderboards:read" => "reads",
            "scores:write" => "its own member",
            _ => "no",
        };
        assert_eq!(player, expected, "{row}");
        found.insert((method.to_owned(), path.to_owned(), scope.to_owned()));
    }
    assert_eq!(found, documented_operations());
}
