use super::*;
use crate::ssh::test_keys::{Keys, instance};

fn names(keys: &InstanceKeys, port: u16) -> Vec<&'static str> {
    let wanted = keys.wanted_algorithms(&instance("vm1", port));
    wanted.iter().map(|algorithm| algorithm.name()).collect()
}

fn load(keys: &Keys, source: InstanceHostKeys) -> Result<InstanceKeys, HostKeyError> {
    InstanceKeys::load(keys.0.path(), [("main", &source)], &FileFaults::default())
}

#[test]
fn the_gates_own_keys_are_loaded_in_order() {
    let keys = Keys::new();
    let paths = [keys.make("a", "ecdsa"), keys.make("b", "ed25519")];
    let loaded = load_host_keys(&paths).unwrap();
    let blobs: Vec<&[u8]> = loaded.iter().map(|key| key.public_blob()).collect();
    assert_eq!(blobs, [keys.blob("a"), keys.blob("b")]);
    let fault = load_host_keys(&[paths[0].clone(), keys.path("absent")])
        .err()
        .unwrap();
    assert!(fault.to_string().starts_with("ssh.host_keys: "), "{fault}");
    let twin = keys.make("c", "ecdsa");
    let fault = load_host_keys(&[paths[0].clone(), twin]).err().unwrap();
    assert!(fault.to_string().contains("of the same kind"), "{fault}");
    assert!(matches!(
        load_host_keys(&[]),
        Err(KeyFileError::NoneNamed { .. })
    ));
}

#[test]
fn a_pinned_keys_algorithms_come_first() {
    let keys = Keys::new();
    keys.make("rsa", "rsa");
    let known = load(&keys, InstanceHostKeys::FirstUse).unwrap();
    assert_eq!(names(&known, 22)[0], "ssh-ed25519");
    known
        .check(&instance("vm1", 22), &keys.blob("rsa"), SystemTime::now())
        .unwrap();
    assert_eq!(
        names(&known, 22)[..3],
        ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
    );
}

#[test]
fn listed_keys_and_authorities_come_first() {
    let keys = Keys::new();
    keys.make("ec", "ecdsa");
    let path = keys.write("known", &format!("[127.0.0.1]:2222 {}", keys.line("ec")));
    let known = load(&keys, InstanceHostKeys::KnownHosts(path)).unwrap();
    assert_eq!(names(&known, 2222)[0], "ecdsa-sha2-nistp256");
    assert_eq!(names(&known, 22)[0], "ssh-ed25519");
    let path = keys.path("ec.pub");
    let known = load(&keys, InstanceHostKeys::Ca(path)).unwrap();
    let names = names(&known, 22);
    assert_eq!(names[0], "ssh-ed25519-cert-v01@openssh.com");
    assert!(names.contains(&"ssh-ed25519"));
    let distinct: HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn unusable_files_are_told_at_once() {
    let keys = Keys::new();
    let fault = load(&keys, InstanceHostKeys::KnownHosts(keys.path("absent")))
        .err()
        .unwrap();
    let told = fault.to_string();
    assert!(
        told.starts_with("pools.main.ssh.instance_host_keys: cannot use "),
        "{told}"
    );
    let path = keys.write("bad", "# fine\nvm1 ssh-ed25519\n");
    for source in [
        InstanceHostKeys::KnownHosts(path.clone()),
        InstanceHostKeys::Ca(path),
    ] {
        let fault = load(&keys, source).err().unwrap();
        assert!(fault.to_string().contains("bad:2: "), "{fault}");
    }
}

#[test]
fn a_file_that_changes_is_read_again() {
    let keys = Keys::new();
    keys.make("a", "ed25519");
    keys.make("b", "ed25519");
    let path = keys.write("known", &format!("vm1 {}", keys.line("a")));
    let known = load(&keys, InstanceHostKeys::KnownHosts(path.clone())).unwrap();
    let check = |name: &str| known.check(&instance("vm1", 22), &keys.blob(name), SystemTime::now());
    check("a").unwrap();
    assert!(check("b").is_err());
    keys.write("new", &format!("vm1 {}# longer\n", keys.line("b")));
    std::fs::rename(keys.path("new"), &path).unwrap();
    let look = || known.followed().iter().for_each(|file| file.look());
    look();
    check("a").unwrap();
    look();
    check("b").unwrap();
    assert!(check("a").is_err());
    // Gone, or spoilt: what was read before counts.
    std::fs::remove_file(&path).unwrap();
    look();
    look();
    check("b").unwrap();
    keys.write("known", "vm1 ssh-ed25519");
    look();
    look();
    check("b").unwrap();
}

#[test]
fn a_pool_without_a_setting_trusts_nothing() {
    let keys = Keys::new();
    keys.make("a", "ed25519");
    let known = InstanceKeys::load(keys.0.path(), [], &FileFaults::default()).unwrap();
    let verdict = known.check(&instance("vm1", 22), &keys.blob("a"), SystemTime::now());
    assert!(matches!(verdict, Err(HostKeyError::NoPool(_))));
}
