//! What goes wrong.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::deployment::{Deployment, Kind, Others, Plan, signal};
use crate::deployments::{ClusterSet, SentinelSet, until};
use crate::history::{At, History};
use crate::load::LEASE;
use crate::proxy::{Mode, Proxy};

/// What docs/operations.md says that `everysec` may lose.
const EVERYSEC_WINDOW: Duration = Duration::from_secs(2);
/// The instance that faults of the service strike; the others are onlookers' own.
const STRUCK: usize = 1;

/// The keys that the load is about: their slots are those that move.
const TAGS: [&str; 6] = ["{lb:total}", "{lb:best}", "{lb:season}", "{q:work}", "{q:late}", "{q:rewards}"];

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    ServiceKilled,
    ServicePaused,
    RedisKilledAlways,
    RedisKilledEverysec,
    RedisPaused,
    RedisCut,
    RedisAnswersLost,
    RedisSlow,
    ClientCut,
    ClientAnswersLost,
    ClientSlow,
    ScriptsFlushed,
    ConnectionsKilled,
    RedisFull,
    DiskFullEverysec,
    DiskFullAlways,
    ClockAhead,
    SentinelFailover,
    SentinelMasterKilled,
    SentinelMasterPaused,
    ClusterFailover,
    ClusterMasterKilled,
    ClusterMasterPaused,
    ClusterResharded,
}

/// When it was, and what it may have cost.
pub struct Struck {
    pub during: Range<At>,
    /// What was acknowledged then may be gone.
    pub may_be_lost: Option<Range<At>>,
}

impl Fault {
    pub const ALL: [Self; 24] = [
        Self::ServiceKilled,
        Self::ServicePaused,
        Self::RedisKilledAlways,
        Self::RedisKilledEverysec,
        Self::RedisPaused,
        Self::RedisCut,
        Self::RedisAnswersLost,
        Self::RedisSlow,
        Self::ClientCut,
        Self::ClientAnswersLost,
        Self::ClientSlow,
        Self::ScriptsFlushed,
        Self::ConnectionsKilled,
        Self::RedisFull,
        Self::DiskFullEverysec,
        Self::DiskFullAlways,
        Self::ClockAhead,
        Self::SentinelFailover,
        Self::SentinelMasterKilled,
        Self::SentinelMasterPaused,
        Self::ClusterFailover,
        Self::ClusterMasterKilled,
        Self::ClusterMasterPaused,
        Self::ClusterResharded,
    ];

