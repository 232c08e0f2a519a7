//! The certificates in use: which is shown to whom, and how new files take the place of old ones.
//!
//! Files are looked at every few seconds and taken once they have stood still, so that a chain is not read beside the key
//! of its predecessor. Each pair is judged by itself; one that is not sound changes nothing. Polling is deliberate: it
//! sees renewals through symbolic links and on network file systems, where change notifications stay silent.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use super::challenges::{ACME_ALPN, Challenges};
use super::pair::{Pair, TlsError};
use crate::config::CertificateFiles;
use crate::files::{FileFaults, Settling, Stamp};
use crate::net::expiry::{Expiry, Kind, Lifetime};
use crate::telemetry::metrics::Metrics;

/// Every certificate of the door.
pub struct Certificates {
    /// Whose they are, for metrics.
    door: &'static str,
    shown: RwLock<Shown>,
    kept: Mutex<Kept>,
    pub challenges: Challenges,
    metrics: Metrics,
    faults: FileFaults,
}

/// What handshakes look into.
#[derive(Default)]
struct Shown {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

struct Kept {
    of_files: Vec<OfFiles>,
    /// The one an authority issues to us.
    issued: Option<Arc<Pair>>,
    expiry: Expiry,
}

struct OfFiles {
    files: CertificateFiles,
    pair: Arc<Pair>,
    settling: Settling<Stamps>,
}

/// Pairs that were read again and are not in use yet, in the order of their files.
pub struct Reread(Vec<(Arc<Pair>, Stamps)>);

/// Of certificate, key and what the authority says of it.
type Stamps = [Option<Stamp>; 3];

impl Certificates {
    /// Reads every pair. `issued` joins them, behind those of files.
    ///
    /// # Errors
    /// The first pair that is not sound.
    pub fn read(
        door: &'static str,
        files: &[CertificateFiles],
        issued: Option<Arc<Pair>>,
        (metrics, faults): (Metrics, FileFaults),
    ) -> Result<Self, TlsError> {
        let read = |files: &CertificateFiles| {
            let read = stamp(files);
            Ok(OfFiles {
                pair: Arc::new(Pair::read(files)?),
                files: files.clone(),
                settling: Settling::new(read),
            })
        };
        let kept = Kept {
            of_files: files.iter().map(read).collect::<Result<_, TlsError>>()?,
            issued,
            expiry: Expiry::default(),
        };
        let certificates = Self {
            door,
            shown: RwLock::default(),
            challenges: Challenges::default(),
            kept: Mutex::new(kept),
            metrics,
            faults,
        };
        certificates.show(&mut certificates.kept());
        Ok(certificates)
    }

    /// Reads every file again and judges it; nothing is changed yet.
    ///
    /// # Errors
    /// The first pair that is not sound, or outside of its time where the one in use is not.
    pub fn read_again(&self) -> Result<Reread, TlsError> {
        let kept = self.kept();
        let read = kept.of_files.iter().map(|one| {
            let read = stamp(&one.files);
            Ok((Arc::new(renewed(&one.files, &one.pair)?), read))
        });
        let read: Result<_, TlsError> = read.collect();
        if read.is_err() {
            self.metrics.count_certificate("refused");
        }
        read.map(Reread)
    }

    /// Takes what `read_again` has found.
    pub fn take(&self, Reread(read): Reread) {
        let mut kept = self.kept();
        for (one, (pair, read)) in kept.of_files.iter_mut().zip(read) {
            (one.pair, one.settling) = (pair, Settling::new(read));
        }
        self.show(&mut kept);
    }

    /// Every certificate that is shown.
    pub fn in_use(&self) -> Vec<CertificateDer<'static>> {
        let pairs = self.kept().pairs();
        pairs
            .iter()
            .filter_map(|pair| pair.own().cloned())
            .collect()
    }

    /// Others have been shown since this was made.
    pub fn show_again(&self) {
        self.show(&mut self.kept());
    }

