//! The pools as they run: for each its fleet, its probes and its controller, each with an end of its own, so that a changed
//! config touches only what it is about.
//!
//! A fleet is begun anew only where what it is made of has changed. What the new config leaves out goes when nobody is on it.

mod handover;
mod likeness;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use jiff::tz::TimeZone;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::likeness::{Held, as_it_can_be, has_same_fleet, is_resized_alike, is_watched_alike};
use super::listings::{Absent, Listings};
use super::{Parts, errands};
use crate::config::{Config, FleetConfig, Placement, PoolConfig};
use crate::fleet::{self, Fleet, FleetControl};
use crate::net::current::Current;
use crate::net::shutdown::Shutdown;
use crate::pool::{Instance, InstanceId, PlacementPolicy, PoolRules};
use crate::probe::{self, HubConfig, IdleProbe, LoadProbe, OpenShell, ProbeConfig, Watched};
use crate::scaling::controller::{Asks, Controller, ControllerConfig, Tools};
use crate::shared_pool::AskIdle;

/// What the pools are given, apart from their config.
#[derive(Clone)]
pub(super) struct Ground {
    pub parts: Parts,
    pub shutdown: Shutdown,
    pub services: TaskTracker,
    pub open_shell: OpenShell,
}

pub(super) struct Pools {
    ground: Ground,
    running: BTreeMap<String, Running>,
    /// Those that the config no longer names, until they are empty.
    leaving: BTreeMap<String, Leaving>,
    /// Controllers run from then on.
    go: CancellationToken,
    idle: Arc<Current<IdleProbe>>,
    /// How each pool's controller is asked.
    pub asked: Arc<Current<BTreeMap<String, Asks>>>,
    pub zones: Arc<Current<BTreeMap<String, TimeZone>>>,
}

struct Running {
    config: PoolConfig,
    /// What was in files that it is built of.
    held: Held,
    fleet: RunningFleet,
    /// Ends the probes.
    watching: CancellationToken,
    /// `None` for the moment between two.
    controller: Option<RunningController>,
}

struct Leaving {
    until: CancellationToken,
    /// Of local processes, which live for as long as this one.
    fleet: Option<CancellationToken>,
}

struct RunningFleet {
    control: Arc<dyn FleetControl>,
    believed: watch::Receiver<Vec<Instance>>,
    until: CancellationToken,
}

struct RunningController {
    until: CancellationToken,
    task: JoinHandle<()>,
    asks: Asks,
}

/// What can fail of the pools to come; dropped, it changes nothing.
pub(super) struct NextPools {
    pools: BTreeMap<String, Next>,
    idle: IdleProbe,
    zones: BTreeMap<String, TimeZone>,
}

struct Next {
    config: PoolConfig,
    held: Held,
    /// Where another one takes the place of what runs, or the first.
    fleet: Option<Box<dyn Fleet>>,
    probes: Probes,
}

struct Probes {
    health: ProbeConfig,
    hubs: Option<HubConfig>,
    load: Option<LoadProbe>,
}

impl Pools {
    pub fn new(ground: Ground) -> Self {
        let idle = IdleProbe {
            pool: ground.parts.pool.clone(),
            watched: BTreeMap::new(),
        };
        Self {
            ground,
            running: BTreeMap::new(),
            leaving: BTreeMap::new(),
            go: CancellationToken::new(),
            idle: Current::new(Arc::new(idle)),
            asked: Current::new(Arc::default()),
            zones: Current::new(Arc::default()),
        }
    }

    /// How the admin side and the controllers find out whether an instance is idle.
    pub fn ask_idle(&self) -> AskIdle {
        let idle = self.idle.clone();
        Arc::new(move |id| {
            let probe = idle.get();
            Box::pin(async move { probe.judge(&id).await })
        })
    }

    /// # Errors
    /// What a fleet or the TLS to instances needs and cannot be had.
    pub fn prepare(&self, config: &Config) -> Result<NextPools> {
        let mut pools = BTreeMap::new();
        let mut watched = BTreeMap::new();
        let mut zones = BTreeMap::new();
        for (name, pool) in &config.pools {
            let held = Held::read(name, pool)?;
            watched.insert(
                name.clone(),
                Watched {
                    token_file: pool.api_token_file.clone(),
                    idle_after: pool.scaling.idle,
                    tls: held.tls.clone(),
                },
            );
            zones.insert(name.clone(), pool.scaling.time_zone.clone());
            pools.insert(name.clone(), self.next(name, pool, held)?);
        }
        Ok(NextPools {
            pools,
            idle: IdleProbe {
                pool: self.ground.parts.pool.clone(),
                watched,
            },
            zones,
        })
    }

