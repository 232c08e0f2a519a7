//! The supervisor against real processes: small shell scripts that write down what happens to them.

use std::path::Path;

use super::super::{from_config, start};
use super::*;
use crate::config::{
    FleetConfig, Headroom, HealthConfig, InstanceHostKeys, Placement, ScalingConfig,
};
use crate::telemetry::metrics::Metrics;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio_util::task::TaskTracker;

pub fn pool_config(fleet: FleetConfig) -> PoolConfig {
    PoolConfig {
        default: true,
        hosts: Vec::new(),
        placement: Placement::Auto,
        capacity: 8,
        affinity: Duration::from_secs(60),
        ssh_port: 22,
        jupyter_port: Some(8000),
        instance_host_keys: InstanceHostKeys::FirstUse,
        client_address: Default::default(),
        policy: crate::config::PolicyConfig::default(),
        api_token_file: None,
        instance_tls: None,
        hub_poll_interval: Duration::from_secs(15),
        recording: None,
        load: None,
        health: HealthConfig {
            interval: Duration::from_millis(100),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        },
        fleet,
        scaling: ScalingConfig {
            min: 0,
            max: 3,
            headroom: Headroom::Seats(2),
            idle: Duration::from_secs(900),
            ..ScalingConfig::default()
        },
    }
}

/// Long enough for a polite end on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

fn shell_fleet(folder: &Path, count: u32, script: &str, stop_timeout: Duration) -> FleetConfig {
    let words = ["/bin/sh", "-c", script];
    FleetConfig::Process(ProcessFleet {
        count,
        command: words.map(String::from).to_vec(),
        state_dir: folder.join("instances"),
        stop_timeout,
    })
}

struct Running {
    listings: watch::Receiver<Vec<Instance>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    folder: tempfile::TempDir,
}

impl Running {
    async fn start(count: u32, script: &str) -> Self {
        Self::start_with(count, script, PATIENT).await
    }

    async fn start_with(count: u32, script: &str, stop_timeout: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = pool_config(shell_fleet(folder.path(), count, script, stop_timeout));
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let fleet = from_config("main", &config, &Metrics::new(), &Default::default()).unwrap();
        let mut listings = start(fleet, &tasks, shutdown.clone());
        listings.changed().await.unwrap();
        Self {
            listings,
            shutdown,
            tasks,
            folder,
        }
    }

