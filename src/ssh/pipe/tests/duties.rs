//! What the gate itself says in a session: proofs of its host keys in their turn, a variable before commands.

use super::*;
use crate::ssh::client_env::ClientEnv;
use crate::ssh::entropy::SystemEntropy;
use crate::ssh::host_identity::{HostIdentity, Prover};
use crate::ssh::wire::keys::{SigAlg, verify};
use crate::ssh::wire::message::{Reader, host_key_proof_data};

async fn scene(duties: Terms) -> Scene {
    let rekey = RekeyLimits::default();
    Scene::between(leg_pair(rekey).await, rekey, duties).await
}

#[tokio::test]
async fn the_gate_proves_its_own_keys_in_their_turn_and_not_for_ever() {
    let key = PrivateKey::generate_ed25519(&mut SystemEntropy::default()).unwrap();
    let blob = key.public_blob().to_vec();
    let identity = Arc::new(HostIdentity::of_key(key));
    let mut duties = nothing_but(CALM);
    duties.prover = Some(Prover::new(identity));
    let refusals = duties.refusals.clone();
    let mut scene = scene(duties).await;
    let prove = Writer::new(number::GLOBAL_REQUEST)
        .string("hostkeys-prove-00@openssh.com")
        .boolean(true)
        .string(&blob)
        .finish();
    let forward = global_request("forward-it@example.org", true);
    scene.client.send(&forward).await.unwrap();
    for _ in 0..6 {
        scene.client.send(&prove).await.unwrap();
    }
    scene.client.send(&forward).await.unwrap();
    assert_eq!(*scene.instance.next().await.unwrap(), forward);
    assert_eq!(*scene.instance.next().await.unwrap(), forward);
    scene.instance.send(&[81, 0, 0, 0, 7]).await.unwrap();
    scene.instance.send(&[82]).await.unwrap();

    assert_eq!(*scene.client.next().await.unwrap(), [81, 0, 0, 0, 7]);
    // Over the client's session, which is not the instance's.
    let session = scene.client.transport.session_id().unwrap().to_vec();
    assert_ne!(Some(&session[..]), scene.instance.transport.session_id());
    for _ in 0..4 {
        let answer = scene.client.next().await.unwrap();
        let mut reader = Reader::of(&answer, number::REQUEST_SUCCESS).unwrap();
        let signature = reader.string(1024).unwrap();
        let data = host_key_proof_data(&session, &blob);
        verify(&blob, SigAlg::Ed25519, &data, signature).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(*scene.client.next().await.unwrap(), [82]);
    }
    // The third 82 is the instance's own.
    let counted = refusals.counts().get("host-key-proof").copied();
    assert_eq!(counted, Some(2));
}

#[tokio::test]
async fn the_variable_comes_right_before_the_command_and_nothing_loses_its_place() {
    let mut duties = nothing_but(CALM);
    duties.client_env = Some(ClientEnv::new("CLIENT", "192.0.2.7".parse().unwrap()));
    let mut scene = scene(duties).await;
    scene.open_session().await;
    let request = |kind: &str| {
        let message = Writer::new(number::CHANNEL_REQUEST).u32(7).string(kind);
        message.boolean(true)
    };
    let env = |want_reply: bool, value: &str| {
        let message = Writer::new(number::CHANNEL_REQUEST).u32(7).string("env");
        let message = message.boolean(want_reply).string("CLIENT");
        message.string(value).finish()
    };
    let exec = request("exec").string("ls").finish();
    let terminal = request("terminal@example.org").finish();
    let sent = [
        data(0, 900),
        terminal.clone(),
        env(true, "a lie"),
        data(1, 900),
        exec.clone(),
        data(2, 900),
    ];
    // In one write, so that they are one batch.
    for message in &sent {
        let leg = &mut scene.client;
        let (entropy, out) = (&mut leg.entropy, &mut leg.outgoing);
        leg.transport.send(message, entropy, out).unwrap();
    }
    scene.client.send(&data(3, 900)).await.unwrap();
    let expected = [
        data(0, 900),
        terminal,
        env(true, "192.0.2.7"),
        data(1, 900),
        env(false, "192.0.2.7"),
        exec,
        data(2, 900),
        data(3, 900),
    ];
    for message in expected {
        assert_eq!(*scene.instance.next().await.unwrap(), message);
    }
    // What the instance asks of channels is no business of the gate's.
    let status = Writer::new(number::CHANNEL_REQUEST).u32(CLIENT);
    let status = status.string("exec").boolean(false).finish();
    scene.instance.send(&status).await.unwrap();
    assert_eq!(*scene.client.next().await.unwrap(), status);
}
