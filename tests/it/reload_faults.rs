//! What stands where the configuration should, and is none: whatever it is, a reload changes nothing, the old configuration stays in
//! force, and the reason is told wherever an operator looks, with its line, its key and what to write.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use crate::support::certificate::certificate_files;
use crate::support::streams::ShellStream;
use crate::support::{Gate, GateSetup, Logins, Sshd, World, wait_until};

const PATIENT: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is put there, and what must be told of it.
struct Bad {
    what: String,
    put: Box<dyn Fn(&Path)>,
    reason: &'static str,
}

impl Bad {
    fn of(what: &str, put: impl Fn(&Path) + 'static, reason: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            put: Box::new(put),
            reason,
        }
    }

    fn text(what: &str, text: impl Into<Vec<u8>>, reason: &'static str) -> Self {
        let text = text.into();
        Self::of(what, move |path| fs::write(path, &text).unwrap(), reason)
    }
}

/// Whatever is there goes.
fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

impl Gate {
    /// By the socket, since not every file tells any more where that is.
    fn ask(&self, word: &str) -> crate::support::Finished {
        let socket = self.socket();
        self.cli(&[word, "--socket", socket.to_str().unwrap()])
    }
}

#[test]
fn whatever_is_no_configuration_changes_nothing_and_is_told() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("connect_timeout = \"20s\"")
        .https("")
        .start(&world);
    let door = gate.door(&world);
    let person = world.person(1);
    let mut stays = ShellStream::start(&door, &person);
    let good = gate.text();
    // By word alone: what is seen midway would be told twice.
    let good = good.replacen("state_dir", "reload_on_change = false\nstate_dir", 1);
    gate.reload_with(&good).ok();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let bads = [
        no_text(&good),
        no_configuration(&good),
        no_place(&good, port),
        no_files(&world, &good),
        known_samples(),
    ];
    let bads: Vec<_> = bads.into_iter().flatten().collect();
    assert!(bads.len() >= 45, "{}", bads.len());
    for Bad { what, put, reason } in bads {
        clear(&gate.config);
        put(&gate.config);
        let told = gate.ask("reload");
        assert_eq!(told.code(), Some(78), "{what}: {told}");
        assert!(told.stderr.contains(reason), "{what}: {told}");
        assert!(told.stderr.contains("poolgate.toml"), "{what}: {told}");
        assert!(gate.ask("status").ok().text().contains(reason), "{what}");
        assert!(gate.ask("events").ok().text().contains(reason), "{what}");
        assert!(gate.log().contains(reason), "{what}: not in the log");
        stays.turn();
    }
    let (_, metrics) = gate.admin("/metrics");
    assert!(
        metrics.contains("poolgate_config_reloads_total{outcome=\"refused\"}"),
        "{metrics}"
    );
    door.run(&person, "true").ok();
    clear(&gate.config);
    gate.hang_up();
    wait_until("a file that is gone to be told", PATIENT, || {
        gate.log().contains("cannot be read").then_some(())
    });
    door.run(&person, "true").ok();
    // What editors leave around a good one is no fault.
    let with_mark = format!("\u{feff}{}", good.replace('\n', "\r\n"));
    for well in [&with_mark, &good] {
        fs::write(&gate.config, well).unwrap();
        gate.ask("reload").ok();
        let status = gate.ask("status").ok();
        assert!(!status.text().contains("was refused"), "{status}");
    }
    stays.end();
    gate.stop();
}

fn no_text(good: &str) -> Vec<Bad> {
    let half = good.as_bytes()[..good.len() / 2].to_vec();
    vec![
        Bad::text("empty", "", "ssh.listen"),
        Bad::text("torn", half, "poolgate.toml:"),
        Bad::text("binary", [0xff, 0xfe, 0, 7], "not UTF-8"),
        Bad::text("zeroes", [0; 4096], "poolgate.toml:1"),
        Bad::text(
            "a zero within",
            good.replacen("[ssh]", "[s\0sh]", 1),
            "poolgate.toml:",
        ),
        Bad::of(
            "a folder",
            |path| fs::create_dir(path).unwrap(),
            "not a regular file",
        ),
        Bad::of(
            "a pipe nobody writes to",
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "not a regular file",
        ),
        Bad::of(
            "a link into nothing",
            |path| std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap(),
            "cannot be read",
        ),
        Bad::of(
            "a hundred megabytes",
            |path| {
                let file = fs::File::create(path).unwrap();
                file.set_len(100 << 20).unwrap();
            },
            "larger than 4 MiB",
        ),
    ]
}

