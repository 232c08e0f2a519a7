//! The set-up of an instance really executed on a Debian of its own, twice; then its sshd and its JupyterHub, started by the
//! words of their units, behind a gate: people log in by key and by password, and find their folders.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::machine::Machine;
use crate::support::people::PASSWORD;
use crate::support::visitor::Visitor;
use crate::support::{Gate, GateSetup, Person, World, wait_until};

const LONG: Duration = Duration::from_secs(120);
const SET_UP: &str = "/clone/deploy/azure/instance/setup.sh";
const INSTALLED: &str = "/opt/poolgate/setup/setup.sh";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn settings(machine: &Machine, more: &str) -> String {
    format!(
        "POOLGATE_GATES={}\nPOOLGATE_SHARE_PATH=/shared\nPOOLGATE_USER_CA_FILE=/root/user_ca.pub\nPOOLGATE_HUB_TOKEN_FILE=/root/token\n{more}",
        machine.gate_address
    )
}

/// Settings, keys, and a drive with a people file.
fn prepare(world: &World, machine: &Machine, more: &str) {
    let authority = std::fs::read_to_string(world.path("user_ca.pub")).unwrap();
    machine.write("/root/user_ca.pub", &authority, 0o644);
    machine.write("/root/token", TOKEN, 0o600);
    machine.write(
        "/etc/poolgate/instance.env",
        &settings(machine, more),
        0o600,
    );
    people(machine, &["person21:30021", "person22:30022"]);
}

/// The people file, with everybody's password.
fn people(machine: &Machine, people: &[&str]) {
    let hash = machine.sh(&format!("openssl passwd -6 '{PASSWORD}'")).ok();
    let lines = people
        .iter()
        .map(|who| format!("{who}:{}::A person of the tests\n", hash.text()));
    machine.write("/shared/poolgate/people", &lines.collect::<String>(), 0o600);
}

/// A gate that knows this machine and no other.
fn gate(world: &World, machine: &Machine) -> Gate {
    std::fs::write(world.path("hub.token"), TOKEN).unwrap();
    let fleet = format!(
        "provider = \"static\"\ninstances = [{{ name = \"vm1\", address = \"{}\" }}]",
        machine.address
    );
    let gate = GateSetup::default()
        .https("")
        .fleet(&fleet)
        .pool_jupyter(&format!("api_token_file = {:?}", world.path("hub.token")))
        .start(world);
    wait_until("sshd and JupyterHub of the machine", LONG, || {
        (gate.instances()[0]["health"] == "up").then_some(())
    });
    gate
}

/// By ssh through the gate: where they are, and what is there.
fn log_in_by_key(gate: &Gate, world: &World, person: &Person) {
    for _ in 0..2 {
        let look = "id -un; pwd; readlink notebooks/remote; stat -c '%U %a' notebooks/remote/. .; touch notebooks/remote/seen";
        let said = gate.door(world).run(person, look).ok();
        let name = &person.name;
        let expected = format!(
            "{name}\n/shared/home/{name}\n/shared/notebooks/{name}\n{name} 700\n{name} 700"
        );
        assert_eq!(said.text(), expected);
    }
}

/// By password in a browser through the gate: a server of theirs that computes.
fn log_in_by_password(gate: &Gate, person: &Person) {
    let mut browser = Visitor::new(&format!("https://127.0.0.1:{}", gate.https_port));
    assert_eq!(browser.page("/")["path"], "/hub/login");
    let wish =
        |password: &str| json!({ "step": "login", "user": person.name, "password": password });
    let refused = browser.step(&wish("wrong"));
    assert_eq!(refused["status"], 403, "{refused}");
    let came: Value = browser.step(&wish(PASSWORD));
    assert_eq!(came["status"], 302, "{came}");
    let lab = browser.spawn(&person.name);
    assert_eq!(lab["status"], 200, "{lab}");
    let notebook = json!({ "type": "notebook", "format": "json", "content": { "metadata": {}, "nbformat": 4, "nbformat_minor": 4,
        "cells": [{ "cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": null }] } });
    let path = format!("/user/{}/api/contents/own.ipynb", person.name);
    let saved = browser.send("PUT", &path, &notebook);
    assert_eq!(saved["status"], 201, "{saved}");
    let kernel = browser.kernel(&person.name);
    let code = "import getpass, os; print(6 * 7, getpass.getuser(), os.getcwd(), os.readlink('notebooks/remote'))";
    let told = browser.run(&person.name, &kernel, code);
    let name = &person.name;
    assert_eq!(
        told,
        format!("42 {name} /shared/home/{name} /shared/notebooks/{name}")
    );
}

