//! The relay between a scripted client and a scripted instance, both on our own engine over loopback sockets.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::end::BATCH;
use super::*;
use crate::ssh::wire::cipher::{Cipher, Mac};
use crate::ssh::wire::keys::PrivateKey;
use crate::ssh::wire::message::channel::ChannelOpen;
use crate::ssh::wire::message::{Writer, number};
use crate::ssh::wire::packet::RekeyLimits;
use crate::ssh::wire::transport::{ClientSettings, Event, ServerSettings, Transport};

const PATIENCE: Duration = Duration::from_secs(20);

/// The client's channel 3 is the instance's 7.
const CLIENT: u32 = 3;
const INSTANCE: u32 = 7;
const WINDOW: u32 = 1 << 20;

/// A relay with a person's client on one end and an instance on the other.
struct Scene {
    client: Leg,
    instance: Leg,
    meter: Arc<Meter>,
    mailbox: Arc<Mailbox>,
    evict: CancellationToken,
    relay: tokio::task::JoinHandle<Ending>,
}

impl Scene {
    async fn new(rekey: RekeyLimits, keepalive: Keepalive) -> Self {
        Self::between(leg_pair(rekey).await, rekey, nothing_but(keepalive)).await
    }

    async fn between(client: (Leg, Leg), rekey: RekeyLimits, terms: Terms) -> Self {
        Self::across(client, leg_pair(rekey).await, terms)
    }

    fn across(
        (client, gate_to_client): (Leg, Leg),
        (gate_to_instance, instance): (Leg, Leg),
        terms: Terms,
    ) -> Self {
        Self {
            client,
            instance,
            meter: terms.meter.clone(),
            mailbox: terms.mailbox.clone(),
            evict: terms.evicted.clone(),
            relay: tokio::spawn(run(gate_to_client, gate_to_instance, terms)),
        }
    }

    async fn calm() -> Self {
        Self::new(RekeyLimits::default(), CALM).await
    }

    /// A session channel that the instance has confirmed.
    async fn open_session(&mut self) {
        let open = Writer::new(number::CHANNEL_OPEN).string("session");
        let open = open.u32(CLIENT).u32(WINDOW).u32(32 * 1024);
        self.client.send(&open.finish()).await.unwrap();
        let opened = self.instance.next().await.unwrap();
        let told = ChannelOpen::parse(&opened).unwrap().window;
        assert!((WINDOW - 4096..WINDOW).contains(&told), "{told}");
        let confirm = Writer::new(number::CHANNEL_OPEN_CONFIRMATION).u32(CLIENT);
        let confirm = confirm.u32(INSTANCE).u32(WINDOW).u32(32 * 1024).finish();
        self.instance.send(&confirm).await.unwrap();
        assert_eq!(*self.client.next().await.unwrap(), confirm);
    }

    /// Both sides hang up, as ssh and sshd do once they have been told.
    async fn ending(self) -> Ending {
        drop((self.client, self.instance));
        tokio::time::timeout(PATIENCE, self.relay)
            .await
            .expect("the relay ends")
            .unwrap()
    }
}

fn nothing_but(keepalive: Keepalive) -> Terms {
    Terms {
        instance_name: "vm1".into(),
        meter: Arc::default(),
        refusals: Arc::default(),
        keepalive,
        channels: Channels::default(),
        recorder: None,
        bounds: Bounds::default(),
        prover: None,
        client_env: None,
        mailbox: Arc::default(),
        evicted: CancellationToken::new(),
        gate_ends: CancellationToken::new(),
    }
}

const CALM: Keepalive = Keepalive {
    interval: Duration::from_secs(3600),
    unanswered_max: 3,
};

/// A client-role leg and a server-role leg that have agreed on keys.
async fn leg_pair(rekey: RekeyLimits) -> (Leg, Leg) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    legs_over(dialled.unwrap(), accepted.unwrap().0, rekey).await
}

async fn legs_over(dialled: TcpStream, accepted: TcpStream, rekey: RekeyLimits) -> (Leg, Leg) {
    let settings = ClientSettings {
        rekey,
        ..ClientSettings::default()
    };
    legs_with(dialled, accepted, settings).await
}

async fn legs_with(
    dialled: TcpStream,
    accepted: TcpStream,
    settings: ClientSettings,
) -> (Leg, Leg) {
    let rekey = settings.rekey;
    let mut client = Leg::new(dialled, |entropy, now, out| {
        Transport::client(Arc::new(settings), entropy, now, out)
    })
    .unwrap();
    let mut server = Leg::new(accepted, |entropy, now, out| {
        let key = PrivateKey::generate_ed25519(entropy).unwrap();
        let mut settings = ServerSettings::new(Arc::new(vec![key]));
        settings.rekey = rekey;
        Transport::server(Arc::new(settings), entropy, now, out)
    })
    .unwrap();
    let (one, other) = tokio::join!(client.established(), server.established());
    one.unwrap();
    other.unwrap();
    client.transport.authenticated();
    server.transport.authenticated();
    (client, server)
}