    /// Whether one of them is for this host name or address.
    pub fn is_for(&self, name: &str) -> bool {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        shown.for_name(name).is_some()
    }

    /// Reads files again that have changed and then stood still since the last look.
    pub fn reload_changed(&self) {
        let mut kept = self.kept();
        let mut has_changed = false;
        for one in &mut kept.of_files {
            // Told once, whatever comes of it.
            if one.settling.has_settled(stamp(&one.files)) {
                has_changed |= self.renew(one);
            }
        }
        if has_changed {
            self.show(&mut kept);
        }
    }

    /// Takes a new certificate from an authority.
    pub fn set_issued(&self, pair: Arc<Pair>) {
        let mut kept = self.kept();
        kept.issued = Some(pair);
        self.show(&mut kept);
    }

    /// Warns of certificates that end soon, and says so in words; to be called now and then.
    pub fn watch_ends(&self, now: SystemTime) -> Vec<String> {
        let mut kept = self.kept();
        let lifetimes: Vec<_> = kept.pairs().iter().map(|pair| lifetime(pair)).collect();
        kept.expiry.look(&lifetimes, now)
    }

    fn renew(&self, one: &mut OfFiles) -> bool {
        let (key, file) = (
            format!("{}.certificate", one.files.key),
            &one.files.certificate,
        );
        match renewed(&one.files, &one.pair) {
            Ok(pair) => {
                tracing::info!(certificate = %file.display(), domains = pair.name(), "the certificate was read again");
                one.pair = Arc::new(pair);
                self.metrics.count_certificate("taken");
                self.faults.take(&key, file);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the old certificate is kept");
                self.metrics.count_certificate("refused");
                self.faults
                    .refuse(&key, file, &error, "the old certificate is kept");
                false
            }
        }
    }

    /// Makes what is kept what is shown.
    fn show(&self, kept: &mut Kept) {
        let pairs = kept.pairs();
        let mut shown = Shown {
            by_name: HashMap::new(),
            first: pairs.first().map(|pair| pair.certified.clone()),
        };
        for pair in &pairs {
            for name in &pair.names {
                let entry = shown.by_name.entry(name.clone());
                entry.or_insert_with(|| pair.certified.clone());
            }
        }
        let ends = pairs.iter().map(|pair| (pair.name(), pair.not_after));
        self.metrics.set_certificate_ends(self.door, ends);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn pairs(&self) -> Vec<Arc<Pair>> {
        let of_files = self.of_files.iter().map(|one| one.pair.clone());
        of_files.chain(self.issued.clone()).collect()
    }
}

impl Shown {
    fn for_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(&name).or_else(wildcard).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        // An authority offers this protocol alone, and nobody else does (RFC 8737 3).
        let mut offered = hello.alpn().into_iter().flatten();
        if offered.next() == Some(ACME_ALPN) && offered.next().is_none() {
            return self.challenges.certificate(name?);
        }
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let named = name.and_then(|name| shown.for_name(name));
        named.or_else(|| shown.first.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// A pair that is outside of its time does not take the place of one that is not.
fn renewed(files: &CertificateFiles, old: &Pair) -> Result<Pair, TlsError> {
    let pair = Pair::read(files)?;
    let now = SystemTime::now();
    if old.is_valid_at(now) && !pair.is_valid_at(now) {
        return Err(TlsError::NotNow {
            certificate: files.certificate.clone(),
            key: format!("{}.certificate", files.key),
        });
    }
    Ok(pair)
}

fn lifetime(pair: &Pair) -> Lifetime {
    Lifetime {
        name: pair.name().to_owned(),
        kind: Kind::Tls,
        begin: pair.not_before,
        end: pair.not_after,
    }
}

fn stamp(files: &CertificateFiles) -> Stamps {
    let ocsp = files.ocsp_response.as_deref();
    [
        Stamp::at(&files.certificate),
        Stamp::at(&files.private_key),
        ocsp.and_then(Stamp::at),
    ]
}
