//! An independent implementation (russh) as the peer, over an in-memory pipe: it speaks ML-KEM, which the OpenSSH of many
//! machines does not.

use russh::client;
use russh::keys::PrivateKeyWithHashAlg;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::desk::Desk;
use super::*;
use crate::ssh::wire::kex::Kex;

struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// Serves one connection until the client has logged in and asked for a channel.
async fn serve(mut stream: DuplexStream, kex: Kex) -> Desk {
    let kex = vec![kex];
    let mut desk = Desk::new(ServerSettings {
        kex,
        ..server_settings(&[ED25519])
    });
    let mut buffer = [0; 4096];
    while desk.after_login.is_empty() {
        let out = std::mem::take(&mut desk.peer.out);
        stream.write_all(&out).await.unwrap();
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "the client hung up");
        desk.feed(&buffer[..count]).unwrap();
    }
    desk
}

#[tokio::test]
async fn russh_logs_in_by_every_exchange_it_shares() {
    for kex in [Kex::MlKem768X25519, Kex::Curve25519] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = tokio::spawn(serve(far, kex));
        let config = Arc::new(client::Config::default());
        let mut handle = client::connect_stream(config, near, Trusting)
            .await
            .unwrap();
        let key = Arc::new(russh::keys::PrivateKey::from_openssh(ED25519).unwrap());
        let key = PrivateKeyWithHashAlg::new(key, None);
        assert!(
            handle
                .authenticate_publickey("alice", key)
                .await
                .unwrap()
                .success()
        );
        let opening = tokio::spawn(async move { handle.channel_open_session().await.is_ok() });
        let desk = server.await.unwrap();
        assert_eq!(desk.peer.transport.algorithms().unwrap().kex, kex);
        assert_eq!(desk.proven.unwrap().user(), "alice");
        opening.abort();
    }
}
