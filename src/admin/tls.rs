//! How the operators' address proves itself to browsers. A reload may give it other files, or take them away; new content of
//! the same files is followed. Who has logged in stays so over all of it.
//!
//! Only HTTP/1 is agreed on: operators are few. The rest is as at the browsers' door.

use std::io;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::CertificateFiles;
use crate::files::FileFaults;
use crate::net::current::Current;
use crate::net::server_tls::store::{Certificates, Reread};
use crate::net::server_tls::{ALPN_H1, TlsError, server_config, watch};
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;

/// Whose certificates they are, for metrics.
const DOOR: &str = "admin";
/// The first byte of whatever TLS sends (RFC 8446 5.1): no word of HTTP begins with it.
const HANDSHAKE: u8 = 22;

/// What the address has by now; cheap to clone.
#[derive(Clone)]
pub struct AdminTls {
    current: Arc<Current<Option<InForce>>>,
    metrics: Metrics,
    faults: FileFaults,
}

/// What takes the place of what is there; dropped, it changes nothing.
pub struct NextTls(Next);

enum Next {
    Nothing,
    /// Of the same files.
    Again(Reread),
    Other(InForce),
}

pub(super) struct InForce {
    files: CertificateFiles,
    certificates: Arc<Certificates>,
    acceptor: TlsAcceptor,
}

/// How somebody began.
pub(super) enum Greeting {
    Tls(Box<TlsStream<TcpStream>>),
    /// Without TLS; nothing is read of it yet.
    Plain(TcpStream),
}

impl AdminTls {
    /// Of an address without TLS.
    pub fn none(metrics: Metrics, faults: FileFaults) -> Self {
        Self {
            current: Current::new(Arc::new(None)),
            metrics,
            faults,
        }
    }

    /// Reads the files; nothing is changed yet.
    ///
    /// # Errors
    /// When the pair is not sound.
    pub fn prepare(&self, files: Option<&CertificateFiles>) -> Result<NextTls, TlsError> {
        let Some(files) = files else {
            return Ok(NextTls(Next::Nothing));
        };
        let current = self.current.get();
        let same = current.as_ref().as_ref().filter(|old| old.files == *files);
        Ok(NextTls(match same {
            Some(old) => Next::Again(old.certificates.read_again()?),
            None => Next::Other(InForce::read(files, &self.metrics, &self.faults)?),
        }))
    }

    /// From here on whoever connects meets what was prepared.
    pub fn change(&self, next: NextTls) {
        let current = self.current.get();
        match (next.0, current.as_ref()) {
            (Next::Nothing, _) => {
                self.current.set(Arc::new(None));
                self.metrics.set_certificate_ends(DOOR, std::iter::empty());
            }
            (Next::Again(reread), Some(old)) => old.certificates.take(reread),
            (Next::Again(_), None) => {}
            (Next::Other(new), _) => {
                new.certificates.show_again();
                self.current.set(Arc::new(Some(new)));
            }
        }
    }

    /// The certificate that operators' browsers are shown.
    pub fn in_use(&self) -> Vec<CertificateDer<'static>> {
        let current = self.current.get();
        let current = current.as_ref().as_ref();
        current
            .map(|tls| tls.certificates.in_use())
            .unwrap_or_default()
    }

    pub(super) fn get(&self) -> Arc<Option<InForce>> {
        self.current.get()
    }

    /// Whether the address proves itself under this host name: then a browser that came by it was not led astray.
    pub(super) fn is_for(&self, name: &str) -> bool {
        let current = self.current.get();
        let certificates = current.as_ref().as_ref().map(|tls| &tls.certificates);
        certificates.is_some_and(|certificates| certificates.is_for(name))
    }

    /// Takes new certificate files as they come, until `ending`.
    pub(super) async fn keep(self, events: Events, ending: CancellationToken) {
        let certificates = || {
            self.get()
                .as_ref()
                .as_ref()
                .map(|tls| tls.certificates.clone())
        };
        ending
            .run_until_cancelled(watch::follow(certificates, &events))
            .await;
    }
}

impl InForce {
    fn read(
        files: &CertificateFiles,
        metrics: &Metrics,
        faults: &FileFaults,
    ) -> Result<Self, TlsError> {
        let listed = std::slice::from_ref(files);
        let told = (metrics.clone(), faults.clone());
        let certificates = Certificates::read(DOOR, listed, None, told)?;
        let certificates = Arc::new(certificates);
        let config = server_config(certificates.clone(), vec![ALPN_H1.to_vec()])?;
        Ok(Self {
            files: files.clone(),
            certificates,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// # Errors
    /// When the handshake fails, or nothing comes.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<Greeting> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match first == [HANDSHAKE] {
            true => {
                let stream = self.acceptor.accept(stream).await?;
                Ok(Greeting::Tls(Box::new(stream)))
            }
            false => Ok(Greeting::Plain(stream)),
        }
    }
}