#[test]
fn an_instance_is_set_up_and_takes_people() {
    let world = World::new();
    let mut machine = Machine::start(&world, "machine");
    machine.start_metadata(&world.path("secrets"));
    prepare(&world, &machine, "");
    let first = machine.sh(SET_UP).ok();
    assert!(first.stderr.contains("changed account person21"), "{first}");
    let again = machine.sh(INSTALLED).ok();
    assert!(
        again.stderr.contains("poolgate-setup: 0 changes"),
        "{again}"
    );
    machine.sh("test -s /run/poolgate-ready").ok();

    machine.start_service("exec /usr/sbin/sshd -D -e");
    machine.start_unit("/etc/systemd/system/poolgate-jupyterhub.service");
    let gate = gate(&world, &machine);
    let (alice, bob) = (world.person(21), world.person(22));
    log_in_by_key(&gate, &world, &alice);
    log_in_by_password(&gate, &bob);
    log_in_by_key(&gate, &world, &bob);

    // Databases are on the machine's own disk, all of them.
    let databases = "find /shared -type f -exec head -qc 15 {} + | grep -ac 'SQLite format 3'";
    assert_eq!(machine.sh(databases).text(), "0");
    machine
        .sh("test -s /var/lib/poolgate-people/person22/history.sqlite")
        .ok();
    machine
        .sh("test -s /var/lib/poolgate-people/person22/nbsignatures.db")
        .ok();
    // One person's files are not another's.
    let look = gate.door(&world).run(
        &alice,
        "cat /shared/notebooks/person22/seen; ls /var/lib/poolgate-people/person22",
    );
    assert_eq!(
        look.stderr.matches("Permission denied").count(),
        2,
        "{look}"
    );
    the_metadata_service_is_closed(&gate, &world, &machine, &alice);
    whoever_leaves_the_people_file_is_shut_out(&gate, &world, &machine, &alice);
    gate.stop();
}

fn the_metadata_service_is_closed(gate: &Gate, world: &World, machine: &Machine, person: &Person) {
    let ask = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/";
    assert_eq!(machine.sh(ask).text(), "400", "root is answered");
    assert_eq!(
        machine.sh_as("poolgate-probe", ask).text(),
        "400",
        "the load probe is answered"
    );
    let asked = gate.door(world).run(person, ask);
    assert_eq!(asked.text(), "000", "nobody else is: {asked}");
}

fn whoever_leaves_the_people_file_is_shut_out(
    gate: &Gate,
    world: &World,
    machine: &Machine,
    person: &Person,
) {
    people(machine, &["person22:30022"]);
    machine.sh(&format!("{INSTALLED} people")).ok();
    assert_ne!(gate.door(world).run(person, "true").code(), Some(0));
    people(machine, &["person21:30021", "person22:30022"]);
    machine.sh(&format!("{INSTALLED} people")).ok();
    gate.door(world)
        .run(person, "test -e notebooks/remote/seen")
        .ok();
}

