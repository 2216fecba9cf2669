//! Reading `/metrics`.

use std::net::SocketAddr;

use super::app::TestApp;
use super::{client_builder, eventually};

/// One scrape.
pub struct Scrape(String);

impl Scrape {
    pub async fn of(address: SocketAddr) -> Self {
        let client = client_builder().build().expect("a client");
        let answer = client.get(format!("http://{address}/metrics")).send().await.expect("the service answers");
        Self(answer.text().await.expect("text"))
    }

    /// The values of a metric whose labels hold all of `labels`, in no order.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            wanted.iter().all(|label| found.split(',').any(|found| found == label)).then(|| value.parse().ok())?
        };
        self.0.lines().filter_map(value).collect()
    }

    /// Their sum; `None` where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.all(name, labels);
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// How often Redis was asked to lease jobs.
    pub fn dequeue_calls(&self) -> f64 {
        let is_dequeue = |line: &&str| line.starts_with("ranq_redis_calls_total{call=\"dequeue");
        self.0.lines().filter(is_dequeue).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Waits until a service answers so many requests, beside the one that asks.
pub async fn until_in_flight(address: SocketAddr, requests: u32) {
    let wanted = f64::from(requests + 1);
    let reached = async || {
        let scrape = Scrape::of(address).await;
        (scrape.sum("ranq_http_requests_in_flight", &[]) == Some(wanted)).then_some(())
    };
    eventually(&format!("{requests} requests are in flight"), reached).await;
}

impl TestApp {
    pub async fn scrape(&self) -> Scrape {
        Scrape(self.get("/metrics").await.is(200).text().to_owned())
    }

    /// Waits until so many requests are being answered, beside the one that asks.
    pub async fn until_in_flight(&self, requests: u32) {
        until_in_flight(self.address(), requests).await;
    }
}
