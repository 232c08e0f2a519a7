//! A pool in the fake resource manager: its config, its fleet, what it publishes; and Prism, which validates what passes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolgate::config::{AzureCredential, Config, FleetConfig};
use poolgate::fleet::azure::{AzureFleet, LIMITS};
use poolgate::fleet::{Chosen, Fleet, FleetControl, FleetFault, MachineKey, Op, OpState};
use poolgate::net::web_client::{Limits, WebClient};
use poolgate::pool::{Instance, Machine, Observed};
use poolgate::telemetry::metrics::Metrics;
use poolgate::telemetry::traces::Traces;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arm::{Arm, GROUP, SET, SUBSCRIPTION};
use super::proc::{Running, tool};

/// Long enough on a busy machine.
pub const PATIENT: Duration = Duration::from_secs(60);

/// Between two looks.
const OFTEN: Duration = Duration::from_millis(50);

/// How long a request may take; shorter than the tests' patience with a fake that hangs.
const REQUEST_MAX: Duration = Duration::from_secs(3);

fn config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolgate.toml");
    let text = format!(
        "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n[pools.main.scaling]\nmax = 9\n\
         [pools.main.fleet]\nprovider = \"azure\"\nsubscription = \"{SUBSCRIPTION}\"\nresource_group = \"{GROUP}\"\nscale_set = \"{SET}\"\n"
    );
    std::fs::write(&file, text).unwrap();
    poolgate::config::load(Some(&file)).unwrap()
}

/// A fleet that looks at the fake all the time.
pub struct Pool {
    pub control: Arc<dyn FleetControl>,
    pub listing: watch::Receiver<Vec<Instance>>,
    /// Hosts that requests were for.
    pub hosts: Arc<Mutex<Vec<String>>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Pool {
    /// Directly at the fake.
    pub fn start(arm: &Arm) -> Self {
        Self::start_through(arm, arm.address)
    }

    /// Directly at the fake, as somebody other than the machine's own identity.
    pub fn start_as(arm: &Arm, credential: AzureCredential) -> Self {
        Self::build(arm, arm.address, Some(credential), OFTEN)
    }

    /// The description that `validator` goes by knows nothing of operations, tokens and standby pools: these pass it by.
    pub fn start_through(arm: &Arm, validator: SocketAddr) -> Self {
        Self::build(arm, validator, None, OFTEN)
    }

    /// The same for a long life: each look costs the validator some processor time.
    pub fn start_calmly_through(arm: &Arm, validator: SocketAddr) -> Self {
        Self::build(arm, validator, None, Duration::from_millis(500))
    }

    /// A fleet that nobody runs.
    pub fn fleet(arm: &Arm) -> AzureFleet {
        Self::make(arm, arm.address, None, OFTEN).0
    }

    fn build(
        arm: &Arm,
        validator: SocketAddr,
        credential: Option<AzureCredential>,
        interval: Duration,
    ) -> Self {
        let (fleet, hosts) = Self::make(arm, validator, credential, interval);
        let control = fleet.control();
        let (sender, listing) = watch::channel(Vec::new());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Box::new(fleet).run(sender, shutdown.clone()));
        Self {
            control,
            listing,
            hosts,
            shutdown,
            task,
        }
    }

