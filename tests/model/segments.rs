//! What describes members, as the model has it: numbers of dimensions, what is known of a member, the parts of a row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ranq::leaderboard::{Settings, Submission};
use ranq::types::Member;

/// The parts of a row: the values of each dimension or combination, by its number, and whether it has a ranking for them.
pub type Parts = BTreeMap<u64, (bool, Vec<String>)>;

#[derive(Debug, Clone)]
struct Dimension {
    number: u64,
    names: Vec<String>,
    ranked: bool,
}

#[derive(Default)]
pub struct Segments {
    dimensions: Vec<Dimension>,
    last: u64,
    known: HashMap<Member, BTreeMap<u64, String>>,
}

impl Segments {
    /// Declares what the settings say; gives the numbers of those that had rankings and have none any more.
    pub fn declare(&mut self, settings: &Settings) -> Vec<u64> {
        let sorted = |segment: &String| segment.split('+').map(str::to_owned).collect::<BTreeSet<String>>();
        let declared: BTreeSet<Vec<String>> =
            settings.segments.iter().map(|segment| sorted(segment).into_iter().collect()).collect();
        let alone: BTreeSet<Vec<String>> = declared.iter().flatten().map(|name| vec![name.clone()]).collect();
        let combined = declared.iter().filter(|names| names.len() > 1).cloned();
        let old = std::mem::take(&mut self.dimensions);
        for names in alone.into_iter().chain(combined) {
            let number = old.iter().find(|dimension| dimension.names == names).map(|dimension| dimension.number);
            let number = number.unwrap_or_else(|| {
                self.last += 1;
                self.last
            });
            let ranked = declared.contains(&names);
            self.dimensions.push(Dimension { number, names, ranked });
        }
        if self.dimensions.is_empty() {
            self.known.clear();
        }
        let stays = |old: &Dimension| self.dimensions.iter().any(|new| new.ranked && new.number == old.number);
        old.iter().filter(|old| old.ranked && !stays(old)).map(|old| old.number).collect()
    }

    /// Learns what a submission says of its member; gives the parts of its rows, or `None` where nothing is declared.
    pub fn learn(&mut self, submission: &Submission) -> Option<Parts> {
        if self.dimensions.is_empty() {
            return None;
        }
        let known = self.known.entry(submission.member.clone()).or_default();
        for dimension in self.dimensions.iter().filter(|dimension| dimension.names.len() == 1) {
            if let Some(value) = submission.segments.get(&dimension.names[0]) {
                known.insert(dimension.number, value.clone());
            }
        }
        let value = |name: &String| {
            let of =
                self.dimensions.iter().find(|dimension| dimension.names.as_slice() == std::slice::from_ref(name))?;
            known.get(&of.number).cloned()
        };
        let parts = self.dimensions.iter().filter_map(|dimension| {
            let values: Option<Vec<String>> = dimension.names.iter().map(value).collect();
            Some((dimension.number, (dimension.ranked, values?)))
        });
        Some(parts.collect())
    }

    pub fn forget(&mut self, member: &Member) {
        self.known.remove(member);
    }

    /// What an entry shows of these parts.
    pub fn shown(&self, parts: &Parts) -> BTreeMap<String, String> {
        let alone = self.dimensions.iter().filter(|dimension| dimension.names.len() == 1);
        alone
            .filter_map(|dimension| Some((dimension.names[0].clone(), parts.get(&dimension.number)?.1[0].clone())))
            .collect()
    }

    /// The segments that can be read: number and names.
    pub fn ranked(&self) -> Vec<(u64, Vec<String>)> {
        let ranked = self.dimensions.iter().filter(|dimension| dimension.ranked);
        ranked.map(|dimension| (dimension.number, dimension.names.clone())).collect()
    }

    pub fn any(&self) -> bool {
        !self.dimensions.is_empty()
    }
}
