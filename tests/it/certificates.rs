//! People's own certificates, revocation lists and the operator's key command, made by the real ssh-keygen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::client::{PATIENCE, host};
use crate::support::world::public;
use crate::support::{Finished, Gate, GateSetup, Logins, Person, Sshd, World, finish, tool};

/// A gate that trusts the people's authority `people_ca`, with one instance behind it.
struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    fn new(settings: &[&str]) -> Self {
        let world = World::new();
        for ca in ["people_ca", "other_ca"] {
            world.make_key(ca);
        }
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let folder = world.path("").display().to_string();
        let folder = folder.trim_end_matches('/');
        let mut setup = GateSetup::over(&sshds).auth(&format!(
            "trusted_user_ca_keys = [\"{folder}/people_ca.pub\"]"
        ));
        for line in settings {
            setup = setup.auth(&line.replace("WORLD", folder));
        }
        let gate = setup.start(&world);
        Self { world, gate, sshds }
    }

    /// Person `number` with this authorized_keys file.
    fn person(&self, number: usize, authorized_keys: &str) -> Person {
        let person = self.world.person(number);
        self.world.authorize(&person, authorized_keys);
        person
    }

    /// A certificate for the person's key, by these options of ssh-keygen, where ssh finds it beside the key.
    fn certify(&self, person: &Person, ca: &str, options: &[&str]) -> PathBuf {
        let mut keygen = tool("ssh-keygen");
        keygen.args(["-q", "-s"]).arg(self.world.path(ca));
        keygen
            .args(["-I", "an id"])
            .args(options)
            .arg(public(&person.key));
        finish(&mut keygen, PATIENCE).ok();
        PathBuf::from(format!("{}-cert.pub", person.key.display()))
    }

    fn run(&self, person: &Person, options: &[&str], command: &str) -> Finished {
        self.gate
            .door(&self.world)
            .run_with(person, options, command)
    }

    #[track_caller]
    fn refuses(&self, person: &Person, why: &str) {
        let before = self.sshds[0].log();
        let refused = self.run(person, &[], "true");
        assert_eq!(refused.code(), Some(255), "{why}: {refused}");
        assert!(
            refused.stderr.contains("Permission denied"),
            "{why}: {refused}"
        );
        let after = self.sshds[0].log();
        let new = after.strip_prefix(before.as_str()).unwrap();
        assert!(
            !new.contains("userauth-request for user"),
            "{why}: an instance heard of it"
        );
    }
}

#[test]
fn a_certificate_of_a_trusted_authority_logs_its_principal_in() {
    let scene = Scene::new(&[]);
    let person = scene.person(1, "");
    scene.refuses(&person, "the plain key is not listed");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = scene.world.make_key_of(kind, &format!("clients/{kind}"));
        let person = Person {
            key,
            ..person.clone()
        };
        scene.certify(&person, "people_ca", &["-n", "person01", "-z", "77"]);
        assert_eq!(
            scene.run(&person, &[], "whoami").ok().text(),
            "person01",
            "{kind}"
        );
    }
    let logins = scene.gate.wait_audit("login", 3);
    let proof = logins[0]["proof"].as_str().unwrap();
    assert!(
        proof.contains("certificate \"an id\" serial 77 of SHA256:"),
        "{proof}"
    );
    scene.gate.stop();
}

#[test]
fn cve_2026_35414_and_others_a_certificate_for_somebody_else_logs_nobody_in() {
    let scene = Scene::new(&[]);
    let person = scene.person(1, "");
    for (ca, options) in [
        ("people_ca", &["-n", "person02"][..]),
        ("people_ca", &["-n", "person*"]),
        ("people_ca", &["-n", "Person01"]),
        ("people_ca", &[]),
        ("people_ca", &["-h", "-n", "person01"]),
        ("people_ca", &["-n", "person01", "-V", "-2h:-1h"]),
        ("people_ca", &["-n", "person01", "-V", "+1h:+2h"]),
        (
            "people_ca",
            &["-n", "person01", "-O", "source-address=192.0.2.0/24"],
        ),
        (
            "people_ca",
            &["-n", "person01", "-O", "critical:x@example.com=y"],
        ),
        ("other_ca", &["-n", "person01"]),
    ] {
        scene.certify(&person, ca, options);
        scene.refuses(&person, &format!("{ca} {options:?}"));
    }
    scene.certify(&person, "people_ca", &["-n", "person02,person01"]);
    scene.run(&person, &[], "true").ok();
    scene.gate.stop();
}