    fn make(
        arm: &Arm,
        validator: SocketAddr,
        credential: Option<AzureCredential>,
        interval: Duration,
    ) -> (AzureFleet, Arc<Mutex<Vec<String>>>) {
        let hosts = Arc::new(Mutex::new(Vec::new()));
        let (seen, fake) = (hosts.clone(), arm.address);
        let reroute = move |uri: &http::Uri| {
            let host = uri.host().unwrap_or_default().to_owned();
            let is_direct = host != "management.azure.com"
                || uri.path().contains("/operations/")
                || uri.path().ends_with("/standbyVirtualMachinePools");
            seen.lock().unwrap().push(host);
            if is_direct { fake } else { validator }
        };
        let time = if validator == fake {
            REQUEST_MAX
        } else {
            PATIENT
        };
        let limits = Limits { time, ..LIMITS };
        let transport = WebClient::elsewhere(Arc::new(reroute), limits);
        let config = config();
        let pool = &config.pools["main"];
        let FleetConfig::Azure(fleet) = &pool.fleet else {
            panic!("it is a scale set");
        };
        let mut fleet = fleet.clone();
        fleet.interval = interval;
        fleet.credential = credential.unwrap_or(fleet.credential);
        let unseen = (&Metrics::new(), &Traces::default());
        let fleet = AzureFleet::over(transport, "main", pool, &fleet, unseen);
        (fleet.unwrap(), hosts)
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&Observed) -> bool) -> Arc<Observed> {
        let mut sight = self.control.observed();
        let seen = sight.wait_for(|seen| seen.as_deref().is_some_and(&holds));
        match tokio::time::timeout(PATIENT, seen).await {
            Ok(seen) => return seen.unwrap().clone().unwrap(),
            Err(_) => panic!("never {what}: {:?}", self.control.observed().borrow()),
        }
    }

    pub async fn until_listed(&self, count: usize) -> Vec<Instance> {
        let mut listing = self.listing.clone();
        let listed = listing.wait_for(|listed| listed.len() == count);
        tokio::time::timeout(PATIENT, listed)
            .await
            .expect("never listed")
            .unwrap()
            .clone()
    }

    /// Waits for an operation's end.
    pub async fn end_of(&self, op: &Op) -> OpState {
        let ended = async {
            loop {
                match self.control.poll(op).await.unwrap() {
                    OpState::Running { .. } => tokio::task::yield_now().await,
                    ended => return ended,
                }
            }
        };
        tokio::time::timeout(PATIENT, ended)
            .await
            .expect("it never ends")
    }

    /// Grows to `capacity` and waits until that many are on and have addresses.
    pub async fn grown_to(&self, capacity: u32) -> Arc<Observed> {
        let mut sight = self.control.observed();
        let op = loop {
            let seen = sight.borrow_and_update().clone();
            let version = seen.map(|seen| seen.version.clone()).unwrap_or_default();
            match self.control.grow_to(capacity, &version).await {
                Ok(op) => break op,
                // Decided on an old look, or before the first: look again.
                Err(FleetFault::Conflict(_) | FleetFault::Transient(_)) => {
                    sight.changed().await.unwrap();
                }
                Err(fault) => panic!("{fault}"),
            }
        };
        assert_eq!(self.end_of(&op).await, OpState::Done);
        let count = capacity as usize;
        self.until_listed(count).await;
        self.until("running", |seen| {
            seen.machines.iter().filter(|one| one.phase.is_on()).count() == count
        })
        .await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

pub fn chosen<'a>(machines: impl IntoIterator<Item = &'a Machine>) -> Chosen {
    Chosen::new(machines.into_iter().map(MachineKey::from)).unwrap()
}

/// Azure's published description, wherever `POOLGATE_AZURE_SPEC` says or beside the project.
pub fn description_file(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("POOLGATE_AZURE_SPEC").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside =
        ["../shared/azure-spec", "../../shared/azure-spec"].map(|folder| root.join(folder));
    let folders = named.into_iter().chain(beside);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Prism between the gate and the fake: it refuses what breaks Azure's description, in both directions.
pub struct Prism {
    pub address: SocketAddr,
    _running: Running,
    log: tempfile::NamedTempFile,
}

impl Prism {
    /// `None`, and a line that says why, without the description.
    pub async fn start(arm: &Arm) -> Option<Self> {
        let Some(description) = description_file("arm-vmss.strict.json") else {
            eprintln!(
                "skipped: no folder azure-spec with Azure's description; set POOLGATE_AZURE_SPEC to one"
            );
            return None;
        };
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/.test/npm/node_modules/.bin/prism"
        );
        let address = SocketAddr::from(([127, 0, 0, 1], super::free_port()));
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut prism = tool(program);
        prism.args([
            "proxy",
            "--errors",
            "-h",
            "127.0.0.1",
            "-p",
            &address.port().to_string(),
        ]);
        prism
            .arg(description)
            .arg(format!("http://{}", arm.address));
        let running = Running::start_logged(&mut prism, log.reopen().unwrap());
        let prism = Self {
            address,
            _running: running,
            log,
        };
        let up = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(180), up).await;
        assert!(up.is_ok(), "{}", prism.said());
        Some(prism)
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}
