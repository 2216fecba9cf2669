//! What goes in and comes out: payloads, metadata, whole rankings.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::documents::json;
use crate::hold;
use crate::service::Service;
use crate::texts::{number, text};

const CASES: u32 = 40;
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

#[derive(Deserialize)]
struct Dequeued<'a> {
    #[serde(borrow)]
    jobs: Vec<Job<'a>>,
}

#[derive(Deserialize)]
struct Job<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
    lease: String,
    id: String,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[test]
fn payloads_results_and_metadata_come_back_byte_for_byte() {
    let service = Service::new();
    hold("payloads", CASES, &json(), |given| {
        let given = given.trim_matches(SPACE);
        let body = format!("{{\"payload\": {given}}}");
        let added = service.request("POST", "/v1/queues/bytes/jobs", "application/json", body.as_bytes());
        prop_assert_eq!(added.status, 201, "{}", added.text());
        let leased = service.request("POST", "/v1/queues/bytes/dequeue", "application/json", b"{}");
        let Dequeued { jobs } = serde_json::from_slice(&leased.body).expect("a dequeue's answer");
        prop_assert_eq!(jobs[0].payload.get(), given);
        let body = format!("{{\"lease\":{:?},\"result\":{given}}}", jobs[0].lease);
        let path = format!("/v1/queues/bytes/jobs/{}/ack", jobs[0].id);
        let done = service.request("POST", &path, "application/json", body.as_bytes());
        prop_assert_eq!(done.status, 200, "{}", done.text());
        prop_assert!(given == "null" || done.text().contains(given), "{} in {}", given, done.text());

        let body = format!("{{\"member\":\"ann\",\"score\":{},\"metadata\":{given}}}", fastrand::u32(..));
        service.request("DELETE", "/v1/leaderboards/bytes/members/ann", "", b"");
        let set = service.request("POST", "/v1/leaderboards/bytes/scores", "application/json", body.as_bytes());
        // What some parsers do not read is no metadata.
        if serde_json::from_str::<Value>(given).is_err() || given.len() > 2048 {
            prop_assert_eq!(set.status, 422, "{}", set.text());
            return Ok(());
        }
        if given == "null" {
            return Ok(());
        }
        prop_assert_eq!(set.status, 200, "{}", set.text());
        let read = service.request("GET", "/v1/leaderboards/bytes/members/ann", "", b"");
        let Entry { metadata } = serde_json::from_slice(&read.body).expect("an entry");
        prop_assert_eq!(metadata.get(), given);
        Ok(())
    });
    service.end();
}

fn csv() -> impl Strategy<Value = String> {
    let cell = prop_oneof![
        number(),
        "[a-z]{0,6}",
        "\"([a-z,\n\r]|\"\"){0,6}\"",
        "[\",\r\n a-z]{0,6}",
        text(),
        Just("2026-11-23T05:40:00.123456Z".to_owned()),
    ];
    let head = prop_oneof![
        6 => select(&["member,score", "score,member", "member,score,achieved_at", "member,score,metadata", "\u{feff}member,score", "\"member\",\"score\""][..]).prop_map(str::to_owned),
        1 => "[a-z_,.\"]{0,30}",
    ];
    let row = prop_oneof![
        vec(cell, 0..4).prop_map(|cells| cells.join(",")),
        ("[a-z]{1,3}", number()).prop_map(|(member, score)| format!("{member},{score}")),
    ];
    (head, vec(row, 0..8), select(&["\n", "\r\n", "\r", "\n\n"][..]))
        .prop_map(|(head, rows, end)| rows.into_iter().fold(head, |text, row| format!("{text}{end}{row}")))
}

fn ndjson() -> impl Strategy<Value = String> {
    let row = prop_oneof![
        ("[a-z]{1,3}", number()).prop_map(|(member, score)| format!("{{\"member\":\"{member}\",\"score\":{score}}}")),
        ("[a-z]{1,3}", number(), json()).prop_map(|(member, score, metadata)| {
            let metadata = metadata.replace(['\n', '\r'], "");
            format!("{{\"member\":\"{member}\",\"score\":{score},\"metadata\":{metadata},\"achieved_at\":\"2026-11-23T05:40:00.123456Z\"}}")
        }),
        json(),
        text(),
    ];
    (vec(row, 0..8), select(&["\n", "\r\n", "\n\n"][..])).prop_map(|(rows, end)| rows.join(end))
}

/// Imports a text, and asserts that what it made is the same after an export and an import of that.
fn round_trip(service: &Service, format: &str, media_type: &str, given: &str) -> Result<(), TestCaseError> {
    for board in ["in", "out"] {
        service.request("DELETE", &format!("/v1/leaderboards/{board}"), "", b"");
        service.request("PUT", &format!("/v1/leaderboards/{board}"), "application/json", b"{}");
    }
    let import = |board: &str, text: &[u8]| {
        service.request("POST", &format!("/v1/leaderboards/{board}/import?format={format}"), media_type, text)
    };
    let export =
        |board: &str| service.request("GET", &format!("/v1/leaderboards/{board}/export?format={format}"), "", b"");
    let answer = import("in", given.as_bytes());
    prop_assert!(answer.status < 500, "{}", answer.text());
    if answer.status != 200 {
        return Ok(());
    }
    let (imported, first) = (answer["imported"].as_u64().expect("a count"), export("in"));
    let again = import("out", &first.body);
    prop_assert_eq!(again.status, 200, "{}", again.text());
    prop_assert_eq!(again["rejected"].as_u64(), Some(0), "{} of {}", again.text(), first.text());
    prop_assert!(again["imported"].as_u64().expect("a count") <= imported);
    prop_assert_eq!(rows(service, "in"), rows(service, "out"));
    Ok(())
}

/// The rows of a board without their times: those with the same one may come a microsecond apart, which keeps their order.
fn rows(service: &Service, board: &str) -> Vec<Value> {
    let export = service.request("GET", &format!("/v1/leaderboards/{board}/export?format=ndjson"), "", b"");
    let rows = export.text().lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|mut row| {
        row.as_object_mut().expect("a row").remove("achieved_at");
        row
    })
    .collect()
}

#[test]
fn rankings_from_csv_go_round() {
    let service = Service::new();
    hold("CSV", CASES, &csv(), |given| round_trip(&service, "csv", "text/csv", &given));
    service.end();
}

#[test]
fn rankings_from_ndjson_go_round() {
    let service = Service::new();
    hold("NDJSON", CASES, &ndjson(), |given| round_trip(&service, "ndjson", "application/x-ndjson", &given));
    service.end();
}