/// CHANNEL_DATA for channel 0 with a running number and filling, so that order and content can be checked.
fn data(number: u32, length: usize) -> Vec<u8> {
    let mut payload = vec![94, 0, 0, 0, 0];
    payload.extend_from_slice(&number.to_be_bytes());
    payload.resize(length, number as u8);
    payload
}

fn global_request(name: &str, want_reply: bool) -> Vec<u8> {
    Writer::new(number::GLOBAL_REQUEST)
        .string(name)
        .boolean(want_reply)
        .finish()
}

#[tokio::test]
async fn packets_pass_both_ways_unread_and_in_order() {
    let mut scene = Scene::calm().await;
    for number in 0..50 {
        scene.client.send(&data(number, 100)).await.unwrap();
        scene.instance.send(&data(number, 200)).await.unwrap();
    }
    // A message number from the protocol's free range.
    scene.client.send(&[127, 1, 2, 3]).await.unwrap();
    for number in 0..50 {
        assert_eq!(*scene.instance.next().await.unwrap(), data(number, 100));
        assert_eq!(*scene.client.next().await.unwrap(), data(number, 200));
    }
    assert_eq!(*scene.instance.next().await.unwrap(), [127, 1, 2, 3]);
    assert!(scene.meter.totals().0 > 50 * 100);
}

/// Each leg has a cipher of its own, and tags and padding of other lengths: sealing a packet where it came must leave the
/// next one alone.
#[tokio::test]
async fn packets_that_come_together_pass_between_all_ciphers() {
    let ctr = Mac::ALL.map(|mac| (Cipher::Aes128Ctr, mac));
    let aead = [Cipher::Aes128Gcm, Cipher::Chacha20Poly1305].map(|c| (c, Mac::HmacSha256));
    let all = [&ctr[..], &aead].concat();
    for one in &all {
        for other in &all {
            let mut scene = Scene::across(
                speaking(*one).await,
                speaking(*other).await,
                nothing_but(CALM),
            );
            // Small ones, all lengths of padding; one write each way brings them all.
            let packets: Vec<_> = (0..64).map(|n| data(n, 9 + n as usize)).collect();
            send_together(&mut scene.client, &packets).await;
            send_together(&mut scene.instance, &packets).await;
            for packet in &packets {
                assert_eq!(
                    *scene.instance.next().await.unwrap(),
                    *packet,
                    "{one:?} {other:?}"
                );
                assert_eq!(
                    *scene.client.next().await.unwrap(),
                    *packet,
                    "{one:?} {other:?}"
                );
            }
        }
    }
}

async fn speaking((cipher, mac): (Cipher, Mac)) -> (Leg, Leg) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let settings = ClientSettings {
        ident: "SSH-2.0-other".to_owned(),
        ciphers: vec![cipher],
        macs: vec![mac],
        ..ClientSettings::default()
    };
    legs_with(dialled.unwrap(), accepted.unwrap().0, settings).await
}

async fn send_together(leg: &mut Leg, packets: &[Vec<u8>]) {
    let (last, others) = packets.split_last().unwrap();
    for packet in others {
        let sent = leg
            .transport
            .send(packet, &mut leg.entropy, &mut leg.outgoing);
        sent.unwrap();
    }
    leg.send(last).await.unwrap();
}

#[tokio::test]
async fn host_keys_of_an_instance_are_not_announced_and_answers_keep_their_order() {
    let mut scene = Scene::calm().await;
    scene
        .instance
        .send(&global_request("hostkeys-00@openssh.com", false))
        .await
        .unwrap();
    // The second of three requests is answered by the gate, and only when its turn comes.
    let forward = global_request("asked@example.org", true);
    scene.client.send(&forward).await.unwrap();
    scene
        .client
        .send(&global_request("hostkeys-prove-00@openssh.com", true))
        .await
        .unwrap();
    scene.client.send(&forward).await.unwrap();
    assert_eq!(*scene.instance.next().await.unwrap(), forward);
    assert_eq!(*scene.instance.next().await.unwrap(), forward);
    scene.instance.send(&[81, 0, 0, 0, 7]).await.unwrap();
    scene.instance.send(&[81, 0, 0, 0, 8]).await.unwrap();
    assert_eq!(*scene.client.next().await.unwrap(), [81, 0, 0, 0, 7]);
    assert_eq!(*scene.client.next().await.unwrap(), [82]);
    assert_eq!(*scene.client.next().await.unwrap(), [81, 0, 0, 0, 8]);
}

