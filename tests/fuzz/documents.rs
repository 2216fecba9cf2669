//! JSON at random, as text: with what parsers disagree about.

use proptest::prelude::*;
use proptest::sample::select;

/// A text that is JSON.
pub fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let space = || select(&["", " ", "\n", "\t", "\r\n"][..]);
        let items = proptest::collection::vec(inner.clone(), 0..5);
        // Names may come twice.
        let fields = proptest::collection::vec((string(), inner), 0..5);
        prop_oneof![
            (items, space()).prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},")))),
            (fields, space()).prop_map(|(fields, space)| {
                let fields: Vec<String> =
                    fields.into_iter().map(|(name, value)| format!("{name}{space}:{value}")).collect();
                format!("{{{space}{}{space}}}", fields.join(","))
            }),
        ]
    })
}

/// A string of JSON, with escapes of all kinds, halves of surrogate pairs included.
fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-z ]{0,6}",
        "[^\"\\\\\\x00-\\x1f]{0,6}",
        select(
            &[
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\b",
                "\\u0000",
                "\\ud800",
                "\\udc00\\ud83d",
                "\\ud83e\\udd80",
                "\\u2028",
                "\u{feff}"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}
