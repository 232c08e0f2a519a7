//! The demo instance's SSH server, driven by russh's client over a real socket.

use std::time::Duration;

use russh::client;
use russh::keys::ssh_key::certificate::Builder;
use russh::{ChannelMsg, ChannelWriteHalf, Sig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::certificate::tests::{issue, new_key};
use super::*;

struct AnyHost;

impl client::Handler for AnyHost {
    type Error = russh::Error;
    async fn check_server_key(
        &mut self,
        _key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

struct Instance {
    port: u16,
    authority: PrivateKey,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    _folder: tempfile::TempDir,
}

impl Instance {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = new_key();
        let server = SshServer {
            instance: "demo-7".into(),
            authority: authority.public_key().clone(),
            account: Account {
                shell: "/bin/sh".into(),
                home: folder.path().into(),
                path: "/usr/bin:/bin".into(),
            },
            prompt_folder: folder.path().into(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let host_key = host_key(&folder.path().join("host_key")).unwrap();
        tasks.spawn(server.run(listener, host_key, tasks.clone(), shutdown.clone()));
        Self {
            port,
            authority,
            shutdown,
            tasks,
            _folder: folder,
        }
    }

    async fn connect(&self) -> client::Handle<AnyHost> {
        let config = Arc::new(client::Config::default());
        client::connect(config, ("127.0.0.1", self.port), AnyHost)
            .await
            .unwrap()
    }

    /// A connection logged in as ada.
    async fn login(&self, alter: impl FnOnce(&mut Builder)) -> client::Handle<AnyHost> {
        let key = new_key();
        let certificate = issue(&key, &self.authority, "ada", alter);
        let mut connection = self.connect().await;
        let result = connection.authenticate_openssh_cert("ada", Arc::new(key), certificate);
        assert!(result.await.unwrap().success());
        connection
    }
}

/// What came out of a channel until it closed.
#[derive(Debug, Default)]
struct Outcome {
    output: Vec<u8>,
    errors: Vec<u8>,
    status: Option<u32>,
    signal: Option<String>,
    failures: u32,
}

impl Outcome {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

async fn drain(mut channel: russh::ChannelReadHalf) -> Outcome {
    let mut outcome = Outcome::default();
    let read = async {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => outcome.output.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => outcome.errors.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => outcome.status = Some(exit_status),
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    outcome.signal = Some(format!("{signal_name:?}"))
                }
                ChannelMsg::Failure => outcome.failures += 1,
                _ => {}
            }
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, read)
        .await
        .expect("the channel never closed");
    outcome
}

async fn exec(connection: &client::Handle<AnyHost>, command: &str) -> Outcome {
    let channel = connection.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    let (reader, writer) = channel.split();
    writer.eof().await.unwrap();
    drain(reader).await
}

#[tokio::test]
async fn only_a_certificate_of_the_pool_logs_in() {
    let instance = Instance::start().await;
    let key = Arc::new(new_key());
    let plain = russh::keys::PrivateKeyWithHashAlg::new(Arc::clone(&key), None);
    let mut connection = instance.connect().await;
    assert!(
        !connection
            .authenticate_publickey("ada", plain)
            .await
            .unwrap()
            .success()
    );
    for (signer, user) in [(&new_key(), "ada"), (&instance.authority, "eve")] {
        let certificate = issue(&key, signer, "ada", |_| {});
        let mut connection = instance.connect().await;
        let answer = connection.authenticate_openssh_cert(user, Arc::clone(&key), certificate);
        assert!(!answer.await.unwrap().success(), "{user}");
    }
    instance.login(|_| {}).await;
}

#[tokio::test]
async fn a_command_keeps_its_streams_status_and_environment() {
    let instance = Instance::start().await;
    let connection = instance.login(|_| {}).await;
    let outcome = exec(
        &connection,
        "echo $USER on $POOLGATE_INSTANCE; echo oops >&2; exit 3",
    )
    .await;
    assert_eq!(outcome.text(), "ada on demo-7\n");
    assert_eq!(outcome.errors, b"oops\n");
    assert_eq!(outcome.status, Some(3));
    let killed = exec(&connection, "kill -9 $$").await;
    assert_eq!(
        (killed.signal.as_deref(), killed.status),
        (Some("KILL"), None)
    );
}

#[tokio::test]
async fn bulk_goes_both_ways_through_one_channel() {
    let instance = Instance::start().await;
    let connection = instance.login(|_| {}).await;
    let channel = connection.channel_open_session().await.unwrap();
    channel.exec(true, "cat").await.unwrap();
    let (reader, writer) = channel.split();
    let sent: Vec<u8> = (0..32_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let feed = async {
        writer.data(&sent[..]).await.unwrap();
        writer.eof().await.unwrap();
    };
    let ((), outcome) = tokio::join!(feed, drain(reader));
    assert!(
        outcome.output == expected,
        "{} bytes came back",
        outcome.output.len()
    );
    assert_eq!(outcome.status, Some(0));
}

async fn shell(
    connection: &client::Handle<AnyHost>,
) -> (russh::ChannelReadHalf, ChannelWriteHalf<client::Msg>) {
    let channel = connection.channel_open_session().await.unwrap();
    channel
        .request_pty(true, "xterm", 91, 33, 0, 0, &[])
        .await
        .unwrap();
    channel.request_shell(true).await.unwrap();
    channel.split()
}

#[tokio::test]
async fn a_shell_has_a_real_terminal() {
    let instance = Instance::start().await;
    let connection = instance.login(|_| {}).await;
    let (reader, writer) = shell(&connection).await;
    writer
        .data(&b"tty; stty size; echo $TERM; exit 5\n"[..])
        .await
        .unwrap();
    let outcome = drain(reader).await;
    let text = outcome.text();
    assert!(
        text.contains("ada@demo-7 $ "),
        "the prompt names the instance: {text}"
    );
    assert!(text.contains("/dev/pts/"), "{text}");
    assert!(text.contains("33 91") && text.contains("xterm"), "{text}");
    assert_eq!(outcome.status, Some(5));
}

#[tokio::test]
async fn a_terminal_follows_the_window_and_passes_signals() {
    let instance = Instance::start().await;
    let connection = instance.login(|_| {}).await;
    let (mut reader, writer) = shell(&connection).await;
    let script = b"echo rea''dy; until stty size | grep '45 123'; do sleep 0.05; done; exit 6\n";
    writer.data(&script[..]).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("ready") {
        if let Some(ChannelMsg::Data { data }) = reader.wait().await {
            seen += &String::from_utf8_lossy(&data);
        }
    }
    writer.window_change(123, 45, 0, 0).await.unwrap();
    let outcome = drain(reader).await;
    assert_eq!(outcome.status, Some(6), "{outcome:?}");

    let channel = connection.channel_open_session().await.unwrap();
    channel
        .exec(true, "echo on; exec sleep 1000")
        .await
        .unwrap();
    let (mut reader, writer) = channel.split();
    while !matches!(reader.wait().await, Some(ChannelMsg::Data { .. })) {}
    writer.signal(Sig::TERM).await.unwrap();
    assert_eq!(drain(reader).await.signal.as_deref(), Some("TERM"));
}

#[tokio::test]
async fn a_certificate_limits_what_its_holder_does() {
    let instance = Instance::start().await;
    let forced = |b: &mut Builder| {
        b.critical_option("force-command", "echo forced: $SSH_ORIGINAL_COMMAND")
            .unwrap();
    };
    let connection = instance.login(forced).await;
    let outcome = exec(&connection, "rm -rf something").await;
    assert_eq!(outcome.text(), "forced: rm -rf something\n");
    let channel = connection.channel_open_session().await.unwrap();
    channel.request_subsystem(true, "sftp").await.unwrap();
    let (mut reader, _writer) = channel.split();
    while !matches!(reader.wait().await, Some(ChannelMsg::Failure)) {}
}

#[tokio::test]
async fn a_port_is_forwarded() {
    let instance = Instance::start().await;
    let connection = instance.login(|_| {}).await;
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(target.local_addr().unwrap().port());
    let channel = connection.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1);
    let (channel, accepted) = tokio::join!(channel, target.accept());
    let (mut near, (mut far, _)) = (channel.unwrap().into_stream(), accepted.unwrap());
    near.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    // A port where nobody listens is refused, and the connection lives on.
    let dead = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = connection.channel_open_direct_tcpip("127.0.0.1", dead.port().into(), "x", 1);
    assert!(refused.await.is_err());
    assert_eq!(exec(&connection, "true").await.status, Some(0));
}

#[tokio::test]
async fn a_lost_client_takes_its_processes_along() {
    let instance = Instance::start().await;
    let connection = instance.login(|_| {}).await;
    let channel = connection.channel_open_session().await.unwrap();
    channel
        .exec(true, "echo $$; exec sleep 1000")
        .await
        .unwrap();
    let (mut reader, _writer) = channel.split();
    let pid = loop {
        if let Some(ChannelMsg::Data { data }) = reader.wait().await {
            break String::from_utf8_lossy(&data).trim().to_string();
        }
    };
    let process = std::path::Path::new("/proc").join(pid);
    assert!(process.exists());
    drop((reader, connection));
    instance.shutdown.cancel();
    instance.tasks.close();
    let ended = tokio::time::timeout(Duration::from_secs(20), instance.tasks.wait());
    ended.await.expect("the instance did not come to rest");
    // Killed, it is gone once the kernel and the runtime have got round to it.
    let gone = async {
        while process.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    gone.expect("its process lives on");
}

#[test]
fn a_host_key_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let first = host_key(&path).unwrap();
    assert_eq!(host_key(&path).unwrap().public_key(), first.public_key());
}