    fn next(&self, name: &str, pool: &PoolConfig, held: Held) -> Result<Next> {
        let running = self.running.get(name).map(|running| &running.config);
        let pool = match running {
            Some(running) => as_it_can_be(running, pool),
            None => pool.clone(),
        };
        let tls = held.tls.clone();
        let before = self.running.get(name);
        let is_same_secret = before.is_some_and(|before| before.held.secret == held.secret);
        let is_same_fleet =
            is_same_secret && running.is_some_and(|running| has_same_fleet(running, &pool));
        let fleet = match is_same_fleet {
            true => None,
            false => {
                let Parts {
                    metrics, traces, ..
                } = &self.ground.parts;
                Some(fleet::from_config(name, &pool, metrics, traces)?)
            }
        };
        let probes = Probes {
            health: ProbeConfig {
                health: pool.health.clone(),
                says_proxy: pool.client_address.proxy_v2,
                tls: tls.clone(),
            },
            hubs: pool.api_token_file.clone().map(|token_file| HubConfig {
                token_file,
                interval: pool.hub_poll_interval,
                tls,
            }),
            load: errands::load_probe(&self.ground, &pool),
        };
        Ok(Next {
            config: pool,
            held,
            fleet,
            probes,
        })
    }

    /// Begins what was prepared first; the controllers run from `resume` on.
    pub fn begin(&mut self, next: NextPools) {
        self.hand_out(next.idle, next.zones);
        for (name, one) in next.pools {
            self.put(&name, one, None);
        }
        self.tell_asked();
    }

    /// Puts in force what was prepared. A controller that is replaced has written its notes down before the next reads them.
    pub async fn change(&mut self, next: NextPools) {
        self.hand_out(next.idle, next.zones);
        let named: Vec<_> = self.running.keys().cloned().collect();
        for name in named {
            if !next.pools.contains_key(&name) {
                self.close(&name).await;
            }
        }
        let mut pools: Vec<_> = next.pools.into_iter().collect();
        // The new default before the old one: there is always one.
        pools.sort_by_key(|(_, next)| !next.config.default);
        for (name, one) in pools {
            let mut before = self.running.remove(&name);
            if let Some(before) = &mut before
                && (one.fleet.is_some() || !is_resized_alike(&before.config, &one.config))
                && let Some(controller) = before.controller.take()
            {
                controller.end().await;
            }
            self.put(&name, one, before);
        }
        self.tell_asked();
    }

    fn hand_out(&self, idle: IdleProbe, zones: BTreeMap<String, TimeZone>) {
        self.idle.set(Arc::new(idle));
        self.zones.set(Arc::new(zones));
    }

    fn tell_asked(&self) {
        let asked = self.running.iter().filter_map(|(name, pool)| {
            let asks = pool.controller.as_ref()?.asks.clone();
            Some((name.clone(), asks))
        });
        self.asked.set(Arc::new(asked.collect()));
    }

    /// `before` is what ran under this name; its controller has ended where another one is wanted.
    fn put(&mut self, name: &str, next: Next, before: Option<Running>) {
        let Next {
            config,
            held,
            fleet,
            probes,
        } = next;
        // A schedule may have put another placement in force than the one that is written.
        if before.as_ref().map(|before| &before.config) != Some(&config) {
            self.ground.parts.pool.configure(name, rules(&config));
        }
        if let Some(leaving) = self.leaving.remove(name) {
            leaving.until.cancel();
        }
        let is_watched_so = |before: &Running| {
            before.held.tls == held.tls && is_watched_alike(&before.config, &config)
        };
        let is_new_fleet = fleet.is_some();
        let (before_fleet, watching, controller) = match before {
            Some(before) if is_new_fleet || !is_watched_so(&before) => {
                before.watching.cancel();
                self.forget_figures(name, &before.config, &config);
                (Some(before.fleet), None, before.controller)
            }
            Some(before) => (Some(before.fleet), Some(before.watching), before.controller),
            None => (None, None, None),
        };
        let commands = match (&fleet, &before_fleet) {
            (Some(fleet), _) => fleet.control(),
            (None, Some(before)) => before.control.clone(),
            // A pool that did not run has a fleet to begin with.
            (None, None) => return,
        };
        // Before the fleet is listed: what was decided about its instances holds when the first of them is.
        let controller = controller.unwrap_or_else(|| self.control(name, &config, commands));
        let fleet = match (fleet, before_fleet) {
            (Some(fleet), before) => {
                if let Some(before) = before {
                    before.until.cancel();
                }
                self.begin_fleet(name, &config, fleet)
            }
            (None, Some(before)) => before,
            (None, None) => return,
        };
        let watching = watching.unwrap_or_else(|| self.watch(name, probes, &fleet.believed));
        let running = Running {
            config,
            held,
            fleet,
            watching,
            controller: Some(controller),
        };
        self.running.insert(name.to_owned(), running);
    }

