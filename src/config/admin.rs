//! From `[admin]` to `AdminConfig`: where operators are answered, and who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::doors::Listening;
use super::raw::Section;
use super::values::{host, listen_address_or_off, path_or_off, word};

/// What `sun_path` holds, unix(7), without its final NUL.
const SOCKET_BYTES_MAX: usize = 107;

#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    pub socket: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    /// Who may log in at the address; nobody without it.
    pub tokens_file: Option<PathBuf>,
    /// Whether metrics are read without a token.
    pub has_open_metrics: bool,
    /// Names under which browsers reach the address, beside this machine's own.
    pub hosts: Vec<String>,
}

pub(super) fn admin(mut section: Section<'_>, listening: &mut Listening) -> AdminConfig {
    let socket = Some(PathBuf::from(super::DEFAULT_SOCKET));
    let listen = Some(SocketAddr::from(([127, 0, 0, 1], 9180)));
    let folder = section.folder();
    let config = AdminConfig {
        socket: section.get_or("socket", socket, path_or_off(folder)),
        listen: section.get_or("listen", listen, listen_address_or_off),
        tokens_file: section.get_or("tokens_file", None, path_or_off(folder)),
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
        if !address.ip().is_loopback() {
            let message = format!(
                "is {address}, which others can reach, and it speaks no TLS; put a proxy with TLS before it (see hosts) and write \"127.0.0.1:9180\""
            );
            section.fault("listen", message);
        }
        listening.take(&section, "listen", address);
    }
    section.finish();
    config
}
