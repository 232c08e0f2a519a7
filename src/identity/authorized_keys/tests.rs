use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

fn one(line: &str) -> KeyLine {
    parse_line(7, line.as_bytes()).unwrap().unwrap()
}

fn judged(line: &str, client: &str) -> Result<AuthorizedLine, Refusal> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    judge(&one(line), "alice", client.parse().unwrap(), now)
}

#[test]
fn keys_made_by_ssh_keygen_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let made = [
        ("ed25519", "256"),
        ("rsa", "2048"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
    ];
    let mut text = String::from("# a comment\r\n\n");
    for (kind, bits) in made {
        let path = folder.path().join(format!("{kind}{bits}"));
        let status = Command::new("ssh-keygen")
            .args([
                "-q",
                "-t",
                kind,
                "-b",
                bits,
                "-N",
                "",
                "-C",
                "somebody at home",
                "-f",
            ])
            .arg(&path)
            .status();
        assert!(status.unwrap().success());
        text += "restrict,command=\"echo hi, \\\"you\\\"\" ";
        text += &std::fs::read_to_string(path.with_extension("pub")).unwrap();
    }
    let file = parse(text.as_bytes());
    assert_eq!(file.skipped, []);
    let numbers: Vec<usize> = file.lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [3, 4, 5, 6, 7]);
    for line in file.lines {
        let command = line.options.restrictions.force_command;
        assert_eq!(command.as_deref(), Some("echo hi, \"you\""));
    }
}

#[test]
fn security_keys_are_read() {
    for name in [
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ] {
        let mut blob = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        blob.extend(name.as_bytes());
        let line = one(&format!(
            "no-touch-required,verify-required {name} {}",
            STANDARD.encode(&blob)
        ));
        assert_eq!(line.key_blob, blob);
        let authorized = judge(&line, "a", Ipv4Addr::LOCALHOST.into(), SystemTime::now()).unwrap();
        assert!(!authorized.is_touch_required() && authorized.is_verification_required());
    }
}

#[test]
fn a_line_without_options_allows_everything() {
    let authorized = judged(&format!("  {ED25519} alice@home  "), "10.0.0.1").unwrap();
    assert_eq!(authorized.user().as_ref(), "alice");
    assert_eq!(*authorized.restrictions(), Restrictions::unrestricted());
    assert!(authorized.is_touch_required() && !authorized.is_verification_required());
}

#[test]
fn lines_that_are_not_understood_are_skipped_and_the_rest_counts() {
    let text = format!(
        "ssh-dss AAAA old\nfrobnicate {ED25519}\nssh-ed25519 !!!!\nssh-rsa {}\nhello world\n{ED25519}\n",
        ED25519.split(' ').nth(1).unwrap()
    );
    let file = parse(text.as_bytes());
    assert_eq!(file.lines.len(), 1);
    let reasons: Vec<&LineError> = file.skipped.iter().map(|(_, reason)| reason).collect();
    assert!(matches!(
        reasons[..],
        [
            LineError::Dsa,
            LineError::Options(_),
            LineError::Damaged,
            LineError::Damaged,
            LineError::NoKey
        ]
    ));
}

#[test]
fn too_long_a_line_is_skipped() {
    let line = format!("{ED25519} {}", "x".repeat(LINE_BYTES_MAX));
    assert_eq!(parse_line(1, line.as_bytes()), Err(LineError::TooLong));
}

#[test]
fn a_command_that_is_not_utf8_is_not_guessed_at() {
    let mut line = b"command=\"\xff\" ".to_vec();
    line.extend(ED25519.as_bytes());
    assert!(matches!(parse_line(1, &line), Err(LineError::Options(_))));
    let mut line = ED25519.as_bytes().to_vec();
    line.extend(b" J\xf6rg");
    assert!(
        parse_line(1, &line).unwrap().is_some(),
        "a comment may be anything"
    );
}

#[test]
fn conditions_are_checked_at_the_login() {
    let refused =
        |options: &str, client: &str| judged(&format!("{options} {ED25519}"), client).unwrap_err();
    assert!(judged(&format!("from=\"10.0.0.0/8\" {ED25519}"), "10.9.8.7").is_ok());
    assert!(matches!(
        refused("from=\"10.0.0.0/8\"", "192.168.0.1"),
        Refusal::From(_)
    ));
    assert!(matches!(
        refused("from=\"10.0.0.1/8\"", "10.0.0.1"),
        Refusal::FromInvalid(_)
    ));
    assert_eq!(
        refused("expiry-time=\"20200101\"", "10.0.0.1"),
        Refusal::Expired
    );
    assert!(judged(&format!("expiry-time=\"20990101\" {ED25519}"), "10.0.0.1").is_ok());
    assert_eq!(
        refused("cert-authority", "10.0.0.1"),
        Refusal::CertAuthority
    );
    assert_eq!(refused("principals=\"a\"", "10.0.0.1"), Refusal::Principals);
}

#[test]
fn what_neither_a_certificate_nor_the_gate_can_hold_is_refused() {
    let refusal = judged(&format!("tunnel=\"any\" {ED25519}"), "10.0.0.1").unwrap_err();
    assert!(matches!(refusal, Refusal::NotCarried(_)));
    let lists = r#"permitopen="db:1",permitlisten="80""#;
    let line = judged(&format!("{lists} {ED25519}"), "10.0.0.1").unwrap();
    assert_eq!(line.restrictions().permit_open, ["db:1"]);
    assert_eq!(line.restrictions().permit_listen, ["80"]);
    assert!(judged(&format!("environment=\"A=1\" {ED25519}"), "10.0.0.1").is_ok());
}

proptest! {
    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&text);
    }

    #[test]
    fn no_line_panics(options in "[a-z=\",\\\\ -]{0,40}", rest in "\\PC{0,40}") {
        let _ = parse(format!("{options} {ED25519} {rest}\n{options}ssh-rsa {rest}").as_bytes());
    }
}