fn no_configuration(good: &str) -> Vec<Bad> {
    let with = |old: &str, new: &str| {
        let bad = good.replacen(old, new, 1);
        assert_ne!(bad, good, "{old}");
        bad
    };
    let more = |lines: &str| format!("{good}\n{lines}\n");
    vec![
        Bad::text(
            "a table twice",
            more("[pools.main]\ncapacity = 3"),
            "is written twice",
        ),
        Bad::text(
            "a negative time",
            with("connect_timeout = \"20s\"", "connect_timeout = \"-20s\""),
            ": ssh.connect_timeout: is \"-20s\"",
        ),
        Bad::text(
            "a negative number",
            with("[pools.main]", "[pools.main]\ncapacity = -1"),
            ": pools.main.capacity: is -1; write a whole number from 1",
        ),
        Bad::text(
            "a number beyond all numbers",
            with(
                "[pools.main]",
                "[pools.main]\ncapacity = 99999999999999999999",
            ),
            "poolgate.toml:",
        ),
        Bad::text(
            "a network that is none",
            with("[ssh]", "[ssh]\nproxy_protocol_from = [\"10.0.0.0/99\"]"),
            ": ssh.proxy_protocol_from[0]: ",
        ),
        Bad::text(
            "a key that is nearly one",
            with("[pools.main]", "[pools.main]\ncapactiy = 3"),
            ": pools.main.capactiy: is not a known key; write capacity",
        ),
        Bad::text(
            "text for a number",
            with("[pools.main]", "[pools.main]\ncapacity = \"many\""),
            ": pools.main.capacity: is \"many\"",
        ),
        Bad::text(
            "two defaults",
            more(
                "[pools.gpu]\ndefault = true\n[pools.gpu.fleet]\nprovider = \"static\"\ninstances = [{ name = \"g\", address = \"192.0.2.9\" }]",
            ),
            "default",
        ),
    ]
}

fn no_place(good: &str, taken: u16) -> Vec<Bad> {
    let listen = |address: &str| {
        let more = format!("[ssh]\nlisten = [\"{address}\", ");
        good.replacen("[ssh]\nlisten = [", &more, 1)
    };
    vec![
        Bad::text(
            "an address that is not here",
            listen("192.0.2.1:2222"),
            ": ssh.listen: cannot listen on 192.0.2.1",
        ),
        Bad::text(
            "an address of somebody else's",
            listen(&format!("127.0.0.1:{taken}")),
            ": ssh.listen: cannot listen on 127.0.0.1",
        ),
        Bad::text(
            "a socket that cannot be",
            good.replacen("/admin.sock", "/poolgate.toml/admin.sock", 1),
            ": admin.socket: cannot listen on",
        ),
        Bad::text(
            "an audit log in the place of a folder",
            good.replacen("audit.jsonl", "poolgate.toml/audit.jsonl", 1),
            ": audit.file: ",
        ),
    ]
}

