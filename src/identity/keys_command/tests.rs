use super::*;

/// The tests' own account runs it, so that they need no other.
fn own_account() -> String {
    let uid = nix::unistd::geteuid();
    User::from_uid(uid).unwrap().unwrap().name
}

fn command(words: &[&str]) -> KeysCommand {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    KeysCommand::new(&words, &own_account(), Metrics::new())
        .unwrap_or_else(|error| panic!("{error}"))
}

fn offered() -> Offered {
    let mut key_blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20".to_vec();
    key_blob.extend([7; 32]);
    Offered {
        user: "alice".into(),
        key_blob,
        certificate: None,
    }
}

async fn answer(words: &[&str]) -> Option<String> {
    let output = command(words).ask(&offered()).await?;
    Some(String::from_utf8(output).unwrap())
}

#[tokio::test]
async fn tokens_are_arguments_and_never_a_shells_words() {
    let blob = STANDARD.encode(offered().key_blob);
    let print = fingerprint(&offered().key_blob);
    let expected = format!("<alice><x-%-alice><ssh-ed25519><{blob}><{print}>< ; id>");
    let words = [
        "/usr/bin/printf",
        "<%%s>",
        "%u",
        "x-%%-%u",
        "%t",
        "%k",
        "%f",
        " ; id",
    ];
    assert_eq!(answer(&words).await, Some(expected));
    assert_eq!(answer(&["/bin/echo"]).await.as_deref(), Some("alice\n"));
}

#[tokio::test]
async fn it_sees_no_environment_and_no_input() {
    let shown = answer(&["/usr/bin/env", "-u", "NONE"]).await;
    assert_eq!(shown.as_deref(), Some(""));
    assert_eq!(answer(&["/bin/cat", "-"]).await.as_deref(), Some(""));
}

#[tokio::test]
async fn failures_give_nothing() {
    assert_eq!(answer(&["/bin/sh", "-c", "echo key; exit 1"]).await, None);
    assert_eq!(
        answer(&["/bin/sh", "-c", "echo key; kill -9 $$"]).await,
        None
    );
    let flood = "head -c 2000000 /dev/zero";
    assert_eq!(answer(&["/bin/sh", "-c", flood]).await, None);
    let hangs = command(&["/bin/sh", "-c", "echo key; exec sleep 1000"]);
    tokio::time::pause();
    assert_eq!(hangs.ask(&offered()).await, None);
    let text = hangs.metrics.encode(&crate::pool::Snapshot::default());
    let counted = "poolgate_keys_command_runs_total{outcome=\"timeout\"} 1";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn every_run_is_counted() {
    let runs = command(&["/bin/sh", "-c", "test -e \"$0\"", "/%u"]);
    runs.ask(&offered()).await;
    let all = runs.running.acquire_many(RUNNING_MAX as u32).await.unwrap();
    tokio::time::pause();
    runs.ask(&offered()).await;
    drop(all);
    let text = runs.metrics.encode(&crate::pool::Snapshot::default());
    for outcome in ["failed", "busy"] {
        let counted = format!("poolgate_keys_command_runs_total{{outcome=\"{outcome}\"}} 1");
        assert!(text.contains(&counted), "{text}");
    }
}

#[test]
fn a_program_that_others_can_write_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("list-keys");
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    assert!(matches!(
        check_program(&program),
        Err(ProgramError::NoProgram(_))
    ));
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    // The system's own folder for temporary files lies above it, which everybody can write.
    let refused = check_program(&program).unwrap_err().to_string();
    assert!(refused.contains("; run: ch"), "{refused}");
    assert!(check_program(Path::new("/nowhere/at/all")).is_err());
    assert!(check_program(Path::new("/bin/sh")).is_ok());
}

#[test]
fn mistakes_are_named() {
    let told = |words: &[&str], account: &str| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let refused = KeysCommand::new(&words, account, Metrics::new());
        refused.err().unwrap().to_string()
    };
    assert!(told(&["/bin/echo", "%x"], "root").contains("\"%x\""));
    assert!(told(&["/bin/echo", "%"], "root").contains("\"%\""));
    assert!(told(&["/bin/echo"], "no-such-account").contains("no-such-account"));
    assert!(told(&["/nowhere"], "root").contains("/nowhere"));
}
