//! Certificate files that others renew: taken as they come, told of where they are not sound.

use std::fs;
use std::time::Duration;

use crate::support::certificate::certificate_files;
use crate::support::client::PATIENCE;
use crate::support::{Finished, Gate, GateSetup, Logins, Sshd, World, finish, tool, wait_until};

/// Asks by a client that trusts the certificate in this file alone.
fn ask(world: &World, gate: &Gate, file: &str) -> Finished {
    let mut curl = tool("curl");
    curl.args(["-q", "-sS", "--noproxy", "*", "-o", "/dev/null"]);
    curl.args(["-w", "%{http_code}", "--cacert"]);
    curl.arg(world.path(file));
    curl.arg(format!("https://localhost:{}/", gate.https_port));
    finish(&mut curl, PATIENCE)
}

#[test]
fn renewed_files_are_taken_without_a_word_and_torn_ones_are_not() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).https("").start(&world);
    let (certificate, key) = certificate_files(&world);
    fs::copy(&certificate, world.path("first.pem")).unwrap();
    assert_eq!(ask(&world, &gate, "first.pem").ok().text(), "503");

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(world.path("second.pem"), made.cert.pem()).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    wait_until("the new certificate", Duration::from_secs(30), || {
        let answer = ask(&world, &gate, "second.pem");
        answer.status.success().then_some(())
    });

    fs::write(&key, "torn").unwrap();
    gate.hang_up();
    wait_until("the complaint", Duration::from_secs(30), || {
        let log = gate.log();
        let told = log.contains("the old certificate is kept") && log.contains("https.private_key");
        told.then_some(())
    });
    assert_eq!(ask(&world, &gate, "second.pem").ok().text(), "503");
    let (_, metrics) = gate.admin("/metrics");
    for line in [
        "poolgate_tls_certificate_reloads_total{outcome=\"taken\"} 1",
        "poolgate_tls_certificate_not_after_seconds{certificate=\"localhost\"}",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    gate.stop();
}

/// Runs openssl in a folder of its own.
fn openssl(world: &World, line: &str) -> String {
    let mut openssl = tool("openssl");
    openssl
        .args(line.split_whitespace())
        .current_dir(world.folder("ocsp"));
    finish(&mut openssl, PATIENCE).ok().text().to_owned()
}

#[test]
fn what_the_authority_says_of_a_certificate_is_shown_with_it() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        &world,
        &format!("req -x509 {new_key} -keyout ca.key -out ca.crt -subj /CN=ca -days 2"),
    );
    let named = "-subj /CN=pool.example -addext subjectAltName=DNS:pool.example";
    openssl(
        &world,
        &format!("req {new_key} -keyout own.key -out own.csr {named}"),
    );
    openssl(
        &world,
        "x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2 -out own.crt",
    );
    let serial = openssl(&world, "x509 -in own.crt -noout -serial");
    let serial = serial.trim().trim_start_matches("serial=");
    let index = format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=pool.example\n");
    fs::write(world.path("ocsp/index.txt"), index).unwrap();
    let respond = "ocsp -index index.txt -CA ca.crt -rsigner ca.crt -rkey ca.key -issuer ca.crt -cert own.crt";
    openssl(&world, &format!("{respond} -ndays 1 -respout ocsp.der"));

    let at = |name: &str| world.path("ocsp").join(name);
    let pair = format!(
        "certificates = [{{ certificate = {:?}, private_key = {:?}, ocsp_response = {:?} }}]",
        at("own.crt"),
        at("own.key"),
        at("ocsp.der")
    );
    let gate = GateSetup::over(&sshds).https(&pair).start(&world);
    let ask = format!(
        "s_client -connect 127.0.0.1:{} -servername pool.example -status -CAfile ca.crt",
        gate.https_port
    );
    let shown = openssl(&world, &ask);
    assert!(
        shown.contains("OCSP Response Status: successful"),
        "{shown}"
    );
    assert!(shown.contains("Cert Status: good"), "{shown}");
    gate.stop();
}