#[test]
fn a_login_follows_nobody_s_links() {
    let world = World::new();
    let machine = Machine::start(&world, "machine");
    prepare(&world, &machine, "POOLGATE_JUPYTERHUB=off\n");
    machine.sh(SET_UP).ok();
    let login = |user: &str| machine.sh_as(user, "true").ok();
    login("person21");
    // Into a folder of root's, and into another person's.
    machine
        .sh_as("person21", "rm -r notebooks; ln -s /etc notebooks")
        .ok();
    login("person21");
    machine.sh("test ! -e /etc/remote").ok();
    login("person22");
    machine
        .sh_as(
            "person21",
            "rm notebooks; ln -s /shared/home/person22/notebooks notebooks",
        )
        .ok();
    machine
        .sh("ln -sfn /nowhere /shared/home/person22/notebooks/remote")
        .ok();
    login("person21");
    assert_eq!(
        machine
            .sh("readlink /shared/home/person22/notebooks/remote")
            .text(),
        "/nowhere"
    );
    // A wrong link of one's own is put right; a folder of one's own by that name is left.
    login("person22");
    assert_eq!(
        machine
            .sh("readlink /shared/home/person22/notebooks/remote")
            .text(),
        "/shared/notebooks/person22"
    );
    machine
        .sh_as(
            "person22",
            "rm notebooks/remote; mkdir notebooks/remote; touch notebooks/remote/mine",
        )
        .ok();
    login("person22");
    machine
        .sh("test -f /shared/home/person22/notebooks/remote/mine")
        .ok();
    // A home that is somebody else's is not given away.
    machine.sh("chown -R person21: /shared/home/person22").ok();
    login("person22");
    assert_eq!(
        machine.sh("stat -c %U /shared/home/person22").text(),
        "person21"
    );
}

#[test]
fn what_is_wrong_is_said_and_nobody_is_taken() {
    let world = World::new();
    let machine = Machine::start(&world, "machine");
    prepare(&world, &machine, "");
    let refuses = |settings: &str, reason: &str| {
        machine.write("/etc/poolgate/instance.env", settings, 0o600);
        machine.write("/run/poolgate-ready", "of an earlier start\n", 0o644);
        let said = machine.sh(SET_UP);
        assert_eq!(said.code(), Some(1), "{said}");
        assert!(
            said.stderr.contains("FAILED: ") && said.stderr.contains(reason),
            "{reason}: {said}"
        );
    };
    let good = settings(&machine, "POOLGATE_JUPYTERHUB=off\n");
    refuses(
        &format!("{good}POOLGATE_SHRAE=nfs\n"),
        "unknown key POOLGATE_SHRAE",
    );
    refuses(
        &format!("{good}POOLGATE_SHARE=afs\n"),
        "POOLGATE_SHARE is \"afs\"",
    );
    refuses(
        &good.replace("POOLGATE_SHARE_PATH=/shared\n", ""),
        "POOLGATE_SHARE_PATH is not set",
    );
    machine.write("/root/bad.pub", "no key\n", 0o644);
    refuses(
        &good.replace("/root/user_ca.pub", "/root/bad.pub"),
        "user CA is no public key",
    );
    machine.sh("test ! -e /run/poolgate-ready").ok();
    refuses(
        &format!("{good}POOLGATE_JUPYTERHUB=/nowhere\n"),
        "there is no /nowhere/jupyterhub",
    );
    machine.sh("chmod 666 /shared/poolgate/people").ok();
    refuses(&good, "must be writable for root alone");
    machine.sh("test ! -e /run/poolgate-ready").ok();
}

