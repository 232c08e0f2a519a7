use super::*;
use crate::ssh::test_keys::{Keys, instance, mode};

fn setup() -> (Keys, Pins) {
    let keys = Keys::new();
    keys.make("a", "ed25519");
    keys.make("b", "ed25519");
    let pins = Pins::open(keys.0.path()).unwrap();
    (keys, pins)
}

#[test]
fn the_first_key_is_pinned_and_survives_a_restart() {
    let (keys, mut pins) = setup();
    let vm1 = instance("vm1", 22);
    pins.check(&vm1, &keys.blob("a")).unwrap();
    assert_eq!(mode(&keys.path(FILE_NAME)), 0o600);
    let mut pins = Pins::open(keys.0.path()).unwrap();
    pins.check(&vm1, &keys.blob("a")).unwrap();
    assert_eq!(pins.key_of(&vm1), Some(keys.blob("a").as_slice()));
    let refusal = pins.check(&vm1, &keys.blob("b")).unwrap_err();
    assert!(matches!(refusal, HostKeyError::Changed { .. }));
    let text = refusal.to_string();
    assert!(
        text.contains("delete the line that begins with main/vm1 from "),
        "{text}"
    );
    pins.check(&vm1, &keys.blob("a")).unwrap();
}

#[test]
fn another_machine_under_the_name_is_pinned_anew() {
    let (keys, mut pins) = setup();
    let mut vm1 = instance("vm1", 22);
    pins.check(&vm1, &keys.blob("a")).unwrap();
    vm1.generation = 2;
    assert_eq!(pins.key_of(&vm1), None);
    pins.check(&vm1, &keys.blob("b")).unwrap();
    assert!(pins.check(&vm1, &keys.blob("a")).is_err());
    vm1.id.name = "vm2".into();
    pins.check(&vm1, &keys.blob("a")).unwrap();
}

#[test]
fn a_line_that_an_operator_deletes_is_forgotten() {
    let (keys, mut pins) = setup();
    let (vm1, vm2) = (instance("vm1", 22), instance("vm2", 22));
    pins.check(&vm1, &keys.blob("a")).unwrap();
    pins.check(&vm2, &keys.blob("a")).unwrap();
    let text = std::fs::read_to_string(keys.path(FILE_NAME)).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("main/vm1 "))
        .collect();
    keys.write(FILE_NAME, &kept.join("\n"));
    pins.check(&vm1, &keys.blob("b")).unwrap();
    assert!(pins.check(&vm2, &keys.blob("b")).is_err());
}

#[test]
fn a_spoilt_or_unwritable_file_pins_nothing() {
    let (keys, mut pins) = setup();
    keys.write(FILE_NAME, "main/vm1 one ssh-ed25519 AAAA\n");
    let fault = pins
        .check(&instance("vm1", 22), &keys.blob("a"))
        .unwrap_err();
    let text = fault.to_string();
    assert!(matches!(fault, HostKeyError::Pins { .. }), "{text}");
    for part in [":1: expected POOL/INSTANCE", "nobody gets on"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(Pins::open(keys.0.path()).is_err());
    let mut pins = Pins::open(&keys.path("no-such-folder")).unwrap();
    let fault = pins
        .check(&instance("vm1", 22), &keys.blob("a"))
        .unwrap_err();
    assert!(matches!(fault, HostKeyError::File { .. }), "{fault}");
    assert_eq!(pins.key_of(&instance("vm1", 22)), None);
}

#[test]
fn a_file_of_a_newer_version_trusts_nothing_and_stays_as_it_is() {
    let (keys, mut pins) = setup();
    pins.check(&instance("vm1", 22), &keys.blob("a")).unwrap();
    let ours = std::fs::read_to_string(keys.path(FILE_NAME)).unwrap();
    assert!(ours.contains("# Format 1\n"), "{ours}");
    let newer = ours.replace("# Format 1", "# Format 2");
    keys.write(FILE_NAME, &newer);
    for key in ["a", "b"] {
        let refusal = pins.check(&instance("vm2", 22), &keys.blob(key));
        let text = refusal.unwrap_err().to_string();
        assert!(text.contains("install that version again"), "{text}");
    }
    let left = std::fs::read_to_string(keys.path(FILE_NAME)).unwrap();
    assert_eq!(left, newer);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(main/vm1 |[0-9]{1,20} |ssh-[a-z0-9]{1,8} |[A-Za-z0-9+/=]{0,12}|[# \n]){0,20}") {
        let _ = parse(&text);
    }
}
