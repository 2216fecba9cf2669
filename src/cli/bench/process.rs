//! What processes use of the machine, as Linux tells in `/proc`.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The processes behind the service, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    service: Option<u32>,
    redis: Option<u32>,
}

/// What they have used until a moment.
pub struct Reading {
    at: Instant,
    service: Option<Process>,
    redis: Option<Process>,
}

/// What they used between two moments.
#[derive(Debug, Default)]
pub struct Used {
    pub elapsed: Duration,
    pub service: Option<Use>,
    pub redis: Option<Use>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Of all threads, in the kernel too.
    pub cpu: Duration,
    pub rss_before: u64,
    pub rss: u64,
}

#[derive(Clone, Copy)]
struct Process {
    cpu: Duration,
    rss: u64,
}

impl Watched {
    /// Fails where one of them cannot be read.
    pub fn new(service: Option<u32>, redis: Option<u32>) -> Result<Self, String> {
        for (option, pid) in [("--service-pid", service), ("--redis-pid", redis)] {
            if let Some(pid) = pid {
                look(pid).map_err(|error| format!("{option}: cannot read what the process {pid} uses: {error}"))?;
            }
        }
        Ok(Self { service, redis })
    }

    pub fn read(self) -> Reading {
        let look = |pid: Option<u32>| pid.and_then(|pid| look(pid).ok());
        Reading { at: Instant::now(), service: look(self.service), redis: look(self.redis) }
    }
}

impl Reading {
    /// What was used from this reading to a later one.
    pub fn until(&self, later: &Self) -> Used {
        let used = |before: Option<Process>, after: Option<Process>| {
            let (before, after) = (before?, after?);
            Some(Use { cpu: after.cpu.saturating_sub(before.cpu), rss_before: before.rss, rss: after.rss })
        };
        Used {
            elapsed: later.at - self.at,
            service: used(self.service, later.service),
            redis: used(self.redis, later.redis),
        }
    }
}

impl Used {
    /// The same, with the memory compared to an earlier reading.
    pub fn grown_from(mut self, start: &Reading) -> Self {
        for (used, process) in [(&mut self.service, start.service), (&mut self.redis, start.redis)] {
            if let (Some(used), Some(process)) = (used, process) {
                used.rss_before = process.rss;
            }
        }
        self
    }
}

fn look(pid: u32) -> io::Result<Process> {
    let unknown = || io::Error::from(io::ErrorKind::InvalidData);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Process { cpu: cpu(&stat).ok_or_else(unknown)?, rss: rss(&status).ok_or_else(unknown)? })
}

/// Fields 14 and 15 of `stat`, counted behind the name, which may have anything in it.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
    Some(Duration::from_micros(ticks * 1_000_000 / clock_ticks_per_second()))
}

fn rss(status: &str) -> Option<u64> {
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(size.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Lets this process have so many files open, as far as it may say so itself.
pub fn allow_files(needed: u64) -> Result<(), String> {
    let failed = |cause: &dyn Display| format!("{needed} open files are needed (ulimit -n): {cause}");
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        return Err(failed(&format!("the limit is {maximum}")));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_past_any_name() {
        let stat = "7 (a ) (b) S 1 7 7 0 -1 4194560 3000 0 0 0 150 50 9 9 20 0 4 0 100 0 0";
        assert_eq!(cpu(stat), Some(Duration::from_micros(200 * 1_000_000 / clock_ticks_per_second())));
        assert_eq!(rss("Name:\tranq\nVmRSS:\t   12 kB\nThreads:\t4\n"), Some(12 * 1024));
        assert_eq!((cpu(""), rss("")), (None, None));
    }

    #[test]
    fn a_process_that_is_not_there_is_refused_with_its_option() {
        let refused = Watched::new(None, Some(u32::MAX)).expect_err("there is no such process");
        assert!(refused.starts_with("--redis-pid: "), "{refused}");
    }

    #[test]
    fn memory_is_compared_with_the_first_reading_and_time_with_the_second() {
        let reading = |cpu_ms, rss| Reading {
            at: Instant::now(),
            service: Some(Process { cpu: Duration::from_millis(cpu_ms), rss }),
            redis: None,
        };
        let (start, begin, end) = (reading(10, 100), reading(30, 150), reading(35, 170));
        let used = begin.until(&end).grown_from(&start);
        assert_eq!(used.service, Some(Use { cpu: Duration::from_millis(5), rss_before: 100, rss: 170 }));
        assert_eq!(used.redis, None);
    }
}
