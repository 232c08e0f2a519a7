//! What the gate itself says within a session: notices, refusals, last words.

use super::*;
use crate::ssh::wire::message::channel::{self, ChannelData};

fn message(number: u8, recipient: u32) -> Writer {
    Writer::new(number).u32(recipient)
}

impl Scene {
    /// A shell on a terminal, up to where its output begins.
    async fn open_shell(&mut self) {
        self.open_session().await;
        let pty = message(number::CHANNEL_REQUEST, INSTANCE);
        let pty = pty.string("pty-req").boolean(false).string("xterm");
        let pty = pty.u32(80).u32(24).u32(0).u32(0).string("");
        let shell = message(number::CHANNEL_REQUEST, INSTANCE);
        let shell = shell.string("shell").boolean(false);
        for request in [pty.finish(), shell.finish()] {
            self.client.send(&request).await.unwrap();
            assert_eq!(*self.instance.next().await.unwrap(), request);
        }
    }

    /// The next data for the client's channel, as text.
    async fn shown(&mut self) -> String {
        let message = self.client.next().await.unwrap();
        let data = ChannelData::parse(&message).unwrap();
        assert_eq!(data.recipient, CLIENT);
        String::from_utf8(data.bytes.to_vec()).unwrap()
    }
}

#[tokio::test]
async fn a_line_from_outside_is_shown_and_taken_out_of_the_next_grant() {
    let mut scene = Scene::calm().await;
    scene.open_shell().await;
    scene.mailbox.post("back at noon".into());
    let line = scene.shown().await;
    assert_eq!(line, "\r\npoolgate: back at noon\r\n");
    let granted = line.len() as u32 + 5;
    let grant = channel::window_adjust(INSTANCE, granted);
    scene.client.send(&grant).await.unwrap();
    let heard = scene.instance.next().await.unwrap();
    assert_eq!(*heard, channel::window_adjust(INSTANCE, 5));
}

#[tokio::test]
async fn a_line_waits_for_new_keys() {
    let mut scene = Scene::calm().await;
    scene.open_shell().await;
    // The client begins to renew its keys: the gate may send no data until both are done.
    let client = &mut scene.client;
    let renewed = client
        .transport
        .request_rekey(&mut client.entropy, &mut client.outgoing);
    renewed.unwrap();
    scene.mailbox.post("held".into());
    // Sends what is waiting, and then reads: the exchange, then the line.
    scene.client.send(&data(1, 10)).await.unwrap();
    assert_eq!(scene.shown().await, "\r\npoolgate: held\r\n");
}

#[tokio::test]
async fn an_evicted_person_is_told_in_the_terminal_too() {
    let mut scene = Scene::calm().await;
    scene.open_shell().await;
    scene.evict.cancel();
    let line = scene.shown().await;
    assert!(line.contains("ended by the pool"), "{line}");
    assert!(scene.client.next().await.is_err());
}

#[tokio::test]
async fn a_refused_target_does_not_reach_the_instance() {
    let mut scene = Scene::calm().await;
    let open = Writer::new(number::CHANNEL_OPEN).string("direct-tcpip");
    let open = open.u32(CLIENT).u32(WINDOW).u32(32 * 1024);
    let open = open.string("169.254.169.254").u32(80).string("::1").u32(1);
    scene.client.send(&open.finish()).await.unwrap();
    let refused = scene.client.next().await.unwrap();
    assert_eq!(refused.first(), Some(&number::CHANNEL_OPEN_FAILURE));
    scene.client.send(&data(1, 10)).await.unwrap();
    assert_eq!(*scene.instance.next().await.unwrap(), data(1, 10));
}

#[tokio::test]
async fn a_channel_nobody_confirmed_ends_the_session() {
    let mut scene = Scene::calm().await;
    let early = message(number::CHANNEL_REQUEST, INSTANCE);
    let early = early.string("exec").boolean(true).string("id").finish();
    scene.client.send(&early).await.unwrap();
    let told = scene.client.next().await.unwrap_err().to_string();
    assert!(told.contains("channel 7, which is not open"), "{told}");
    assert!(matches!(scene.ending().await, Ending::ClientBroke(_)));
}

#[tokio::test]
async fn an_idle_session_ends_and_keepalives_do_not_keep_it() {
    let often = Keepalive {
        interval: Duration::from_secs(1),
        unanswered_max: 100,
    };
    let bounds = Bounds {
        idle: Some(Duration::from_millis(1500)),
        session: None,
    };
    let legs = leg_pair(RekeyLimits::default()).await;
    let mut scene = Scene::between(
        legs,
        RekeyLimits::default(),
        Terms {
            bounds,
            ..nothing_but(often)
        },
    )
    .await;
    scene.open_shell().await;
    let mut shown = String::new();
    let goodbye = loop {
        match scene.client.next().await {
            Ok(message) if message.first() == Some(&number::CHANNEL_DATA) => {
                shown += &String::from_utf8_lossy(ChannelData::parse(&message).unwrap().bytes);
            }
            Ok(_) => scene.client.send(&[number::REQUEST_FAILURE]).await.unwrap(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(shown.contains("it is idle"), "{shown}");
    assert!(goodbye.contains("it was idle for 2 seconds"), "{goodbye}");
}

/// Keystroke timing (OpenSSH PROTOCOL section 1.8): pings hide when somebody types on the client's leg, and end there.
#[tokio::test]
async fn a_ping_is_answered_by_the_gate_and_goes_no_further() {
    let mut scene = Scene::calm().await;
    let before = scene.meter.totals();
    for _ in 0..50 {
        let ping = crate::ssh::wire::message::ping(b"PING!");
        scene.client.send(&ping).await.unwrap();
    }
    scene.client.send(&data(1, 10)).await.unwrap();
    // Of 51 messages one reaches the instance.
    assert_eq!(*scene.instance.next().await.unwrap(), data(1, 10));
    scene.instance.send(&data(2, 10)).await.unwrap();
    assert_eq!(*scene.client.next().await.unwrap(), data(2, 10));
    assert!(
        scene.client.transport.peer_supports_ping(),
        "announced in EXT_INFO"
    );
    let after = scene.meter.totals();
    // Each of the answers is a packet of its own, of at least 32 bytes.
    assert!(after.1 - before.1 > 50 * 32, "{before:?} {after:?}");
}