#[test]
fn what_a_certificate_forbids_the_instance_forbids() {
    let scene = Scene::new(&[]);
    let person = scene.person(1, "");
    let forced = "force-command=echo only this";
    let options = ["-n", "person01", "-O", "clear", "-O", forced];
    scene.certify(&person, "people_ca", &options);
    assert_eq!(scene.run(&person, &[], "id").ok().text(), "only this");
    let finished = scene.run(&person, &["-tt"], "id");
    assert!(
        finished.stderr.contains("PTY allocation request failed"),
        "{finished}"
    );
    let target = format!("127.0.0.1:{}", scene.sshds[0].port);
    let mut ssh = scene.gate.door(&scene.world).ssh(&person);
    let refused = finish(ssh.args(["-W", &target, &host(&person)]), PATIENCE);
    assert!(
        refused.stderr.contains("administratively prohibited"),
        "{refused}"
    );
    scene.certify(&person, "people_ca", &["-n", "person01"]);
    let finished = scene.run(&person, &["-tt"], "tty").ok();
    assert!(finished.stdout.contains("/dev/pts/"), "{finished}");
    scene.gate.stop();
}

#[test]
fn a_persons_own_authority_line_narrows_its_certificates() {
    let scene = Scene::new(&[]);
    let ca = fs::read_to_string(scene.world.path("other_ca.pub")).unwrap();
    let options = "cert-authority,principals=\"staff,admins\",no-pty";
    let person = scene.person(1, &format!("{options} {ca}"));
    scene.certify(&person, "other_ca", &["-n", "admins"]);
    assert_eq!(scene.run(&person, &[], "whoami").ok().text(), "person01");
    let tty = scene.run(&person, &["-tt"], "tty");
    assert!(!tty.stdout.contains("/dev/pts/"), "{tty}");
    scene.certify(&person, "other_ca", &["-n", "person01"]);
    scene.refuses(&person, "a principal of the list is wanted");
    let other = scene.person(2, "");
    scene.certify(&other, "other_ca", &["-n", "admins,person02"]);
    scene.refuses(&other, "one person's authority is nobody else's");
    // The authority's own key is no way in.
    let key = scene.world.path("other_ca");
    scene.refuses(&Person { key, ..person }, "the authority's plain key");
    scene.gate.stop();
}

#[test]
fn a_principals_file_says_who_answers_to_what() {
    let scene = Scene::new(&["authorized_principals = [\"WORLD/principals/%u\"]"]);
    let file = |name: &str, text: &str| {
        let path = scene.world.folder("principals").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    };
    file(
        "person01",
        "# who\nstaff\ncommand=\"echo for admins\" admins\n",
    );
    let person = scene.person(1, "");
    scene.certify(&person, "people_ca", &["-n", "staff"]);
    assert_eq!(scene.run(&person, &[], "whoami").ok().text(), "person01");
    scene.certify(&person, "people_ca", &["-n", "admins"]);
    assert_eq!(scene.run(&person, &[], "whoami").ok().text(), "for admins");
    scene.certify(&person, "people_ca", &["-n", "person01"]);
    scene.refuses(&person, "the name is not in the file");
    let other = scene.person(2, "");
    scene.certify(&other, "people_ca", &["-n", "staff,person02"]);
    scene.refuses(&other, "no file, no principals");
    scene.gate.stop();
}