#[tokio::test]
async fn a_silent_leg_is_asked_and_then_given_up() {
    let keepalive = Keepalive {
        interval: Duration::from_secs(1),
        unanswered_max: 1,
    };
    let mut scene = Scene::new(RekeyLimits::default(), keepalive).await;
    // The client answers once; its answer is the gate's, not the instance's.
    let asked = scene.client.next().await.unwrap();
    assert_eq!(*asked, global_request("keepalive@openssh.com", true));
    scene.client.send(&[number::REQUEST_FAILURE]).await.unwrap();
    let asked = scene.instance.next().await.unwrap();
    assert_eq!(*asked, global_request("keepalive@openssh.com", true));
    // The instance says nothing more; the client is told.
    let told = loop {
        match scene.client.next().await {
            Ok(_) => scene.client.send(&[number::REQUEST_FAILURE]).await.unwrap(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(told.contains("vm1"), "{told}");
    let ending = scene.ending().await;
    assert_eq!(ending, Ending::InstanceBroke("no sign of life".to_owned()));
}

#[tokio::test]
async fn a_dead_instance_loses_none_of_its_last_bytes() {
    let mut scene = Scene::calm().await;
    for number in 0..200 {
        scene.instance.send(&data(number, 32 * 1024)).await.unwrap();
        if number < 20 {
            // Let some through before the end.
            assert_eq!(*scene.client.next().await.unwrap(), data(number, 32 * 1024));
        }
        if number == 60 {
            break;
        }
    }
    drop(scene.instance);
    for number in 20..=60 {
        assert_eq!(*scene.client.next().await.unwrap(), data(number, 32 * 1024));
    }
    let goodbye = scene.client.next().await.unwrap_err().to_string();
    assert!(
        goodbye.contains("instance vm1 closed the connection"),
        "{goodbye}"
    );
}

#[tokio::test]
async fn goodbyes_are_passed_on_in_their_words() {
    let scene = Scene::calm().await;
    scene
        .client
        .disconnect(
            DisconnectCode::ByApplication,
            "disconnected by user",
            LINGER,
        )
        .await;
    let mut instance = scene.instance;
    let heard = instance.next().await.unwrap_err().to_string();
    assert!(heard.contains("disconnected by user"), "{heard}");
}

#[tokio::test]
async fn an_evicted_person_hears_why() {
    let mut scene = Scene::calm().await;
    scene.evict.cancel();
    let told = scene.client.next().await.unwrap_err().to_string();
    assert!(told.contains("ended by the pool"), "{told}");
    assert!(matches!(scene.ending().await, Ending::Evicted(_)));
}

/// The case in which a relay locks up if it ever waits for one side only: both legs full in both directions, and every
/// leg renewing its keys all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_way_bulk_across_rekeys_of_both_legs_arrives_whole() {
    const PACKETS: u32 = 4096;
    let often = RekeyLimits {
        bytes: 4 * 1024 * 1024,
        ..RekeyLimits::default()
    };
    let scene = Scene::new(often, CALM).await;
    let ends = [scene.client, scene.instance].map(|leg| tokio::spawn(exchange(leg, PACKETS)));
    // Kept until both have everything: the relay ends with the first who leaves.
    let mut kept = Vec::new();
    for end in ends {
        let exchanged = tokio::time::timeout(PATIENCE * 3, end).await;
        let (received, leg) = exchanged.expect("no lock-up").unwrap();
        assert_eq!(received, PACKETS);
        kept.push(leg);
    }
}

/// Sends numbered packets and reads as many, whichever is possible; returns how many came, each checked.
async fn exchange(leg: Leg, packets: u32) -> (u32, Leg) {
    let now = Instant::now();
    let mut end = End::new(leg, now);
    let (mut sent, mut received) = (0, 0);
    let mut input = Vec::new();
    let meter = Meter::default();
    while sent < packets || received < packets || !end.is_flushed() {
        while sent < packets
            && end.leg.outgoing.len() - end.leg.sent < BATCH
            && !end.leg.transport.is_rekeying()
        {
            end.send(&data(sent, 32 * 1024)).unwrap();
            sent += 1;
        }
        tokio::select! {
            _ = end.leg.stream.readable() => end.read(&mut input, Side::Client, &meter).unwrap(),
            _ = end.leg.stream.writable(), if !end.is_flushed() => {
                end.write_what_fits(&[]).unwrap();
                continue;
            }
        }
        let mut rest = &mut input[..];
        loop {
            let leg = &mut end.leg;
            let step = leg
                .transport
                .receive(rest, &mut leg.entropy, now, &mut leg.outgoing)
                .unwrap();
            let consumed = step.consumed;
            match step.event {
                Event::NeedMore => break,
                Event::Message(payload) => {
                    assert_eq!(payload, data(received, 32 * 1024));
                    received += 1;
                }
                _ => {}
            }
            rest = &mut rest[consumed..];
        }
        end.leg.incoming.extend_from_slice(rest);
    }
    (received, end.leg)
}

mod duties;
mod stuck;
mod words;