    /// The words of a file an instance writes, once there are `count` of them.
    async fn words(&self, instance: &str, file: &str, count: usize) -> Vec<String> {
        let path = self
            .folder
            .path()
            .join("instances")
            .join(instance)
            .join(file);
        let read = async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let words: Vec<_> = text.split_whitespace().map(String::from).collect();
                if words.len() >= count && text.ends_with('\n') {
                    return words;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .unwrap_or_else(|_| panic!("{} never held {count} words", path.display()))
    }

    async fn stop(self) -> tempfile::TempDir {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.folder
    }
}

fn is_running(pid: &str) -> bool {
    // A zombie that nobody reaped still has a folder in /proc: it would count as left behind, and should.
    Path::new("/proc").join(pid).exists()
}

async fn until_gone(pid: &str) {
    while is_running(pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_instance_has_its_own_folder_and_ports() {
    let script = "echo {name} {ssh_port} {jupyter_port} {state_dir} > told; exec sleep 1000";
    let running = Running::start(3, script).await;
    let listing = running.listings.borrow().clone();
    let mut ports = std::collections::BTreeSet::new();
    for instance in &listing {
        let words = running.words(&instance.id.name, "told", 4).await;
        assert_eq!(words[0], *instance.id.name);
        assert_eq!(words[1], instance.ssh_port.to_string());
        assert_eq!(words[2], instance.jupyter_port.unwrap().to_string());
        let folder = Path::new(&words[3]);
        assert!(folder.ends_with(&words[0]), "{folder:?}");
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        ports.extend([instance.ssh_port, instance.jupyter_port.unwrap()]);
    }
    assert_eq!(ports.len(), 6);
    running.stop().await;
}

#[tokio::test]
async fn a_dead_instance_comes_back_as_the_same_machine() {
    let running = Running::start(1, "echo $$ {ssh_port} >> starts; exec sleep 1000").await;
    let before = running.listings.borrow().clone();
    let first = running.words("main-1", "starts", 2).await;
    let pid = Pid::from_raw(first[0].parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    let both = running.words("main-1", "starts", 4).await;
    assert_ne!(both[0], both[2]);
    assert_eq!(both[1], both[3], "the ports stay");
    assert_eq!(*running.listings.borrow(), before);
    assert!(!is_running(&first[0]), "the dead one was reaped");
    running.stop().await;
}

#[tokio::test]
async fn what_an_instance_left_running_ends_with_it() {
    let running = Running::start(1, "sleep 1000 & echo $! $$ >> pids; wait").await;
    let pids = running.words("main-1", "pids", 2).await;
    let leader = Pid::from_raw(pids[1].parse().unwrap());
    nix::sys::signal::kill(leader, Signal::SIGKILL).unwrap();
    let gone = tokio::time::timeout(Duration::from_secs(10), until_gone(&pids[0]));
    gone.await
        .expect("the background process outlived its machine");
    running.stop().await;
}

#[tokio::test]
async fn stopping_is_polite_first_and_leaves_nothing() {
    let polite =
        "trap 'echo asked > asked; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    let running = Running::start(1, polite).await;
    let pids = running.words("main-1", "pid", 1).await;
    let folder = running.stop().await;
    assert!(!is_running(&pids[0]));
    let asked = folder.path().join("instances/main-1/asked");
    assert_eq!(std::fs::read_to_string(asked).unwrap(), "asked\n");
}

#[tokio::test]
async fn a_process_that_ignores_the_stop_is_killed_with_its_group() {
    let deaf = "trap '' TERM; sleep 1000 & echo $$ $! > pids; while :; do sleep 0.05; done";
    let running = Running::start_with(2, deaf, Duration::from_millis(300)).await;
    let mut pids = running.words("main-1", "pids", 2).await;
    pids.extend(running.words("main-2", "pids", 2).await);
    running.stop().await;
    for pid in &pids {
        let gone = tokio::time::timeout(Duration::from_secs(10), until_gone(pid));
        gone.await
            .unwrap_or_else(|_| panic!("{pid} was left behind"));
    }
}

#[tokio::test]
async fn a_stop_also_closes_stdin() {
    // Deaf to signals, `cat` ends at the end of its input only: what a gate's abrupt death leaves to its instances.
    let script = "trap '' TERM; echo $$ > pid; cat > /dev/null; echo closed > closed";
    let running = Running::start(1, script).await;
    let pids = running.words("main-1", "pid", 1).await;
    let folder = running.stop().await;
    assert!(!is_running(&pids[0]));
    let closed = folder.path().join("instances/main-1/closed");
    assert_eq!(std::fs::read_to_string(closed).unwrap(), "closed\n");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_tried_again_until_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let config = pool_config(FleetConfig::Process(ProcessFleet {
        count: 1,
        command: vec!["/nonexistent/program".into()],
        state_dir: folder.path().into(),
        stop_timeout: Duration::from_secs(1),
    }));
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mut listings = start(
        from_config("main", &config, &Metrics::new(), &Default::default()).unwrap(),
        &tasks,
        shutdown.clone(),
    );
    listings.changed().await.unwrap();
    assert_eq!(listings.borrow().len(), 1);
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
}

#[test]
fn an_empty_command_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = pool_config(FleetConfig::Process(ProcessFleet {
        count: 1,
        command: Vec::new(),
        state_dir: folder.path().into(),
        stop_timeout: Duration::from_secs(1),
    }));
    let refused = from_config("main", &config, &Metrics::new(), &Default::default())
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("fleet.command of pool main"), "{refused}");
}

#[test]
fn back_off_grows_to_a_bound_and_starts_over_after_a_long_life() {
    let mut backoff = Backoff::new();
    let young = Duration::from_secs(1);
    let waits: Vec<_> = (0..9).map(|_| backoff.after(young).as_millis()).collect();
    assert_eq!(waits[..4], [250, 500, 1000, 2000]);
    assert_eq!(waits[8], 15_000);
    assert_eq!(backoff.after(Backoff::LIVED), Backoff::LEAST);
}

#[tokio::test]
async fn commands_grow_stop_start_and_remove_exactly_the_machines_they_name() {
    use crate::fleet::{Chosen, MachineKey, OpState};
    use crate::pool::{MachinePhase, Observed};
    let folder = tempfile::tempdir().unwrap();
    let script = "echo $$ >> pids; exec sleep 1000";
    let config = pool_config(shell_fleet(folder.path(), 0, script, PATIENT));
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let fleet = from_config("main", &config, &Metrics::new(), &Default::default()).unwrap();
    let control = fleet.control();
    let listing = start(fleet, &tasks, shutdown.clone());
    let mut sight = control.observed();
    let mut until = async |holds: &dyn Fn(&Observed) -> bool| {
        let seen = sight.wait_for(|seen| seen.as_deref().is_some_and(holds));
        let seen = tokio::time::timeout(PATIENT, seen).await.unwrap().unwrap();
        seen.clone().unwrap()
    };
    let empty = until(&|_| true).await;
    assert_eq!(empty.capacity, 0);
    let op = control.grow_to(2, &empty.version).await.unwrap();
    let two = until(&|seen| seen.machines.len() == 2).await;
    assert_eq!(control.poll(&op).await.unwrap(), OpState::Done);
    let late = control.grow_to(3, &empty.version).await.unwrap_err();
    assert_eq!(late.kind(), "conflict");
    let lower = control.grow_to(1, &two.version).await.unwrap_err();
    assert!(
        lower.to_string().contains("remove chosen machines"),
        "{lower}"
    );

    let first = Chosen::new([MachineKey::from(&two.machines[0])]).unwrap();
    control.stop(&first).await.unwrap();
    let stopped = until(&|seen| seen.machines[0].phase == MachinePhase::Deallocated).await;
    assert_eq!(stopped.capacity, 2, "a machine that is off keeps its place");
    assert_eq!(listing.borrow().len(), 1);
    control.start(&first).await.unwrap();
    until(&|seen| seen.machines[0].phase == MachinePhase::Running).await;
    control.remove(&first).await.unwrap();
    let one = until(&|seen| seen.machines.len() == 1).await;
    assert_eq!(&*one.machines[0].id.name, "main-2");
    assert_eq!(control.remove(&first).await.unwrap_err().kind(), "conflict");

    control.grow_to(2, &one.version).await.unwrap();
    let again = until(&|seen| seen.machines.len() == 2).await;
    assert_eq!(&*again.machines[0].id.name, "main-1");
    assert_ne!(again.machines[0].generation, two.machines[0].generation);
    assert_eq!(control.remove(&first).await.unwrap_err().kind(), "conflict");
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    assert_eq!(
        control.remove(&first).await.unwrap_err().kind(),
        "transient"
    );
}
