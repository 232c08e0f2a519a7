//! TLS to instances, ended there by HAProxy: by a pinned certificate, and by an authority's.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::client::PATIENCE;
use crate::support::raw_hub::{RawHub, RawScene};
use crate::support::{
    Finished, Gate, GateSetup, Running, World, finish, free_port, tool, wait_until,
};

/// What `openssl x509 -fingerprint` shows of the instance's certificate, after files of it and of its authority were made.
fn issue(world: &World) -> String {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &ca).unwrap();
    let whole = format!("{}{}", own.pem(), key.serialize_pem());
    fs::write(world.path("instance.pem"), whole).unwrap();
    fs::write(world.path("instances_ca.pem"), ca.pem()).unwrap();
    let mut openssl = tool("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    openssl.arg(world.path("instance.pem"));
    let shown = finish(&mut openssl, PATIENCE).ok();
    shown.text().split_once('=').unwrap().1.to_owned()
}

fn haproxy(world: &World, hub: &RawHub) -> (Running, u16) {
    let (port, config) = (free_port(), world.path("haproxy.cfg"));
    let text = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen hub\n  bind 127.0.0.1:{port} ssl crt {}\n  server hub 127.0.0.1:{}\n",
        world.path("instance.pem").display(),
        hub.port
    );
    fs::write(&config, text).unwrap();
    let running = Running::start(tool("haproxy").args(["-db", "-f"]).arg(&config));
    wait_until("haproxy", PATIENCE, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    (running, port)
}

fn ask(gate: &Gate) -> Finished {
    let mut curl = tool("curl");
    curl.args(["-q", "-sSk", "--noproxy", "*", "-o", "/dev/null"]);
    curl.args(["-w", "%{http_code}"]);
    curl.arg(format!("https://127.0.0.1:{}/", gate.https_port));
    finish(&mut curl, PATIENCE)
}

#[test]
fn hubs_that_prove_themselves_by_either_are_up_and_served() {
    let (world, hub) = (World::new(), RawHub::start());
    let pin = issue(&world);
    let ca = format!("ca:{}", world.path("instances_ca.pem").display());
    let (_haproxy, port) = haproxy(&world, &hub);
    let tls = |tls: String| move |setup: GateSetup| setup.pool_jupyter(&format!("tls = {tls:?}"));
    let scene = RawScene::with(world, hub, port, tls(format!("pin:{pin}")));
    assert_eq!(ask(&scene.gate).ok().text(), "200");
    let scene = scene.replaced(port, tls(ca));
    assert_eq!(ask(&scene.gate).ok().text(), "200");
    assert_eq!(scene.hub.seen().len(), 2);
    scene.gate.stop();
}