    /// What nobody measures any more must not count for ever.
    fn forget_figures(&self, name: &str, before: &PoolConfig, config: &PoolConfig) {
        let pool = &self.ground.parts.pool;
        for view in pool.snapshot().instances_of(name) {
            let id = InstanceId {
                pool: view.pool.clone(),
                name: view.name.clone(),
            };
            if before.load.is_some() && config.load.is_none() {
                pool.measure(&id, None);
            }
            if before.api_token_file.is_some() && config.api_token_file.is_none() {
                pool.hear_hub(&id, Some(Vec::new()));
            }
        }
    }

    fn begin_fleet(&self, name: &str, config: &PoolConfig, fleet: Box<dyn Fleet>) -> RunningFleet {
        let until = self.ground.shutdown.ending.child_token();
        let control = fleet.control();
        let listing = fleet::start(fleet, &self.ground.services, until.clone());
        let listings = Listings {
            pool: self.ground.parts.pool.clone(),
            name: name.to_owned(),
            absent: match config.fleet {
                FleetConfig::Azure(_) | FleetConfig::Command(_) => Absent::MayExist,
                FleetConfig::Static { .. } => Absent::MayBeUsed,
                FleetConfig::Process(_) => Absent::IsGone,
            },
        };
        RunningFleet {
            control,
            believed: listings.follow(listing, &self.ground.services),
            until,
        }
    }

    fn watch(
        &self,
        name: &str,
        probes: Probes,
        listing: &watch::Receiver<Vec<Instance>>,
    ) -> CancellationToken {
        let until = self.ground.shutdown.ending.child_token();
        let (pool, metrics) = (&self.ground.parts.pool, &self.ground.parts.metrics);
        let services = &self.ground.services;
        if let Some(hubs) = probes.hubs {
            services.spawn(probe::watch_hubs(
                pool.clone(),
                hubs,
                listing.clone(),
                metrics.clone(),
                until.clone(),
            ));
        }
        if let Some(load) = probes.load {
            services.spawn(load.watch(listing.clone(), until.clone()));
        }
        services.spawn(probe::watch_pool(
            pool.clone(),
            name.to_owned(),
            probes.health,
            listing.clone(),
            (metrics.clone(), self.ground.parts.traces.clone()),
            until.clone(),
        ));
        until
    }

    fn control(
        &self,
        name: &str,
        config: &PoolConfig,
        commands: Arc<dyn FleetControl>,
    ) -> RunningController {
        let folder = self.ground.parts.state.below("controller");
        let settings = ControllerConfig::of_pool(name, config, folder);
        let tools = Tools {
            pool: self.ground.parts.pool.clone(),
            events: self.ground.parts.events.clone(),
            metrics: self.ground.parts.metrics.clone(),
            traces: self.ground.parts.traces.clone(),
            ask_idle: self.ask_idle(),
        };
        let (controller, asks) = Controller::new(settings, tools, commands);
        let until = self.ground.shutdown.ending.child_token();
        let (go, ends) = (self.go.clone(), until.clone());
        let task = self.ground.services.spawn(async move {
            if ends.run_until_cancelled(go.cancelled()).await.is_some() {
                controller.run(ends).await;
            }
        });
        RunningController { until, task, asks }
    }

    /// The pool is no longer named: nobody new, and it is forgotten when nobody is left.
    async fn close(&mut self, name: &str) {
        let Some(running) = self.running.remove(name) else {
            return;
        };
        running.watching.cancel();
        if let Some(controller) = running.controller {
            controller.end().await;
        }
        // Local processes are the machines: they go when nobody is on them.
        let is_of_processes = matches!(running.config.fleet, FleetConfig::Process(_));
        let fleet = running.fleet.until;
        if !is_of_processes {
            fleet.cancel();
        }
        let of_processes = is_of_processes.then(|| fleet.clone());
        let until = self.ground.shutdown.ending.child_token();
        let listings = Listings {
            pool: self.ground.parts.pool.clone(),
            name: name.to_owned(),
            absent: Absent::MayBeUsed,
        };
        let emptied = listings.empty(until.clone());
        self.ground.services.spawn(async move {
            emptied.await;
            fleet.cancel();
        });
        let leaving = Leaving {
            until,
            fleet: of_processes,
        };
        self.leaving.insert(name.to_owned(), leaving);
    }
}

impl RunningController {
    async fn end(self) {
        self.until.cancel();
        // It has ended in any way; one that panicked has said so.
        drop(self.task.await);
    }
}

fn rules(pool: &PoolConfig) -> PoolRules {
    PoolRules {
        default: pool.default,
        placement: match pool.placement {
            Placement::Spread => PlacementPolicy::Spread,
            Placement::Pack => PlacementPolicy::Pack,
            Placement::Auto => PlacementPolicy::Auto,
        },
        affinity: pool.affinity,
        rise: pool.health.rise,
        fall: pool.health.fall,
    }
}