    /// As the table has it.
    pub fn title(self) -> &'static str {
        match self {
            Self::ServiceKilled => "an instance is killed (SIGKILL) and started again",
            Self::ServicePaused => "an instance stands still (SIGSTOP) for longer than its leases",
            Self::RedisKilledAlways => "Redis is killed, `aof always`, and started again",
            Self::RedisKilledEverysec => "Redis is killed, `aof everysec`, and started again",
            Self::RedisPaused => "Redis stands still (SIGSTOP) for 5 s",
            Self::RedisCut => "connections to Redis are cut",
            Self::RedisAnswersLost => "answers of Redis are lost after the effect",
            Self::RedisSlow => "the way to Redis is slow (20 to 150 ms)",
            Self::ClientCut => "connections of clients are cut",
            Self::ClientAnswersLost => "answers to clients are lost after the effect",
            Self::ClientSlow => "the way to clients is slow (20 to 150 ms)",
            Self::ScriptsFlushed => "`SCRIPT FLUSH`, again and again",
            Self::ConnectionsKilled => "`CLIENT KILL TYPE normal`, again and again",
            Self::RedisFull => "Redis is full (`maxmemory`) for 2 s",
            Self::DiskFullEverysec => "the disk of Redis is full for 3 s, `aof everysec`",
            Self::DiskFullAlways => "the disk of Redis is full, `aof always`: Redis ends, and is started again",
            Self::ClockAhead => "the clock of an instance is 5 minutes ahead",
            Self::SentinelFailover => "Sentinels are asked for a fail-over (`replicated:1`)",
            Self::SentinelMasterKilled => "the master that Sentinels know is killed (`replicated:1`)",
            Self::SentinelMasterPaused => {
                "the master that Sentinels know stands still until it is replaced (`replicated:1`)"
            }
            Self::ClusterFailover => "a replica of a Cluster is asked to take over",
            Self::ClusterMasterKilled => "a master of a Cluster is killed (`replicated:1`)",
            Self::ClusterMasterPaused => "a master of a Cluster stands still until it is replaced (`replicated:1`)",
            Self::ClusterResharded => "slots of a Cluster move to other masters",
        }
    }

    pub fn plan(self) -> Plan {
        let is_everysec = matches!(self, Self::RedisKilledEverysec | Self::DiskFullEverysec);
        let fsync = if is_everysec { "everysec" } else { "always" };
        let is_proxied = matches!(self, Self::RedisCut | Self::RedisAnswersLost | Self::RedisSlow);
        let (kind, durability) = match self {
            // The old master takes writes until it is told, also where Sentinels are asked for the fail-over.
            Self::SentinelFailover | Self::SentinelMasterKilled | Self::SentinelMasterPaused => {
                (Kind::Sentinel, "replicated:1")
            }
            Self::ClusterFailover | Self::ClusterResharded => (Kind::Cluster, "everysec"),
            Self::ClusterMasterKilled | Self::ClusterMasterPaused => (Kind::Cluster, "replicated:1"),
            _ => (Kind::Single, "everysec"),
        };
        Plan { fsync, is_proxied, is_ahead: self == Self::ClockAhead, kind, durability }
    }

    /// Whether Redis is away for long enough that readiness must say so.
    pub fn is_noticed(self) -> bool {
        matches!(self, Self::RedisPaused | Self::RedisFull | Self::DiskFullEverysec)
    }

    /// Whether it makes answers slow by itself, so that their time says nothing.
    pub fn is_slow(self) -> bool {
        match self {
            Self::ServiceKilled
            | Self::ServicePaused
            | Self::ClientCut
            | Self::ClientAnswersLost
            | Self::ClientSlow
            | Self::RedisSlow => true,
            Self::RedisKilledAlways
            | Self::RedisKilledEverysec
            | Self::RedisPaused
            | Self::RedisCut
            | Self::RedisAnswersLost
            | Self::ScriptsFlushed
            | Self::ConnectionsKilled
            | Self::RedisFull
            | Self::DiskFullEverysec
            | Self::DiskFullAlways
            | Self::ClockAhead
            | Self::SentinelFailover
            | Self::SentinelMasterKilled
            | Self::SentinelMasterPaused
            | Self::ClusterFailover
            | Self::ClusterMasterKilled
            | Self::ClusterMasterPaused
            | Self::ClusterResharded => false,
        }
    }

    pub async fn strike(self, deployment: &mut Deployment, history: &History, random: &mut Rng) -> Struck {
        let began = history.now();
        let mut may_be_lost = None;
        match self {
            Self::ServiceKilled => {
                deployment.instances[STRUCK].kill();
                some_ms(random, 50..600).await;
                deployment.instances[STRUCK].start_again().await;
            }
            Self::ServicePaused => {
                let pid = deployment.instances[STRUCK].pid();
                signal(pid, Signal::STOP);
                sleep(LEASE + Duration::from_millis(random.u64(500..1500))).await;
                signal(pid, Signal::CONT);
            }
            Self::RedisKilledAlways | Self::RedisKilledEverysec => {
                deployment.redis.kill();
                let killed = history.now();
                if self == Self::RedisKilledEverysec {
                    may_be_lost = Some(killed.saturating_sub(EVERYSEC_WINDOW)..killed);
                }
                some_ms(random, 0..800).await;
                deployment.redis.start_again().await;
            }
            Self::RedisPaused => {
                let pid = deployment.redis.pid();
                signal(pid, Signal::STOP);
                sleep(Duration::from_secs(5)).await;
                signal(pid, Signal::CONT);
            }
            Self::RedisCut => cut(&deployment.redis_proxy, random).await,
            Self::ClientCut => cut(&deployment.instances[STRUCK].proxy, random).await,
            Self::RedisAnswersLost => swallow(&deployment.redis_proxy, random).await,
            Self::ClientAnswersLost => swallow(&deployment.instances[STRUCK].proxy, random).await,
            Self::RedisSlow => slow(&deployment.redis_proxy, random).await,
            Self::ClientSlow => slow(&deployment.instances[STRUCK].proxy, random).await,
            Self::ScriptsFlushed => {
                for _ in 0..random.u64(5..20) {
                    deployment.redis.admin(&["SCRIPT", "FLUSH"]);
                    some_ms(random, 10..120).await;
                }
            }
            Self::ConnectionsKilled => {
                for _ in 0..random.u64(3..10) {
                    deployment.redis.admin(&["CLIENT", "KILL", "TYPE", "normal"]);
                    deployment.redis.admin(&["CLIENT", "KILL", "TYPE", "pubsub"]);
                    some_ms(random, 20..300).await;
                }
            }
            Self::RedisFull => {
                deployment.redis.admin(&["CONFIG", "SET", "maxmemory", "1mb"]);
                sleep(Duration::from_secs(2)).await;
                deployment.redis.admin(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Self::DiskFullEverysec => {
                deployment.redis.fill_disk(true);
                sleep(Duration::from_secs(3)).await;
                deployment.redis.fill_disk(false);
            }
            Self::DiskFullAlways => {
                deployment.redis.fill_disk(true);
                deployment.redis.ended().await;
                some_ms(random, 100..800).await;
                deployment.redis.start_again().await;
            }
            Self::ClockAhead => sleep(Duration::from_secs(2)).await,
            Self::SentinelFailover
            | Self::SentinelMasterKilled
            | Self::SentinelMasterPaused
            | Self::ClusterFailover
            | Self::ClusterMasterKilled
            | Self::ClusterMasterPaused
            | Self::ClusterResharded => tokio::task::block_in_place(|| match &mut deployment.others {
                Others::None => unreachable!("the plan says otherwise"),
                Others::Sentinel(set) => self.strike_sentinel(set),
                Others::Cluster(set) => self.strike_cluster(set, random),
            }),
        }
        Struck { during: began..history.now(), may_be_lost }
    }

    fn strike_sentinel(self, set: &mut SentinelSet) {
        let old = set.master();
        match self {
            Self::SentinelMasterKilled => {
                set.servers[old].kill();
                set.replaced(old);
                set.servers[old].start_again();
            }
            Self::SentinelMasterPaused => {
                signal(set.servers[old].id(), Signal::STOP);
                set.replaced(old);
                signal(set.servers[old].id(), Signal::CONT);
            }
            _ => {
                set.fail_over();
            }
        }
        // Without its replica the new master takes no writes here.
        until("the old master follows the new one", || (set.servers[old].role()? == "slave").then_some(()));
        set.is_whole();
    }

    fn strike_cluster(self, set: &mut ClusterSet, random: &mut Rng) {
        let slot = set.slot(TAGS[random.usize(..TAGS.len())]);
        let old = set.owner(slot);
        match self {
            Self::ClusterMasterKilled => {
                set.nodes[old].kill();
                set.replaced(slot, old);
                set.nodes[old].start_again();
            }
            Self::ClusterMasterPaused => {
                signal(set.nodes[old].id(), Signal::STOP);
                set.replaced(slot, old);
                signal(set.nodes[old].id(), Signal::CONT);
            }
            // Replicas stand behind the three masters, in their order.
            Self::ClusterFailover => set.fail_over_to(old + 3),
            _ => {
                for tag in TAGS {
                    let slot = set.slot(tag);
                    let to = (set.owner(slot) + 1 + random.usize(..2)) % 3;
                    set.move_slot(slot, to, 1 + random.usize(..5), || std::thread::sleep(Duration::from_millis(3)));
                }
            }
        }
        set.is_whole();
    }
}

async fn some_ms(random: &mut Rng, range: Range<u64>) {
    sleep(Duration::from_millis(random.u64(range))).await;
}

/// Cuts all that is open a few times, and once for longer.
async fn cut(proxy: &Proxy, random: &mut Rng) {
    for _ in 0..random.u64(1..5) {
        proxy.set(Mode::Cut);
        some_ms(random, 1..30).await;
        proxy.set(Mode::Pass);
        some_ms(random, 50..300).await;
    }
    proxy.set(Mode::Cut);
    some_ms(random, 300..1000).await;
    proxy.set(Mode::Pass);
}

async fn swallow(proxy: &Proxy, random: &mut Rng) {
    for _ in 0..random.u64(2..5) {
        proxy.set(Mode::Swallow);
        some_ms(random, 20..700).await;
        proxy.set(Mode::Pass);
        some_ms(random, 50..200).await;
    }
}

async fn slow(proxy: &Proxy, random: &mut Rng) {
    for _ in 0..5 {
        proxy.set(Mode::Delay(Duration::from_millis(random.u64(20..150))));
        some_ms(random, 200..500).await;
    }
    proxy.set(Mode::Pass);
}
