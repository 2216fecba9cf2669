//! The values of settings.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use ranq::config::{Config, DEFAULTS};

use crate::hold;
use crate::texts::{number, text};

const CASES: u32 = 200;
/// In no message, no Debug.
const SECRET: &str = "hunter2";

fn names() -> Vec<String> {
    let names = DEFAULTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        text(),
        number(),
        "(redis|rediss|unix|http|redis\\+unix)://[a-z:@/#?&=%0-9\\[\\]]{0,20}",
        "[0-9a-f:.\\[\\]]{0,20}:[0-9]{0,6}",
        "(info|trace|ranq=debug|[a-z=,\\[\\]{}]{0,10})(,[a-z:=]{0,10})?",
        select(&["true", "off", "always", "json", "127.0.0.1:0", "localhost:1", "0.0.0.0:1", "[::1]:1", ""][..])
            .prop_map(str::to_owned),
    ]
}

#[test]
fn values_are_taken_or_named_in_a_mistake() {
    let names = names();
    let given = (select(names), value());
    hold("settings", CASES, &given, |(name, value)| {
        let environment = std::iter::once((format!("RANQ_{}", name.to_uppercase()), value.clone()));
        if let Err(mistakes) = Config::load(None, environment, BTreeMap::new()) {
            prop_assert!(mistakes.0.iter().all(|mistake| mistake.contains('`')), "{name}={value:?}: {mistakes}");
            prop_assert!(mistakes.to_string().contains(&format!("`{name}`")), "{name}={value:?}: {mistakes}");
        }
        Ok(())
    });
}

#[test]
fn secrets_are_not_shown_whatever_stands_around_them() {
    let around = (value(), value(), select(&["admin_token", "redis_url"][..]));
    hold("secrets", CASES, &around, |(before, after, name)| {
        let secret = format!("{before}{SECRET}{after}");
        let environment = std::iter::once((format!("RANQ_{}", name.to_uppercase()), secret));
        let shown = match Config::load(None, environment, BTreeMap::new()) {
            Ok(config) => format!("{config:?}"),
            Err(mistakes) => mistakes.to_string(),
        };
        prop_assert!(!shown.contains(SECRET), "{shown}");
        Ok(())
    });
}

#[test]
fn files_are_taken_or_their_mistakes_told_without_what_they_hold() {
    let line = prop_oneof![
        (select(names()), value()).prop_map(|(name, value)| format!("{name} = {value}")),
        (select(names()), value()).prop_map(|(name, value)| format!("{name} = {value:?}")),
        (select(names()), value()).prop_map(|(name, value)| format!("{name} = '{value}")),
        text(),
    ];
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("ranq.toml");
    let lines = (proptest::collection::vec(line, 0..4), select(&["admin_token", "redis_url"][..]));
    hold("files of settings", CASES / 2, &lines, |(lines, name)| {
        let text = format!("{name} = {SECRET}{}\n{name} = \"{SECRET}", lines.join("\n"));
        std::fs::write(&file, text).expect("written");
        let mistakes = Config::load(Some(&file), std::iter::empty(), BTreeMap::new()).expect_err("it has mistakes");
        prop_assert!(!mistakes.to_string().contains(SECRET), "{mistakes}");
        Ok(())
    });
}