#[test]
fn cve_2026_42508_revoked_keys_certificates_and_authorities_log_nobody_in() {
    let scene = Scene::new(&["revoked_keys = \"WORLD/revoked\""]);
    let list = scene.world.path("revoked");
    let revoke = |specification: &str| {
        let spec = scene.world.path("spec");
        fs::write(&spec, specification).unwrap();
        let mut keygen = tool("ssh-keygen");
        keygen.arg("-k").arg("-f").arg(scene.world.path("new"));
        keygen
            .arg("-s")
            .arg(scene.world.path("people_ca.pub"))
            .arg(&spec);
        finish(&mut keygen, PATIENCE).ok();
        fs::rename(scene.world.path("new"), &list).unwrap();
        // What was read serves for two seconds: a login of somebody else tells when it is over.
    };
    let plain = scene.world.person(2);
    let plain_line = fs::read_to_string(public(&plain.key)).unwrap();
    let person = scene.person(1, "");
    scene.certify(&person, "people_ca", &["-n", "person01", "-z", "5"]);
    scene.refuses(&person, "no list, no logins");
    assert!(
        scene
            .gate
            .log()
            .contains("ssh.auth.revoked_keys cannot be read")
    );
    let settle = |person: &Person, lets_in: bool| {
        crate::support::wait_until("the revocation list", PATIENCE, || {
            let code = scene.run(person, &[], "true").code();
            ((code == Some(0)) == lets_in).then_some(())
        });
    };
    revoke("");
    settle(&person, true);
    settle(&plain, true);
    revoke("serial: 5");
    settle(&person, false);
    settle(&plain, true);
    scene.certify(&person, "people_ca", &["-n", "person01", "-z", "6"]);
    settle(&person, true);
    revoke(&format!("sha256: {plain_line}"));
    settle(&plain, false);
    settle(&person, true);
    fs::copy(scene.world.path("people_ca.pub"), &list).unwrap();
    settle(&person, false);
    settle(&plain, true);
    // What is no list changes nothing, and is told.
    fs::write(&list, "half a list").unwrap();
    crate::support::wait_until("the broken list to be told", PATIENCE, || {
        scene.gate.log().contains("line 1: ").then_some(())
    });
    settle(&person, false);
    settle(&plain, true);
    scene.gate.stop();
}

#[test]
fn a_command_lists_keys_as_its_own_account_and_without_a_shell() {
    let world = World::new();
    let script = world.path("list-keys");
    let seen = world.path("seen");
    fs::create_dir(&seen).unwrap();
    fs::set_permissions(&seen, fs::Permissions::from_mode(0o777)).unwrap();
    let text = format!(
        "#!/bin/sh\nenv >{seen}/env\nid -u >{seen}/uid\nid -G >{seen}/groups\nprintf '<%s>' \"$@\" >>{seen}/arguments\n\
         [ \"$1\" = person03 ] || exit 0\n[ -e {seen}/fail ] && echo \"no-pty $2 $3\" && exit 1\necho \"no-pty $2 $3\"\n",
        seen = seen.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .auth(&format!(
            "authorized_keys_command = [{script:?}, \"%u\", \"%t\", \"%k\"]"
        ))
        .auth("authorized_keys_command_user = \"nobody\"")
        .start(&world);
    let [third, fourth] = [3, 4].map(|number| {
        let person = world.person(number);
        world.authorize(&person, "");
        person
    });
    let door = gate.door(&world);
    assert_eq!(door.run(&third, "whoami").ok().text(), "person03");
    let tty = door.run_with(&third, &["-tt"], "tty");
    assert!(!tty.stdout.contains("/dev/pts/"), "{tty}");
    assert_eq!(door.run(&fourth, "whoami").code(), Some(255));
    let read = |name: &str| fs::read_to_string(seen.join(name)).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(read("uid").trim(), nobody.uid.to_string());
    assert_eq!(read("groups").trim(), nobody.gid.to_string());
    let inherited: Vec<String> = read("env")
        .lines()
        .filter(|line| {
            !["PWD=", "_=", "SHLVL=", "OLDPWD="]
                .iter()
                .any(|own| line.starts_with(own))
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(inherited, [] as [String; 0]);
    assert!(
        read("arguments").starts_with("<person03><ssh-ed25519><AAAA"),
        "{}",
        read("arguments")
    );
    fs::write(seen.join("fail"), "").unwrap();
    assert_eq!(
        door.run(&third, "whoami").code(),
        Some(255),
        "an exit status beside 0"
    );
    fs::remove_file(seen.join("fail")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(
        door.run(&third, "whoami").code(),
        Some(255),
        "others can write it"
    );
    assert!(gate.log().contains("chmod go-w"));
    gate.stop();
}
