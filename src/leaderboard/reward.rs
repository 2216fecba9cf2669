//! What the best of a closed period get, and who is told of its end.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::settings::Settings;
use crate::error::Fault;
use crate::types::{QueueName, WindowName, present, read_object};

const MAX_REWARDS: usize = 100;
const MAX_RANK: u64 = (1 << 53) - 1;
const MAX_PAYLOAD_BYTES: usize = 2048;
/// Thousandths of a percent in the whole.
const WHOLE: f64 = 100_000.0;
/// What the service writes into the payload of a reward's job.
const RESERVED: [&str; 6] = ["leaderboard", "window", "period", "member", "rank", "score"];

/// What the entries of some ranks get when a period closes: a job each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Reward {
    /// Whose periods.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "weekly")]
    pub window: WindowName,
    /// The first rank that gets it; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    pub from_rank: Option<u64>,
    /// The last rank that gets it. Either this or `to_percent` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 3)]
    pub to_rank: Option<u64>,
    /// The share of the ranking, from the top, that is passed over; 0 by default. Ranges that meet share nobody.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 100)]
    pub from_percent: Option<f64>,
    /// The share of the ranking, from the top, that gets it, rounded up to whole entries; with up to three decimals.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 100)]
    pub to_percent: Option<f64>,
    /// Where the jobs go.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "rewards")]
    pub queue: QueueName,
    /// What the jobs carry beside `leaderboard`, `window`, `period`, `member`, `rank` and `score`: an object of at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false, example = json!({"gems": 500}))]
    pub payload: Option<Value>,
}

/// Who is told that a period is closed and its rewards are handed out: a job with `type` (`period.closed`), `leaderboard`,
/// `window`, `period`, `started_at`, `ended_at` and `entries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct OnClose {
    /// Where the job goes.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "seasons")]
    pub queue: QueueName,
}

read_object!(Reward, written);
read_object!(OnClose, written);

/// What is to be paid for a period, as the settings stood when it was closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) rewards: Vec<Reward>,
    pub(super) on_close: Option<OnClose>,
}

impl Plan {
    /// The plan for periods of a window, as scripts keep it; empty where there is nothing to pay.
    pub(super) fn text(settings: &Settings, window: &WindowName) -> String {
        let rewards = settings.rewards.iter().filter(|reward| reward.window == *window).cloned().collect();
        let own = settings.windows.iter().find(|known| known.name == *window).and_then(|known| known.on_close.clone());
        let plan = Self { rewards, on_close: own.or_else(|| settings.on_close.clone()) };
        if plan.rewards.is_empty() && plan.on_close.is_none() {
            return String::new();
        }
        serde_json::to_string(&plan).unwrap_or_default()
    }

    /// The ranges of the rewards, as `pay.lua` takes them.
    pub(super) fn ranges(&self) -> String {
        self.rewards.iter().map(Reward::range).collect()
    }
}

impl Reward {
    fn range(&self) -> String {
        match self.to_rank {
            Some(to) => format!("r{}-{to},", self.from_rank.unwrap_or(1) - 1),
            None => {
                let share = |percent: Option<f64>| percent.and_then(thousandths).unwrap_or(0);
                format!("p{}-{},", share(self.from_percent), share(self.to_percent))
            }
        }
    }

    /// The fields that were set for the payload.
    pub(super) fn fields(&self) -> Map<String, Value> {
        self.payload.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Every rule that the reward breaks; `pointer` is where it stands.
    fn faults(&self, settings: &Settings, pointer: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, field: &str, detail: &str| {
            if !holds {
                faults.push(Fault::new(format!("{pointer}/{field}"), detail));
            }
        };
        let known = settings.windows.iter().any(|window| window.name == self.window);
        check(known, "window", "is not a window of this leaderboard");
        let (from, to) = (self.from_rank.unwrap_or(1), self.to_rank.unwrap_or(MAX_RANK));
        let by_rank = self.from_rank.is_some() || self.to_rank.is_some();
        let by_share = self.from_percent.is_some() || self.to_percent.is_some();
        check(!(by_rank && by_share), "to_percent", "must not stand beside ranks");
        check(by_share || self.to_rank.is_some(), "to_rank", "or `to_percent` is needed");
        check(by_rank || !by_share || self.to_percent.is_some(), "to_percent", "is needed");
        check((1..=MAX_RANK).contains(&from), "from_rank", "must be 1 to 9007199254740991");
        check((1..=MAX_RANK).contains(&to), "to_rank", "must be 1 to 9007199254740991");
        check(from <= to || to == 0, "to_rank", "must not be below from_rank");
        for (field, percent) in [("from_percent", self.from_percent), ("to_percent", self.to_percent)] {
            let fits = percent.is_none_or(|percent| thousandths(percent).is_some());
            check(fits, field, "must be 0 to 100 with up to three decimals");
        }
        let rises = self.to_percent.is_none_or(|to| self.from_percent.unwrap_or(0.0) < to);
        check(rises, "to_percent", "must be above from_percent");
        if let Some(payload) = &self.payload {
            check(payload.is_object(), "payload", "must be an object");
            check(payload.to_string().len() <= MAX_PAYLOAD_BYTES, "payload", "must be at most 2048 bytes of JSON");
            for name in RESERVED {
                let detail = "is a name that the service writes";
                check(payload.get(name).is_none(), &format!("payload/{name}"), detail);
            }
        }
        faults
    }
}

/// A share in thousandths of a percent, where it is a whole number of them and not above all.
fn thousandths(percent: f64) -> Option<u64> {
    let exact = percent * 1000.0;
    let fits = (0.0..=WHOLE).contains(&exact) && (exact - exact.round()).abs() < 1e-6;
    fits.then(|| exact.round() as u64)
}

/// Every rule that the rewards break.
pub(super) fn faults(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    if settings.rewards.len() > MAX_REWARDS {
        faults.push(Fault::new("/rewards", "must be at most 100"));
    }
    for (number, reward) in settings.rewards.iter().enumerate().take(MAX_REWARDS) {
        faults.extend(reward.faults(settings, &format!("/rewards/{number}")));
    }
    faults
}
