//! The worked example of a fleet's program: sound shell, and a fleet's life by it, with LXD's client replaced.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use poolgate::config::{CommandFleet as CommandConfig, load};
use poolgate::fleet::command::CommandFleet;
use poolgate::fleet::{Chosen, Fleet, FleetControl, MachineKey, OpState};
use poolgate::pool::{MachinePhase, Observed};
use poolgate::telemetry::metrics::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{finish, tool};

const PATIENT: Duration = Duration::from_secs(60);

fn scripts() -> [std::path::PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["deploy/fleet/lxd.sh", "tests/fixtures/lxc"].map(|script| root.join(script))
}

fn fleet(state: &Path) -> CommandFleet {
    let file = state.join("poolgate.toml");
    let text = "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n\
        [pools.lab.fleet]\nprovider = \"command\"\ncommand = [\"x\"]\n";
    std::fs::write(&file, text).unwrap();
    let [script, stand_in] = scripts().map(|script| script.display().to_string());
    let machines = state.join("machines");
    let words = [
        "env".to_owned(),
        format!("LXC={stand_in}"),
        format!("STAND_IN={}", machines.display()),
        script,
        "lab".to_owned(),
        "jammy".to_owned(),
    ];
    let config = CommandConfig {
        command: words.to_vec(),
        interval: Duration::from_millis(50),
        timeout: PATIENT,
    };
    let pool = &load(Some(&file)).unwrap().pools["lab"];
    CommandFleet::new("lab", pool, &config, (&Metrics::new(), &Default::default()))
}

async fn until(
    control: &Arc<dyn FleetControl>,
    holds: impl Fn(&Observed) -> bool,
) -> Arc<Observed> {
    let mut sight = control.observed();
    let seen = sight.wait_for(|seen| seen.as_deref().is_some_and(&holds));
    let seen = tokio::time::timeout(PATIENT, seen)
        .await
        .expect("it is never seen");
    seen.unwrap().clone().unwrap()
}

#[test]
fn the_scripts_are_sound() {
    finish(tool("shellcheck").args(scripts()), PATIENT).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_lives_by_the_worked_example() {
    drop(tool("jq"));
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(folder.path());
    let control = fleet.control();
    let (sender, listing) = watch::channel(Vec::new());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(Box::new(fleet).run(sender, shutdown.clone()));

    let empty = until(&control, |_| true).await;
    control.grow_to(2, &empty.version).await.unwrap();
    let two = until(&control, |seen| seen.machines.len() == 2).await;
    assert_eq!(two.machines[0].address.as_deref(), Some("10.7.0.4"));
    assert_eq!(listing.borrow().len(), 2);
    let all = Chosen::new(two.machines.iter().map(MachineKey::from)).unwrap();
    let op = control.stop(&all).await.unwrap();
    let off = |phase| phase == MachinePhase::Deallocated;
    until(&control, |seen| {
        seen.machines.iter().all(|one| off(one.phase))
    })
    .await;
    assert_eq!(control.poll(&op).await.unwrap(), OpState::Done);
    control.start(&all).await.unwrap();
    let on = |phase| phase == MachinePhase::Running;
    until(&control, |seen| {
        seen.machines.iter().all(|one| on(one.phase))
    })
    .await;
    let first = Chosen::new([MachineKey::from(&two.machines[0])]).unwrap();
    control.remove(&first).await.unwrap();
    let one = until(&control, |seen| seen.machines.len() == 1).await;
    assert_eq!(&*one.machines[0].id.name, "lab-2", "that one and no other");
    shutdown.cancel();
    task.await.unwrap();
}
