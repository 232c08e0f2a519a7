use super::*;
use crate::identity::person_files::{FRESH, PEOPLE_MAX};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A folder of homes with one for each name, each listing one key.
fn homes(names: &[&str]) -> (tempfile::TempDir, KeyFinder) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in names {
        write(&folder, name, &line(name));
    }
    let pattern = folder.path().join("%u/keys").display().to_string();
    let sources = KeySources {
        authorized_keys: vec!["/nowhere/%u".into(), pattern],
        ..KeySources::default()
    };
    (
        folder,
        KeyFinder::new(sources, None, &FileFaults::default()).unwrap(),
    )
}

fn offered(user: &str, seed: &str) -> Offered {
    Offered {
        user: user.into(),
        key_blob: blob(seed),
        certificate: None,
    }
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    let home = folder.path().join(name);
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.join("keys"), text).unwrap();
    fs::set_permissions(home.join("keys"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn blob(seed: &str) -> Vec<u8> {
    let mut blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20".to_vec();
    blob.extend(seed.bytes().cycle().take(32));
    blob
}

fn line(seed: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(blob(seed));
    format!("ssh-ed25519 {text} {seed}\n")
}

async fn lets_in(finder: &KeyFinder, user: &str, seed: &str) -> bool {
    let line = finder
        .authorize(&offered(user, seed), CLIENT, SystemTime::now())
        .await;
    line.is_some_and(|line| line.user().as_ref() == user && line.key_blob() == blob(seed))
}

#[tokio::test]
async fn a_key_lets_in_its_owner_and_nobody_else() {
    let (_folder, finder) = homes(&["zoe-a", "zoe-b"]);
    assert!(lets_in(&finder, "zoe-a", "zoe-a").await);
    assert!(!lets_in(&finder, "zoe-a", "zoe-b").await);
    assert!(!lets_in(&finder, "zoe-c", "zoe-a").await);
    assert!(!lets_in(&finder, "../zoe-a", "zoe-a").await);
}

#[tokio::test]
async fn the_first_line_that_holds_counts() {
    let (folder, finder) = homes(&[]);
    let text = format!(
        "from=\"10.0.0.0/8\" {0}no-pty,from=\"127.0.0.1\" {0}{0}",
        line("zoe-a")
    );
    write(&folder, "zoe-a", &text);
    let found = finder
        .authorize(&offered("zoe-a", "zoe-a"), CLIENT, SystemTime::now())
        .await
        .unwrap();
    assert!(!found.restrictions().permit_pty);
}

#[tokio::test]
async fn what_was_read_serves_for_a_moment() {
    let (folder, finder) = homes(&["zoe-a"]);
    assert!(lets_in(&finder, "zoe-a", "zoe-a").await);
    write(&folder, "zoe-a", &line("zoe-b"));
    assert!(lets_in(&finder, "zoe-a", "zoe-a").await);
    let person = finder.files.person("zoe-a").unwrap();
    person.lock().await.as_mut().unwrap().at -= FRESH;
    assert!(!lets_in(&finder, "zoe-a", "zoe-a").await);
    assert!(lets_in(&finder, "zoe-a", "zoe-b").await);
}

#[tokio::test]
async fn memory_of_names_is_bounded() {
    let (_folder, finder) = homes(&["zoe-a"]);
    for n in 0..PEOPLE_MAX + 10 {
        let _ = finder.files.person(&format!("u{n}")).unwrap();
    }
    assert!(finder.files.people.lock().unwrap().len() <= PEOPLE_MAX);
    let busy: Vec<_> = (0..PEOPLE_MAX)
        .filter_map(|n| finder.files.person(&format!("v{n}")))
        .map(|person| person.try_lock_owned().unwrap())
        .collect();
    assert_eq!(busy.len(), PEOPLE_MAX);
    assert!(finder.files.person("one-more").is_none());
}

#[tokio::test]
async fn a_large_collection_is_read_each_time() {
    let (folder, finder) = homes(&[]);
    let text: String = (0..1000).map(|n| line(&format!("k{n}"))).collect();
    write(&folder, "zoe-a", &text);
    assert!(lets_in(&finder, "zoe-a", "k999").await);
    assert!(finder.files.person("zoe-a").unwrap().lock().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hung_file_system_stops_one_login_and_not_the_others() {
    let (_folder, finder) = homes(&["zoe-a", "zoe-b"]);
    let hung = finder.files.person("zoe-a").unwrap().lock_owned().await;
    assert!(!lets_in(&finder, "zoe-a", "zoe-a").await);
    assert!(lets_in(&finder, "zoe-b", "zoe-b").await);
    drop(hung);
    assert!(lets_in(&finder, "zoe-a", "zoe-a").await);
}

#[tokio::test]
async fn where_keys_were_looked_for_is_told_place_by_place() {
    let (folder, finder) = homes(&["zoe-a", "zoe-b"]);
    let fingerprint = |seed: &str| crate::ssh::wire::keys::fingerprint(&blob(seed));
    let place = |name: &str| folder.path().join(name).join("keys").display().to_string();
    let looked = async |user: &str, offered: &[String]| finder.looked(user, offered).await;
    assert_eq!(
        looked("zoe-c", &[]).await,
        format!("/nowhere/zoe-c is missing; {} is missing", place("zoe-c"))
    );
    let other = looked("zoe-a", &[fingerprint("zoe-b")]).await;
    let says = format!("{} holds 1 key, which was not offered", place("zoe-a"));
    assert!(other.ends_with(&says), "{other}");
    let own = looked("zoe-a", &[fingerprint("zoe-a")]).await;
    assert!(own.ends_with("holds 1 key, which was offered"), "{own}");
    write(
        &folder,
        "zoe-d",
        &format!("{}cert-authority {}no key\n", line("a"), line("b")),
    );
    let more = looked("zoe-d", &[]).await;
    let says = "holds 1 key, which was not offered, 1 authority, 1 line without sense";
    assert!(more.ends_with(says), "{more}");
    let open = fs::Permissions::from_mode(0o666);
    fs::set_permissions(place("zoe-b"), open).unwrap();
    let ignored = looked("zoe-b", &[]).await;
    let says = format!("run: chmod go-w {}", place("zoe-b"));
    assert!(ignored.ends_with(&says), "{ignored}");
    let nothing = KeyFinder::new(KeySources::default(), None, &FileFaults::default()).unwrap();
    assert!(nothing.looked("zoe-a", &[]).await.starts_with("nowhere: "));
}

#[test]
fn what_a_place_holds_is_told_key_by_key() {
    let (folder, _finder) = homes(&[]);
    let text = format!(
        "{}expiry-time=\"20200101Z\" {}from=\"10.0.0.0/8\" {}cert-authority {}no key\n",
        line("a"),
        line("b"),
        line("c"),
        line("d")
    );
    write(&folder, "zoe-a", &text);
    let patterns = ["%h/keys", "/nowhere/%u"].map(str::to_owned);
    let own = folder.path().join("%u/keys").display().to_string();
    let patterns = [patterns.as_slice(), &[own]].concat();
    let account = nix::unistd::geteuid().as_raw();
    let found = inspect(&patterns, "zoe-a", account, SystemTime::now()).unwrap();
    let [nowhere, missing, sound] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(matches!(nowhere.keys, Err(Absence::NoAccount)));
    assert_eq!(nowhere.path, Path::new("%h/keys"));
    assert!(matches!(missing.keys, Err(Absence::Missing)));
    let keys = sound.keys.as_ref().unwrap();
    let told: Vec<_> = keys
        .iter()
        .map(|key| (key.line, key.is_authority, key.refusal.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            (1, false, false),
            (2, false, true),
            (3, false, false),
            (4, true, false)
        ]
    );
    assert_eq!(
        keys[0].fingerprint,
        crate::ssh::wire::keys::fingerprint(&blob("a"))
    );
    assert_eq!(sound.skipped.len(), 1);
}
