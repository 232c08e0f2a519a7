//! TLS to instances: a hub proves itself by an authority's certificate for its address, or by a certificate known beforehand.
//!
//! For whoever speaks HTTP to instances: the relay, and probes. No certificate of our own is shown.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authorities;
use crate::config::InstanceTls;

/// What is wrong with the file of authorities, and what to do; one line each.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{0}")]
    Authorities(String),
    #[error("an authority's certificate is not taken: {0}")]
    Library(#[from] rustls::Error),
}

/// How the hubs of one pool are spoken to; cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    trust: InstanceTls,
    /// What the file of authorities held.
    authorities: Arc<Vec<CertificateDer<'static>>>,
}

/// Whether both trust the same: the file may hold other authorities by now.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        (&self.trust, &self.authorities) == (&other.trust, &other.authorities)
    }
}

impl ClientTls {
    /// # Errors
    /// When a file of authorities cannot be used.
    pub fn new(trust: &InstanceTls) -> Result<Self, TrustError> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let mut listed = Vec::new();
        let config = match trust {
            InstanceTls::Ca(file) => {
                listed = authorities::read(file).map_err(TrustError::Authorities)?;
                let mut roots = RootCertStore::empty();
                for authority in listed.clone() {
                    roots.add(authority)?;
                }
                builder.with_root_certificates(roots)
            }
            InstanceTls::Pins(pins) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned::new(pins, &provider))),
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config.with_no_client_auth())),
            trust: trust.clone(),
            authorities: Arc::new(listed),
        })
    }

    /// `address`: the instance's, without a port; an authority's certificate must be for it.
    ///
    /// # Errors
    /// When the instance proves nothing, or is somebody else.
    pub async fn connect(
        &self,
        address: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(address.to_owned()).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

/// Takes these certificates alone, whoever signed them and whatever they are for; their keys must be proved as ever.
#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn new(pins: &[[u8; 32]], provider: &CryptoProvider) -> Self {
        Self {
            pins: pins.to_vec(),
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        match self.pins.iter().any(|pin| pin == seen.as_ref()) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// An instance at 127.0.0.1 with a certificate for `name`; its authority as PEM, and its fingerprint.
    async fn instance(name: &str) -> (TcpListener, TlsAcceptor, String, [u8; 32]) {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let own = own.signed_by(&key, &ca).unwrap();
        let seen = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, own.der());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (
            listener,
            acceptor,
            ca.pem(),
            seen.as_ref().try_into().unwrap(),
        )
    }

    async fn is_believed(
        trust: &InstanceTls,
        listener: &TcpListener,
        acceptor: &TlsAcceptor,
    ) -> bool {
        let tls = ClientTls::new(trust).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let (_, connected) =
            tokio::join!(acceptor.accept(accepted), tls.connect("127.0.0.1", stream));
        connected.is_ok()
    }

    #[tokio::test]
    async fn an_instance_is_believed_by_its_pin_or_by_its_authority_for_its_address() {
        let (listener, acceptor, ca, pin) = instance("127.0.0.1").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, ca).unwrap();
        let by = async |trust: InstanceTls| is_believed(&trust, &listener, &acceptor).await;
        assert!(by(InstanceTls::Pins(vec![[0; 32], pin])).await);
        assert!(!by(InstanceTls::Pins(vec![[0; 32]])).await);
        assert!(by(InstanceTls::Ca(file.clone())).await);
        let (_, _, other, _) = instance("127.0.0.1").await;
        std::fs::write(&file, other).unwrap();
        assert!(!by(InstanceTls::Ca(file.clone())).await);

        let (listener, acceptor, ca, _) = instance("elsewhere").await;
        std::fs::write(&file, ca).unwrap();
        assert!(!is_believed(&InstanceTls::Ca(file.clone()), &listener, &acceptor).await);
        std::fs::write(&file, "").unwrap();
        let told = ClientTls::new(&InstanceTls::Ca(file)).err().unwrap();
        assert!(
            told.to_string()
                .contains("holds no authority's certificate"),
            "{told}"
        );
    }
}
