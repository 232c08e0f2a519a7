//! A Virtual Machine Scale Set, Uniform or Flexible: looked at, grown by number, shrunk by naming machines.
//!
//! Deliberately absent: lowering the capacity, because Azure then chooses whose machine dies; waiting for an operation, because
//! the next look is the truth; retries, because whoever decides must look first. One file a concern: `calls` (every call and
//! its right), `client`, `sight` (answers to machines), `faults`, `progress`, `budget`, `hindrances`, `hosts`, `identity`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::control::Answer;
use super::looking::{Look, Looking, Published, Shape};
use super::{Fleet, FleetControl, FleetError, FleetFault};
use crate::config::{AzureFleet as AzureConfig, PoolConfig};
use crate::net::web_client::{Limits, WebClient};
use crate::pool::{Instance, Observed};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use budget::Budget;
use calls::Call;
use client::Client;
use control::AzureControl;
use rights::{Lacking, Permission};
use sight::Sighted;
use wire::{AutoscaleSetting, Entry, Interface, ScaleSet, Service, StandbyPool};

mod budget;
pub mod calls;
mod client;
mod control;
mod faults;
mod hindrances;
mod hosts;
mod identity;
mod progress;
pub mod rights;
mod sight;
mod wire;

/// One request with its answer; Azure itself gives up after 60 s. A page of a listing has at most some hundred machines of 10 KiB.
pub const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    body_bytes: 16 << 20,
};

/// A scale set, ready to be looked at.
pub struct AzureFleet {
    looking: Looking<ScaleSetView>,
    control: Arc<AzureControl>,
}

impl AzureFleet {
    /// # Errors
    /// The credential cannot be made, or the system lists no certificate authority.
    pub fn new(
        pool: &str,
        config: &PoolConfig,
        fleet: &AzureConfig,
        (metrics, traces): (&Metrics, &Traces),
    ) -> Result<Self, FleetError> {
        let fault = |reason| FleetError::Azure {
            pool: pool.into(),
            reason,
        };
        let transport = WebClient::new(LIMITS, None).map_err(fault)?;
        // Whichever cloud it is, it is asked by https.
        let secure = Uri::from_static("https://management.azure.com/");
        transport.prepare_for(&secure).map_err(fault)?;
        Self::over(transport, pool, config, fleet, (metrics, traces))
    }

    /// The same over a transport of the caller's.
    ///
    /// # Errors
    /// The credential cannot be made.
    pub fn over(
        transport: WebClient,
        pool: &str,
        config: &PoolConfig,
        fleet: &AzureConfig,
        (metrics, traces): (&Metrics, &Traces),
    ) -> Result<Self, FleetError> {
        let client = Client::new(fleet, transport).map_err(|reason| FleetError::Azure {
            pool: pool.into(),
            reason,
        })?;
        let view = Arc::new(ScaleSetView {
            pool: pool.into(),
            client,
            fleet: fleet.clone(),
            rivals: Mutex::new(None),
            budget: Mutex::default(),
        });
        let published = Arc::new(Published::default());
        let looking = Looking {
            shape: Shape::new(pool, config),
            look: view.clone(),
            published: published.clone(),
            interval: fleet.interval,
            metrics: metrics.clone(),
            traces: traces.clone(),
        };
        let control = AzureControl {
            view,
            published,
            metrics: metrics.clone(),
            capacity_max: config.scaling.max,
        };
        Ok(Self {
            looking,
            control: Arc::new(control),
        })
    }
}

impl AzureFleet {
    /// What the cloud lists now.
    pub(super) async fn look_once(&self) -> Result<Observed, FleetFault> {
        self.looking.look.look().await
    }
}

impl AzureFleet {
    /// What of its work Azure would not let it do, by the roles of its identity.
    ///
    /// # Errors
    /// Azure does not tell.
    pub async fn lacking_rights(&self) -> Result<Vec<Lacking>, FleetFault> {
        let view = &self.looking.look;
        let set = view.set().await?;
        let mut permissions: Vec<Permission> = view.client.list(Call::ListRights, "").await?;
        permissions.extend(view.client.list(Call::ListRights, GROUP).await?);
        Ok(rights::lacking(set.is_flexible(), &permissions))
    }
}

/// Rights are asked for at the set's group.
const GROUP: &str = "group";

impl Fleet for AzureFleet {
    fn control(&self) -> Arc<dyn FleetControl> {
        self.control.clone()
    }

    fn run(
        self: Box<Self>,
        listing: watch::Sender<Vec<Instance>>,
        shutdown: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.looking.run(listing, shutdown))
    }
}

/// The set as the resource manager shows it.
struct ScaleSetView {
    pool: Arc<str>,
    client: Client,
    fleet: AzureConfig,
    rivals: Mutex<Option<Rivals>>,
    budget: Mutex<Budget>,
}

