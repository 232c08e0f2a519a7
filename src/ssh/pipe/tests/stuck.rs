//! Ends that take nothing, or take it slowly: what they may cost, and what they must not lose.

use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use super::*;

/// Longer than a relay that is not stuck would take for anything here.
const STUCK: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(50);

/// OpenSSH PROTOCOL section 1.8.
fn ping() -> Vec<u8> {
    [&[192, 0, 0, 0x20, 0][..], &[7; 0x2000]].concat()
}

#[tokio::test]
async fn a_client_that_asks_and_takes_no_answers_is_not_read_without_end() {
    const FAR_MORE_THAN_SOCKETS_HOLD: usize = 96 * 1024 * 1024;
    let mut scene = Scene::calm().await;
    let mut sent = 0;
    while timeout(STUCK, scene.client.send(&ping())).await.is_ok() {
        sent += ping().len();
        assert!(
            sent < FAR_MORE_THAN_SOCKETS_HOLD,
            "the gate keeps answers to {sent} bytes"
        );
    }
}

#[tokio::test]
async fn an_instance_is_not_taken_for_dead_while_the_client_is_the_one_that_is_stuck() {
    let keepalive = Keepalive {
        interval: Duration::from_secs(1),
        unanswered_max: 1,
    };
    let scene = Scene::new(RekeyLimits::default(), keepalive).await;
    let (mut client, mut instance) = (scene.client, scene.instance);
    // More than the sockets in between take, so that the relay stops reading the instance.
    let mut number = 0;
    while timeout(STUCK, instance.send(&data(number, 32 * 1024)))
        .await
        .is_ok()
    {
        number += 1;
    }
    // The client speaks and does not listen, for longer than a silent leg has.
    for _ in 0..80 {
        client.send(&data(0, 100)).await.unwrap();
        sleep(PACE).await;
    }
    // The one that could not be sent whole stays begun; all before it arrive.
    let mut received = 0;
    while received < number {
        let message = client.next().await.unwrap();
        if message[0] == 94 {
            assert_eq!(*message, data(received, 32 * 1024));
            received += 1;
        }
    }
    assert!(!scene.relay.is_finished());
}

#[tokio::test]
async fn a_slow_client_gets_an_instances_last_output_whole() {
    const PACKETS: u32 = 50;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let dialled = socket.connect(listener.local_addr().unwrap()).await;
    let accepted = listener.accept().await.unwrap().0;
    let ends = legs_over(dialled.unwrap(), accepted, RekeyLimits::default()).await;
    let mut scene = Scene::between(ends, RekeyLimits::default(), nothing_but(CALM)).await;
    for number in 0..PACKETS {
        scene.instance.send(&data(number, 32 * 1024)).await.unwrap();
    }
    drop(scene.instance);
    for number in 0..PACKETS {
        sleep(PACE).await;
        // What it says meanwhile must not turn the close into a reset.
        let adjust = [93, 0, 0, 0, 0, 0, 0, 0x80, 0];
        assert!(scene.client.send(&adjust).await.is_ok(), "after {number}");
        let message = scene.client.next().await;
        assert_eq!(
            *message.unwrap_or_else(|error| panic!("after {number}: {error}")),
            data(number, 32 * 1024)
        );
    }
    let goodbye = scene.client.next().await.unwrap_err().to_string();
    assert!(goodbye.contains("instance vm1"), "{goodbye}");
}

#[tokio::test]
async fn a_client_hears_what_was_wrong_with_what_it_sent() {
    let mut scene = Scene::calm().await;
    scene.client.send(&[number::GLOBAL_REQUEST]).await.unwrap();
    let told = scene.client.next().await.unwrap_err().to_string();
    assert!(told.contains("a malformed message"), "{told}");
    assert!(!told.contains("vm1"), "the instance is well: {told}");
    assert!(matches!(scene.ending().await, Ending::ClientBroke(_)));
}
