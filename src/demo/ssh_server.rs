//! The SSH server of a demo instance, on russh: certificate logins, sessions, and local port forwarding.
//!
//! Deliberately absent: passwords, plain keys, sftp, agent and X11 forwarding, and the care for stalled channels that a
//! real sshd takes; `poolgate demo --real` has all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, MethodKind, MethodSet, Pty};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::accept::accept_each;
use super::certificate::{self, Permissions};
use super::shell::{self, Account, Backlog, Login};

const LOGIN_GRACE: Duration = Duration::from_secs(30);

/// What every connection of one instance shares.
pub(super) struct SshServer {
    pub instance: String,
    pub authority: PublicKey,
    pub account: Account,
    pub prompt_folder: std::path::PathBuf,
}

impl SshServer {
    /// Serves `listener` until `shutdown`. Tasks that must end before the instance does are put into `tasks`.
    pub(super) async fn run(
        self,
        listener: TcpListener,
        host_key: PrivateKey,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) {
        let config = Arc::new(configuration(host_key));
        let shared = Arc::new(self);
        let (connections, ends) = (tasks.clone(), shutdown.clone());
        accept_each(listener, connections, shutdown, |stream| {
            let ended = ends.child_token();
            let connection = Connection {
                shared: Arc::clone(&shared),
                tasks: tasks.clone(),
                ended: ended.clone(),
                login: None,
                backlog: Backlog::default(),
                is_admitted: Arc::new(AtomicBool::new(false)),
                _end: ended.clone().drop_guard(),
            };
            let config = Arc::clone(&config);
            async move {
                if let Err(error) = converse(config, stream, connection, ended).await {
                    tracing::debug!(%error, "connection ended");
                }
            }
        })
        .await;
    }
}

fn configuration(host_key: PrivateKey) -> Config {
    Config {
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(100),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        inactivity_timeout: None,
        keepalive_interval: None,
        nodelay: true,
        ..Config::default()
    }
}

async fn converse(
    config: Arc<Config>,
    stream: TcpStream,
    connection: Connection,
    ended: CancellationToken,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let is_admitted = Arc::clone(&connection.is_admitted);
    let greeting = russh::server::run_stream(config, stream, connection);
    let session = tokio::time::timeout(LOGIN_GRACE, greeting)
        .await
        .map_err(|_| russh::Error::ConnectionTimeout)??;
    let handle = session.handle();
    let grace = async {
        tokio::time::sleep(LOGIN_GRACE).await;
        if is_admitted.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = session => return ended,
        () = grace => {}
        () = ended.cancelled() => {}
    }
    let text = "the demo instance ends this connection".to_string();
    handle
        .disconnect(Disconnect::ByApplication, text, String::new())
        .await
}

/// One connection.
struct Connection {
    shared: Arc<SshServer>,
    tasks: TaskTracker,
    ended: CancellationToken,
    /// Who is logged in, once somebody is.
    login: Option<Arc<Login>>,
    backlog: Backlog,
    is_admitted: Arc<AtomicBool>,
    /// Ends the channels' processes when russh lets go of the connection, however that comes.
    _end: DropGuard,
}

impl Connection {
    fn permissions(&self) -> Permissions {
        self.login
            .as_ref()
            .map_or_else(Permissions::default, |login| login.permissions.clone())
    }

    fn admit(&mut self, user: &str, certificate: &Certificate) -> Auth {
        let authority: &KeyData = self.shared.authority.key_data();
        match certificate::check(certificate, authority, user, SystemTime::now()) {
            Ok(permissions) => {
                self.login = Some(Arc::new(Login {
                    user: user.into(),
                    instance: self.shared.instance.clone(),
                    permissions,
                    backlog: self.backlog.clone(),
                    account: self.shared.account.clone(),
                    prompt_folder: self.shared.prompt_folder.clone(),
                }));
                self.is_admitted.store(true, Ordering::Release);
                tracing::info!(user, key_id = certificate.key_id(), "logged in");
                Auth::Accept
            }
            Err(denied) => {
                tracing::warn!(user, error = %denied, "login refused");
                Auth::reject()
            }
        }
    }
}

fn answer(session: &mut Session, channel: ChannelId, agreed: bool) -> Result<(), russh::Error> {
    match agreed {
        true => session.channel_success(channel),
        false => session.channel_failure(channel),
    }
}

// Requests are answered here, in order and before the next one is read; `shell` gets the same requests through its channel
// and acts on them.
impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        _offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        // A certificate's own key comes by here first; a plain key is refused once it is proved.
        Ok(Auth::Accept)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        Ok(self.admit(user, certificate))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(login) = &self.login {
            let (login, handle) = (Arc::clone(login), session.handle());
            reply.accept().await;
            let ended = self.ended.clone();
            self.tasks
                .spawn(shell::serve(channel, handle, login, ended));
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(port) = u16::try_from(port)
            .ok()
            .filter(|_| self.permissions().port_forwarding)
        else {
            return Ok(());
        };
        let (host, ended) = (host.to_string(), self.ended.clone());
        // Connecting may take long: not on the connection's own task.
        self.tasks.spawn(async move {
            let Ok(mut stream) = TcpStream::connect((host, port)).await else {
                return reply.reject(ChannelOpenFailure::ConnectFailed).await;
            };
            reply.accept().await;
            let mut channel = channel.into_stream();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut channel, &mut stream) => {}
                () = ended.cancelled() => {}
            }
        });
        Ok(())
    }

    async fn data(
        &mut self,
        _channel: ChannelId,
        _data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.backlog.slow_down().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, self.permissions().pty)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, shell::accepts_variable(name))
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, true)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, true)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, false)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, false)
    }
}

/// Reads the host key, or makes it: it stays the same when the instance is started again.
///
/// # Errors
/// The file cannot be read or written, or holds no key.
pub(super) fn host_key(path: &std::path::Path) -> io::Result<PrivateKey> {
    if !path.exists() {
        super::folder::new_key_file(path, "poolgate demo instance")?;
    }
    PrivateKey::read_openssh_file(path).map_err(io::Error::other)
}

#[cfg(test)]
#[path = "ssh_server/tests.rs"]
mod tests;