/// Autoscale settings and suspended services, and when they were read.
type Rivals = (Instant, Vec<AutoscaleSetting>, Vec<Service>);

/// Rivals come by somebody's hand, and go by it when they are told of.
const RIVALS_AGE_MAX: Duration = Duration::from_secs(3600);
const RIVALS_AGE_MAX_HINDERED: Duration = Duration::from_secs(120);

impl ScaleSetView {
    async fn set(&self) -> Result<ScaleSet, FleetFault> {
        self.client.read(Call::ReadSet).await
    }

    /// The set and its machines as they are at this moment.
    async fn machines(&self) -> Result<(ScaleSet, Vec<Sighted>), FleetFault> {
        let set = self.set().await?;
        let entries: Vec<Entry> = match set.is_flexible() {
            true => self.client.list(Call::ListFlexible, &set.id).await?,
            false => self.client.list(Call::ListUniform, "").await?,
        };
        let interfaces: Vec<Interface> = match (entries.is_empty(), set.is_flexible()) {
            (true, _) => Vec::new(),
            (_, true) => self.client.list(Call::ListInterfaces, "").await?,
            (_, false) => self.client.list(Call::ListSetInterfaces, "").await?,
        };
        let machines = sight::machines(&self.pool, &set, &entries, &interfaces)?;
        Ok((set, machines))
    }

    async fn observe(&self) -> Result<Observed, FleetFault> {
        let (set, machines) = self.machines().await?;
        let hindrances = self.hindrances(&set).await?;
        Ok(Observed {
            capacity: set.sku.capacity,
            version: set.etag.clone().unwrap_or_default(),
            machines: machines.into_iter().map(|one| one.machine).collect(),
            hindrances,
            at: SystemTime::now(),
        })
    }

    /// Rivals are read seldom; what the set itself says is as fresh as the look.
    async fn hindrances(&self, set: &ScaleSet) -> Result<Vec<String>, FleetFault> {
        let kept = self
            .rivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, settings, services)) = kept {
            let found = hindrances::of(&self.fleet, set, &services, &settings);
            let age_max = match found.is_empty() {
                true => RIVALS_AGE_MAX,
                false => RIVALS_AGE_MAX_HINDERED.min(self.fleet.interval * 6),
            };
            if at.elapsed() < age_max {
                return Ok(found);
            }
        }
        let settings: Vec<AutoscaleSetting> = self.client.list(Call::ListAutoscale, "").await?;
        let repairs = set.properties.automatic_repairs_policy.as_ref();
        let services = match wire::Switch::is_on(repairs) {
            true => {
                self.client
                    .read::<wire::View>(Call::ReadSetView)
                    .await?
                    .services
            }
            false => Vec::new(),
        };
        if set.is_flexible() {
            self.tell_standby(set).await;
        }
        let found = hindrances::of(&self.fleet, set, &services, &settings);
        let mut rivals = self.rivals.lock().unwrap_or_else(PoisonError::into_inner);
        *rivals = Some((Instant::now(), settings, services));
        Ok(found)
    }

    /// The provider of standby pools is registered in few subscriptions: no answer is none of our business.
    async fn tell_standby(&self, set: &ScaleSet) {
        let pools: Result<Vec<StandbyPool>, _> = self.client.list(Call::ListStandby, "").await;
        let pool = &self.pool;
        match pools {
            Ok(pools) => {
                if let Some(standby) = hindrances::standby(set, &pools) {
                    tracing::info!(%pool, standby, "the fleet has a reserve of Azure's own");
                }
            }
            Err(fault) => {
                tracing::debug!(%pool, error = %fault, "standby pools cannot be looked for")
            }
        }
    }

    /// Spends one of the writes that the set may be given in this minute.
    fn spend(&self) -> Result<(), FleetFault> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = budget.spend(Instant::now().into_std());
        spent.map_err(|after| FleetFault::Throttled {
            what: "Azure allows a set few changes a minute".into(),
            after,
        })
    }

    /// Learns from what a write came to how long to hold the next one back.
    fn heed(&self, written: &Result<client::Reply, FleetFault>) {
        let now = Instant::now().into_std();
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(reply) => {
                let remaining = reply.headers.get("x-ms-ratelimit-remaining-resource");
                if let Some(remaining) = remaining.and_then(|value| value.to_str().ok()) {
                    budget.heed(now, remaining);
                }
            }
            Err(FleetFault::Throttled { after, .. }) => budget.pause(now, *after),
            Err(_) => {}
        }
    }
}

impl Look for ScaleSetView {
    fn look(&self) -> Answer<'_, Observed> {
        Box::pin(self.observe())
    }
}