/// Files that the configuration names.
fn no_files(world: &World, good: &str) -> Vec<Bad> {
    let key = world.path("gate_host_key");
    let named = |name: &str| {
        let bad = good.replacen("gate_host_key\"", &format!("{name}\""), 1);
        assert_ne!(bad, good);
        bad
    };
    let mode = |name: &str, mode: u32| {
        fs::copy(&key, world.path(name)).unwrap();
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("open_key", 0o644);
    fs::create_dir(world.path("key_folder")).unwrap();
    mode("key_empty", 0o600);
    fs::write(world.path("key_empty"), "").unwrap();
    let (certificate, private_key) = certificate_files(world);
    let (certificate, private_key) = (certificate.display(), private_key.display());
    make_pair(world, "odd.pem", DAY, DAY * 90);
    make_pair(world, "over.pem", DAY * 90, DAY * 30);
    let tls = |chain: &str, key: &str| {
        let (chain, key) = (world.path(chain), world.path(key));
        good.replace(&certificate.to_string(), chain.to_str().unwrap())
            .replace(&private_key.to_string(), key.to_str().unwrap())
    };
    let own_key = private_key.to_string();
    vec![
        Bad::text("no host key", named("no_such_key"), ": ssh.host_keys: "),
        Bad::text("a host key others read", named("open_key"), "chmod 600"),
        Bad::text(
            "a folder for a host key",
            named("key_folder"),
            "it is a folder",
        ),
        Bad::text("an empty host key", named("key_empty"), ": ssh.host_keys: "),
        Bad::text(
            "a public key",
            named("gate_host_key.pub"),
            "is a public key",
        ),
        Bad::text(
            "a list of revoked keys that is not there",
            good.replacen("[ssh.auth]", "[ssh.auth]\nrevoked_keys = \"none\"", 1),
            ": ssh.auth.revoked_keys: there is no file",
        ),
        Bad::text(
            "a certificate and another's key",
            good.replace(
                &certificate.to_string(),
                world.path("odd.pem").to_str().unwrap(),
            ),
            ": https.private_key: the key in",
        ),
        Bad::text(
            "a key for a certificate",
            good.replace(&certificate.to_string(), &own_key),
            ": https.certificate: ",
        ),
        Bad::text(
            "a certificate that is over",
            tls("over.pem", "over.pem.key"),
            ": https.certificate: ",
        ),
    ]
}

/// A certificate and its key that were made so long ago, for so long.
fn make_pair(world: &World, name: &str, ago: Duration, lifetime: Duration) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let begin = SystemTime::now() - ago;
    params.not_before = begin.into();
    params.not_after = (begin + lifetime).into();
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    fs::write(world.path(name), made.pem()).unwrap();
    fs::write(world.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// What the configuration's own tests know to be wrong, of every kind.
fn known_samples() -> Vec<Bad> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/invalid");
    let sample = |name: &str| {
        let text = fs::read(folder.join(format!("{name}.toml"))).unwrap();
        Bad::text(name, text, "poolgate.toml:")
    };
    let names = [
        "bare_duration",
        "capacity_zero",
        "duplicate_key",
        "host_keys_missing",
        "listen_host_name",
        "min_above_max",
        "no_pool",
        "not_toml",
        "number_for_address",
        "provider_unknown",
        "rise_fall",
        "several_faults",
        "size_unit",
        "two_defaults",
        "unclosed_list",
        "unknown_key",
        "unknown_section",
        "yaml_habit",
    ];
    names.into_iter().map(sample).collect()
}

#[test]
fn a_file_that_is_written_in_parts_replaced_and_made_anew_is_read_when_it_is_whole() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).pool("capacity = 5").start(&world);
    let capacity = |wanted: u64| {
        wait_until("the new capacity", PATIENT, || {
            (gate.instances()[0]["capacity"] == wanted).then_some(())
        });
    };
    let with = |capacity: u64| {
        gate.text()
            .replace("capacity = 5", &format!("capacity = {capacity}"))
    };
    let text = with(5);
    // In two parts, the first of which stands still for long enough to be read: it is none, and the whole is.
    let half = &text[..text.find("[pools.main]").unwrap() + 4];
    fs::write(&gate.config, half).unwrap();
    wait_until("the half to be refused", PATIENT, || {
        gate.log()
            .contains("the configuration stays as it is")
            .then_some(())
    });
    capacity(5);
    fs::write(&gate.config, text.replace("capacity = 5", "capacity = 6")).unwrap();
    capacity(6);
    // Gone for a while, and made anew; with a time long ago, as a copy of a backup has.
    fs::remove_file(&gate.config).unwrap();
    wait_until("its absence to be told", PATIENT, || {
        gate.log().contains("cannot be read").then_some(())
    });
    fs::write(&gate.config, text.replace("capacity = 5", "capacity = 7")).unwrap();
    let old = fs::File::options().write(true).open(&gate.config).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + DAY).unwrap();
    capacity(7);
    // As another file of the same length and time, by rename.
    let next = gate.config.with_extension("next");
    fs::write(&next, text.replace("capacity = 5", "capacity = 8")).unwrap();
    let copy = fs::File::options().write(true).open(&next).unwrap();
    copy.set_modified(SystemTime::UNIX_EPOCH + DAY).unwrap();
    fs::rename(&next, &gate.config).unwrap();
    capacity(8);
    // Many times within a moment: the last counts.
    for number in 9..60 {
        fs::write(
            &gate.config,
            text.replace("capacity = 5", &format!("capacity = {number}")),
        )
        .unwrap();
    }
    capacity(59);
    gate.stop();
}
