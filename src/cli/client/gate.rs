//! Which gate is asked: the one at a socket, or one at an address, which wants a token.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hyper::Uri;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use super::token::Token;
use super::{Answer, Question, ask_over};
use crate::cli::Failure;
use crate::cli::args::GateArgs;
use crate::config;
use crate::net::web_tls;

pub enum Gate {
    Socket(PathBuf),
    Address(Remote),
}

/// A gate's admin address.
pub struct Remote {
    /// With the port if it is not the scheme's own, as `Host` has it.
    authority: String,
    /// Bare, also of an IPv6 address.
    host: String,
    port: u16,
    is_tls: bool,
    token: Option<Token>,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Address(remote) => f.write_str(&remote.authority),
        }
    }
}

impl Gate {
    /// Whether it will want to know who asks and is not told.
    pub fn lacks_token(&self) -> bool {
        matches!(self, Self::Address(remote) if remote.token.is_none())
    }

    pub(super) async fn ask(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        match self {
            Self::Socket(socket) => {
                ask_over(connect(socket).await?, "localhost", None, question).await
            }
            Self::Address(remote) => remote.ask(question).await,
        }
    }
}

impl Remote {
    /// What an address like `https://gate.example:9180` means.
    fn at(url: &str) -> anyhow::Result<Self> {
        let wanted = || format!("{url:?} is no gate's address: write https://HOST[:PORT]");
        let uri: Uri = url.parse().with_context(wanted)?;
        let (Some(authority), Some(scheme)) = (uri.authority(), uri.scheme_str()) else {
            bail!(wanted());
        };
        let is_whole = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let is_tls = scheme == "https";
        if !is_whole || authority.as_str().contains('@') || !(is_tls || scheme == "http") {
            bail!(wanted());
        }
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let ip = host.parse::<IpAddr>();
        if !is_tls && host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback()) {
            bail!(
                "{url} would send the token in the clear: write https://, or reach the gate through ssh -L 9180:127.0.0.1:9180 and write http://localhost:9180"
            );
        }
        let usual = if is_tls { 443 } else { 80 };
        Ok(Self {
            authority: authority.to_string(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            is_tls,
            token: None,
        })
    }

    async fn ask(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect((&*self.host, self.port)).await;
        let stream = stream.context("is it running?")?;
        let token = self.token.as_ref();
        if !self.is_tls {
            return ask_over(stream, &self.authority, token, question).await;
        }
        let connector = web_tls::connector(None).map_err(anyhow::Error::msg)?;
        let name = ServerName::try_from(self.host.clone())?;
        let stream = connector.connect(name, stream).await?;
        ask_over(stream, &self.authority, token, question).await
    }
}

async fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    let connected = UnixStream::connect(socket).await;
    connected.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "it is the gate's owner's alone: become that user, or root, or ask at the gate's address with --url and --token-file"
            }
            _ => "is the gate running? name its socket with --socket, its address with --url, or its configuration with -c",
        };
        anyhow::anyhow!("{error}; {hint}")
    })
}

/// `--socket` or `--url`, else `POOLGATE_URL`, else what the configuration says, else, where there is none, the default
/// socket.
pub fn locate(args: &GateArgs) -> Result<Gate, Failure> {
    let variables = config::ClientVariables::own();
    let token_file = args.token_file.clone().or(variables.token_file);
    let with_token = |mut remote: Remote| {
        remote.token = token_file.as_deref().map(Token::read).transpose()?;
        anyhow::Ok(Gate::Address(remote))
    };
    if let Some(socket) = &args.socket {
        return Ok(Gate::Socket(socket.clone()));
    }
    if let Some(url) = args.url.as_deref().or(variables.url.as_deref()) {
        return Ok(with_token(Remote::at(url)?)?);
    }
    let file = config::file_to_read(args.config.config.as_deref());
    let is_chosen = args.config.config.is_some();
    if !is_chosen && std::fs::File::open(&file).is_err() {
        return Ok(Gate::Socket(config::DEFAULT_SOCKET.into()));
    }
    let admin = match config::load(Some(&file)) {
        Ok(config) => config.admin,
        // The gate may be at work with what the file said before.
        Err(faults) => match config::socket_of(&file).filter(|socket| socket.exists()) {
            Some(socket) => return Ok(Gate::Socket(socket)),
            None => return Err(faults.into()),
        },
    };
    match (admin.socket, admin.listen) {
        (Some(socket), _) => Ok(Gate::Socket(socket)),
        (None, Some(address)) => {
            let scheme = if admin.tls.is_some() { "https" } else { "http" };
            // A certificate is for a name, and the first of those is as good as any.
            let host = admin.hosts.first().filter(|_| admin.tls.is_some());
            let authority = match host {
                Some(host) => format!("{host}:{}", address.port()),
                None => address.to_string(),
            };
            Ok(with_token(Remote::at(&format!("{scheme}://{authority}"))?)?)
        }
        (None, None) => {
            let text =
                "the configuration closes both admin.socket and admin.listen: open one of them";
            Err(anyhow::anyhow!(text).into())
        }
    }
}
