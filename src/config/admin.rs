//! From `[admin]` to `AdminConfig`: where operators are answered, and who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::CertificateFiles;
use super::certificates;
use super::doors::{Faulty, Listening};
use super::oidc::{self, OidcConfig};
use super::raw::Section;
use super::values::{host, listen_address_or_off, path_or_off, word};

/// What `sun_path` holds, unix(7), without its final NUL.
const SOCKET_BYTES_MAX: usize = 107;

#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    pub socket: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    /// What the address proves itself with; without it plain HTTP is spoken, and that on loopback alone.
    pub tls: Option<CertificateFiles>,
    /// Who may log in at the address; nobody without it.
    pub tokens_file: Option<PathBuf>,
    /// Who else says who somebody is.
    pub oidc: Option<OidcConfig>,
    /// Whether metrics are read without a token.
    pub has_open_metrics: bool,
    /// Names under which browsers reach the address, beside this machine's own.
    pub hosts: Vec<String>,
}

pub(super) fn admin(
    mut section: Section<'_>,
    listening: &mut Listening,
) -> Result<AdminConfig, Faulty> {
    let socket = Some(PathBuf::from(super::DEFAULT_SOCKET));
    let listen = Some(SocketAddr::from(([127, 0, 0, 1], 9180)));
    let folder = section.folder();
    let tls = tls(section.section("tls"));
    let config = AdminConfig {
        socket: section.get_or("socket", socket, path_or_off(folder)),
        listen: section.get_or("listen", listen, listen_address_or_off),
        tls: None,
        tokens_file: section.get_or("tokens_file", None, path_or_off(folder)),
        oidc: None,
        has_open_metrics: section.get_or(
            "metrics",
            true,
            word(&[("open", true), ("token", false)]),
        ),
        hosts: section.list("hosts", host).unwrap_or_default(),
    };
    if !config.has_open_metrics && config.tokens_file.is_none() {
        let message = "is \"token\", and there are none; write tokens_file = \"/etc/poolgate/admin.tokens\", or \"open\"";
        section.fault("metrics", message);
    }
    let socket_bytes = config
        .socket
        .as_ref()
        .map_or(0, |path| path.as_os_str().len());
    if socket_bytes > SOCKET_BYTES_MAX {
        let message = format!(
            "is a path of {socket_bytes} bytes, and a socket's holds {SOCKET_BYTES_MAX}; write a shorter one"
        );
        section.fault("socket", message);
    }
    if let Some(address) = config.listen {
        let speaks_plainly = matches!(&tls, Ok(None));
        if speaks_plainly && !address.ip().is_loopback() {
            let message = format!(
                "is {address}, which others can reach, and it speaks no TLS; write [admin.tls] with certificate = \"/etc/poolgate/tls/fullchain.pem\" and private_key = \"/etc/poolgate/tls/privkey.pem\", or put a proxy with TLS before it (see hosts) and write \"127.0.0.1:9180\""
            );
            section.fault("listen", message);
        }
        listening.take(&section, "listen", address);
    }
    let address = oidc::Address {
        listen: config.listen,
        hosts: &config.hosts,
        has_tls: !matches!(&tls, Ok(None)),
    };
    let oidc = oidc::oidc(section.section("oidc"), &address);
    section.finish();
    Ok(AdminConfig {
        tls: tls?,
        oidc: oidc?,
        ..config
    })
}

fn tls(mut section: Section<'_>) -> Result<Option<CertificateFiles>, Faulty> {
    if !section.is_present() {
        return Ok(None);
    }
    let pair = certificates::pair(&mut section, false);
    section.finish();
    pair
}
