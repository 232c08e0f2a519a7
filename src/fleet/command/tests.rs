//! The provider against small shell programs; the worked example is run in `tests/it`.

use std::path::Path;
use std::time::Duration;

use super::super::process::tests::pool_config;
use super::*;
use crate::config::FleetConfig;
use crate::fleet::MachineKey;
use crate::pool::MachinePhase;

/// A fleet whose program is the shell text `script`, with `$1` its folder.
fn fleet(folder: &Path, script: &str, timeout: Duration) -> CommandFleet {
    let words = [
        "/bin/sh",
        "-c",
        script,
        "program",
        &folder.to_string_lossy(),
    ];
    of_command(words.map(String::from).to_vec(), timeout)
}

fn of_command(command: Vec<String>, timeout: Duration) -> CommandFleet {
    let config = CommandConfig {
        command,
        interval: Duration::from_millis(50),
        timeout,
    };
    let mut pool = pool_config(FleetConfig::Command(config.clone()));
    pool.scaling.max = 5;
    CommandFleet::new("lab", &pool, &config, (&Metrics::new(), &Traces::default()))
}

const PATIENT: Duration = Duration::from_secs(20);

/// Keeps one file a machine in its folder; its id is the file's content.
const FILES: &str = r#"
read -r request
folder=$1
printf '%s\n' "$request" >>"$folder/../requests"
word() { printf '%s' "$request" | sed -n "s/.*\"$1\":\"*\([^\",}]*\).*/\1/p"; }
case $(word request) in
list)
  list=
  for file in "$folder"/*; do
    [ -e "$file" ] || continue
    list="$list,{\"name\":\"${file##*/}\",\"id\":\"$(cat "$file")\",\"phase\":\"running\",\"address\":\"127.0.0.1\"}"
  done
  printf '{"machines":[%s]}\n' "${list#,}" ;;
grow)
  n=0
  for file in "$folder"/*; do [ -e "$file" ] && n=$((n + 1)); done
  while [ "$n" -lt "$(word capacity)" ]; do n=$((n + 1)); echo "$$-$n" >"$folder/m$n"; done ;;
remove)
  printf '%s' "$request" | sed 's/.*\[//; s/\].*//' | tr ',' '\n' | tr -d '"' | while read -r name || [ -n "$name" ]; do rm "$folder/$name"; done ;;
*) echo '{"error":{"kind":"fatal","message":"this cloud only lists"}}'; exit 1 ;;
esac
"#;

struct Running {
    control: Arc<dyn FleetControl>,
    listing: watch::Receiver<Vec<Instance>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(fleet: CommandFleet) -> Self {
        let control = fleet.control();
        let (sender, listing) = watch::channel(Vec::new());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Box::new(fleet).run(sender, shutdown.clone()));
        Self {
            control,
            listing,
            shutdown,
            task,
        }
    }

    async fn until(&self, holds: impl Fn(&Observed) -> bool) -> Arc<Observed> {
        let mut sight = self.control.observed();
        let seen = sight.wait_for(|seen| seen.as_deref().is_some_and(&holds));
        let seen = tokio::time::timeout(PATIENT, seen)
            .await
            .expect("it is never seen");
        seen.unwrap().clone().unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_fleet_lives_by_its_program() {
    let folder = tempfile::tempdir().unwrap();
    let machines = folder.path().join("machines");
    std::fs::create_dir(&machines).unwrap();
    let running = Running::start(fleet(&machines, FILES, PATIENT));
    let seen = running.until(|_| true).await;
    assert_eq!(seen.capacity, 0);

    let op = running.control.grow_to(2, &seen.version).await.unwrap();
    let seen = running.until(|seen| seen.capacity == 2).await;
    assert_eq!(running.control.poll(&op).await.unwrap(), OpState::Done);
    assert_eq!(running.listing.borrow().len(), 2);
    assert_eq!(seen.machines[0].phase, MachinePhase::Running);
    let stale = running.control.grow_to(3, "old").await.unwrap_err();
    assert_eq!(stale.kind(), "conflict");
    let lower = running.control.grow_to(1, &seen.version).await.unwrap_err();
    assert!(lower.to_string().contains("name the machines"), "{lower}");
    let beyond = running.control.grow_to(6, &seen.version).await.unwrap_err();
    assert!(beyond.to_string().contains("scaling.max"), "{beyond}");

    let first = MachineKey::from(&seen.machines[0]);
    let another = Chosen::new([MachineKey {
        generation: 1,
        ..first.clone()
    }]);
    let wrong = running.control.remove(&another.unwrap()).await.unwrap_err();
    assert_eq!(wrong.kind(), "conflict");
    let chosen = Chosen::new([first.clone()]).unwrap();
    running.control.remove(&chosen).await.unwrap();
    let seen = running.until(|seen| seen.machines.len() == 1).await;
    assert_ne!(*seen.machines[0].id.name, *first.name);
    let again = running.control.remove(&chosen).await.unwrap_err();
    assert_eq!(again.kind(), "conflict", "it is gone already");
    let left = Chosen::new([MachineKey::from(&seen.machines[0])]).unwrap();
    let refused = running.control.stop(&left).await.unwrap_err();
    assert!(
        refused.to_string().contains("this cloud only lists"),
        "{refused}"
    );
    running.stop().await;
    let requests = std::fs::read_to_string(folder.path().join("requests")).unwrap();
    let removed = requests
        .lines()
        .filter(|line| line.contains("remove"))
        .count();
    assert_eq!(removed, 1, "{requests}");
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let kind = async |script: &str, timeout: u64| {
        let fleet = fleet(folder.path(), script, Duration::from_millis(timeout));
        let fault = fleet.control.program.list().await.unwrap_err();
        (fault.kind(), fault.to_string())
    };
    let (late, said) = kind("sleep 1000 & wait", 200).await;
    assert_eq!(late, "transient");
    assert!(said.contains("was killed"), "{said}");
    let (failed, said) = kind("echo broken >&2; exit 3", 20_000).await;
    assert_eq!(failed, "transient");
    assert!(said.contains("broken"), "{said}");
    assert_eq!(kind("echo '{\"machines\":'", 20_000).await.0, "transient");
    let refusal = "echo '{\"error\":{\"kind\":\"quota\",\"message\":\"8 cores\"}}'; exit 1";
    assert_eq!(kind(refusal, 20_000).await.0, "quota");
    let throttled = "echo '{\"error\":{\"kind\":\"throttled\",\"after_s\":7}}'";
    let (throttled, said) = kind(throttled, 20_000).await;
    assert_eq!(throttled, "throttled");
    assert!(said.ends_with("for 7 s"), "{said}");
    let (endless, said) = kind("yes", 20_000).await;
    assert_eq!(endless, "transient", "{said}");
}

#[tokio::test]
async fn names_and_addresses_of_a_program_are_checked() {
    let pool = Arc::from("lab");
    let read = |name: &str, address: &str| {
        let entry = json!({ "name": name, "id": "1", "phase": "running", "address": address });
        answers::listing(&pool, json!({ "machines": [entry] }).to_string().as_bytes())
    };
    assert!(read("m1", "10.0.0.4").is_ok());
    assert!(read("m1", "").unwrap().machines[0].address.is_none());
    for (name, address) in [
        ("", "h"),
        ("../m", "h"),
        ("M1", "h"),
        ("m1", "h\nx"),
        ("m1", "-o x"),
    ] {
        assert!(read(name, address).is_err(), "{name:?} {address:?}");
    }
    assert!(answers::listing(&pool, b"{\"machines\":[],\"machine\":[]}").is_err());
}
