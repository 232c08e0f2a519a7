//! The certificates in use: which is shown to whom, and how new files take the place of old ones.
//!
//! Files are looked at every few seconds and taken once they have stood still, so that a chain is not read beside the key
//! of its predecessor. Each pair is judged by itself; one that is not sound changes nothing. Polling is deliberate: it
//! sees renewals through symbolic links and on network file systems, where change notifications stay silent.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::challenges::{ACME_ALPN, Challenges};
use super::expiry::Expiry;
use super::pair::{Pair, TlsError};
use crate::config::CertificateFiles;
use crate::telemetry::metrics::Metrics;

/// Every certificate of the door.
pub struct Certificates {
    /// Whose they are, for metrics.
    door: &'static str,
    shown: RwLock<Shown>,
    kept: Mutex<Kept>,
    pub challenges: Challenges,
    metrics: Metrics,
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
    /// What the files looked like when they were read, and when they were last looked at.
    read: Stamp,
    seen: Stamp,
}

/// Pairs that were read again and are not in use yet, in the order of their files.
pub struct Reread(Vec<(Arc<Pair>, Stamp)>);

/// Changes whenever one of the files does.
type Stamp = Option<[(u64, u64, i64, i64, u64); 3]>;

impl Certificates {
    /// Reads every pair. `issued` joins them, behind those of files.
    ///
    /// # Errors
    /// The first pair that is not sound.
    pub fn read(
        door: &'static str,
        files: &[CertificateFiles],
        issued: Option<Arc<Pair>>,
        metrics: Metrics,
    ) -> Result<Self, TlsError> {
        let read = |files: &CertificateFiles| {
            let read = stamp(files);
            Ok(OfFiles {
                pair: Arc::new(Pair::read(files)?),
                files: files.clone(),
                read,
                seen: read,
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
            (one.pair, one.read, one.seen) = (pair, read, read);
        }
        self.show(&mut kept);
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
        self.reload_where(|one, now| now == one.seen && now != one.read);
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
        let pairs = kept.pairs();
        kept.expiry.look(&pairs, now)
    }

    fn reload_where(&self, is_due: impl Fn(&OfFiles, Stamp) -> bool) {
        let mut kept = self.kept();
        let mut has_changed = false;
        for one in &mut kept.of_files {
            let now = stamp(&one.files);
            if is_due(one, now) {
                // Told once, whatever comes of it.
                one.read = now;
                has_changed |= self.renew(one);
            }
            one.seen = now;
        }
        if has_changed {
            self.show(&mut kept);
        }
    }

    fn renew(&self, one: &mut OfFiles) -> bool {
        let certificate = one.files.certificate.display();
        match renewed(&one.files, &one.pair) {
            Ok(pair) => {
                tracing::info!(%certificate, domains = pair.name(), "the certificate was read again");
                one.pair = Arc::new(pair);
                self.metrics.count_certificate("taken");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the old certificate is kept");
                self.metrics.count_certificate("refused");
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

fn stamp(files: &CertificateFiles) -> Stamp {
    let of = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        // A change of any kind moves the ctime, also where a copy keeps the old mtime.
        Some((
            file.dev(),
            file.ino(),
            file.ctime(),
            file.ctime_nsec(),
            file.size(),
        ))
    };
    let ocsp = files.ocsp_response.as_deref();
    Some([
        of(&files.certificate)?,
        of(&files.private_key)?,
        ocsp.and_then(of).unwrap_or_default(),
    ])
}