/// Stands where `mount` does: notes what it is asked for, and binds a folder there.
const MOUNT: &str = r#"#!/bin/bash
echo "$*" >>/run/mounts
place=${!#}
source=/srv/drive
[ "$1" != -t ] || source=/srv/drive/${5#//*/*/}
mkdir -p "$source"
exec /usr/bin/mount.real --bind "$source" "$place"
"#;

#[test]
fn a_drive_is_mounted_as_its_kind_wants() {
    let world = World::new();
    let machine = Machine::start(&world, "machine");
    prepare(&world, &machine, "");
    machine.sh("cp -a /usr/bin/mount /usr/bin/mount.real && mkdir /srv/drive && mv /shared/poolgate /srv/drive/").ok();
    machine.write("/usr/bin/mount", MOUNT, 0o755);
    machine.write("/root/key", "secret of the account\n", 0o600);
    machine.write(
        "/etc/fstab",
        "# the machine's own\nLABEL=root / ext4 defaults 0 1\nold:/x /shared nfs defaults 0 0\n",
        0o644,
    );
    let nfs = settings(
        &machine,
        "POOLGATE_JUPYTERHUB=off\nPOOLGATE_SHARE=nfs\nPOOLGATE_SHARE_SOURCE=files.example:/files/pool\n",
    );
    machine.write("/etc/poolgate/instance.env", &nfs, 0o600);
    machine.sh(SET_UP).ok();
    assert_eq!(
        machine.read("/etc/fstab"),
        "# the machine's own\nLABEL=root / ext4 defaults 0 1\nfiles.example:/files/pool /shared nfs \
         vers=4.1,sec=sys,nconnect=4,hard,nosuid,nodev,_netdev,nofail,x-systemd.mount-timeout=30 0 0\n"
    );
    assert_eq!(machine.read("/run/mounts"), "/shared\n");
    assert!(machine.sh(SET_UP).ok().stderr.contains(" 0 changes"));

    machine.sh("umount /shared; rm /run/mounts; userdel person21; userdel person22; rm /run/poolgate-people.done").ok();
    let smb = settings(
        &machine,
        "POOLGATE_JUPYTERHUB=off\nPOOLGATE_SHARE=smb\nPOOLGATE_SHARE_SOURCE=//files.example/pool\n\
        POOLGATE_SHARE_ACCOUNT=files\nPOOLGATE_SHARE_KEY_FILE=/root/key\n",
    );
    machine.write("/etc/poolgate/instance.env", &smb, 0o600);
    machine.sh(SET_UP).ok();
    let line = machine.sh("grep ' /shared ' /etc/fstab").ok();
    assert!(line.text().starts_with("//files.example/pool /shared cifs vers=3.1.1,seal,credentials=/etc/poolgate/share.credentials,uid=0,"), "{line}");
    assert!(
        line.text().contains(",dir_mode=0711,file_mode=0600,")
            && line
                .text()
                .ends_with(",_netdev,nofail,x-systemd.mount-timeout=30 0 0"),
        "{line}"
    );
    assert_eq!(
        machine
            .sh("stat -c '%a %U' /etc/poolgate/share.credentials")
            .text(),
        "600 root"
    );
    assert_eq!(
        machine.read("/etc/poolgate/share.credentials"),
        "username=files\npassword=secret of the account\n"
    );
    let shown = machine.sh("cat /run/mounts /etc/fstab").ok();
    assert!(!shown.stdout.contains("secret of the account"));
    each_person_s_folders_are_mounted_for_that_person(&machine);
}

fn each_person_s_folders_are_mounted_for_that_person(machine: &Machine) {
    assert!(
        machine
            .sh_as("person21", "pwd; readlink notebooks/remote")
            .ok()
            .text()
            .contains("/srv/poolgate/notebooks/person21")
    );
    let mounts = machine.read("/run/mounts");
    for (folder, place) in [
        ("notebooks/person21", "/srv/poolgate/notebooks/person21"),
        ("home/person21", "/home/person21"),
    ] {
        let line = mounts
            .lines()
            .find(|line| line.ends_with(&format!("//files.example/pool/{folder} {place}")));
        let line = line.unwrap_or_else(|| panic!("{folder} was not mounted: {mounts}"));
        assert!(
            line.contains("uid=30021,gid=30021,forceuid,forcegid,dir_mode=0700"),
            "{line}"
        );
    }
}
