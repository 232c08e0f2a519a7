//! When a changed key counts, for every key there is: what `poolgate check --diff` and a reload say of a change, and the reference of
//! keys says of each.
//!
//! Used by tests of the papers too, without the rest of the program, so it knows nothing but names.

/// When another value counts, once it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// For everybody, without ending anything.
    AtOnce,
    /// For those who come from then on; sessions go on as they began.
    NewConnections,
    /// Listeners open and close; what is open goes on.
    Listeners,
    /// Not before the gate is started anew.
    Restart,
}

impl When {
    /// In a table of keys.
    #[allow(dead_code, reason = "the papers alone need it")]
    pub const fn short(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewConnections => "new connections",
            Self::Listeners => "listeners",
            Self::Restart => "restart",
        }
    }
}

/// `key` as `pools.main.capacity`. `is_of_processes` says whether the instances of a pool are processes of the gate.
pub fn when(key: &str, is_of_processes: impl Fn(&str) -> bool) -> When {
    let parts: Vec<_> = key.split('.').collect();
    match parts.as_slice() {
        ["state_dir"] => When::Restart,
        ["pools", pool, "fleet", ..]
        | ["pools", pool, "capacity" | "ssh_port" | "jupyter_port"]
            if is_of_processes(pool) =>
        {
            When::Restart
        }
        [
            "ssh" | "https" | "admin",
            "listen" | "redirect_listen" | "socket",
        ] => When::Listeners,
        ["ssh" | "https", ..] | ["admin", "tls", ..] | ["pools", _, "ssh" | "recording", ..] => {
            When::NewConnections
        }
        _ => When::AtOnce,
    }
}

/// Why a key that waits for a restart does.
#[allow(dead_code, reason = "the papers do not need it")]
pub fn reason(key: &str) -> &'static str {
    match key.split('.').next() {
        Some("state_dir") => "what is kept under it is read at the start and written all the time",
        _ => "the instances of this pool are processes of the gate, and would end",
    }
}

/// Keys that name files. The files are looked at while the gate works, and taken by themselves when they change.
const FILES: &[&str] = &[
    "ssh.host_keys",
    "ssh.standby_host_keys",
    "ssh.host_certificates",
    "ssh.user_ca",
    "ssh.auth.trusted_user_ca_keys",
    "ssh.auth.revoked_keys",
    "https.certificate",
    "https.private_key",
    "https.certificates",
    "https.ocsp_response",
    "https.acme.ca_file",
    "admin.tokens_file",
    "admin.tls.certificate",
    "admin.tls.private_key",
    "admin.tls.ocsp_response",
    "admin.oidc.client_secret_file",
    "admin.oidc.ca_file",
    "traces.headers_file",
    "traces.ca_file",
    "webhooks.*.url_file",
    "webhooks.*.ca_file",
    "pools.*.jupyter.tls",
    "pools.*.jupyter.api_token_file",
    "pools.*.ssh.instance_host_keys",
    "pools.*.fleet.client_secret_file",
];

/// Whether the key names files that are followed; an item of a list counts as the list.
#[allow(dead_code, reason = "the papers and tests alone need it")]
pub fn names_files(key: &str) -> bool {
    let key = key.split('[').next().unwrap_or(key);
    let parts: Vec<_> = key.split('.').collect();
    FILES.iter().any(|known| {
        let known: Vec<_> = known.split('.').collect();
        let fits = |(known, part): (&&str, &&str)| known == part || *known == "*";
        known.len() == parts.len() && known.iter().zip(&parts).all(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_time() {
        let of = |key: &str| when(key, |pool| pool == "local");
        for (key, expected) in [
            ("state_dir", When::Restart),
            ("drain_limit", When::AtOnce),
            ("ssh.listen", When::Listeners),
            ("admin.socket", When::Listeners),
            ("admin.oidc.issuer", When::AtOnce),
            ("ssh.auth.methods", When::NewConnections),
            ("pools.main.capacity", When::AtOnce),
            ("pools.local.capacity", When::Restart),
            ("pools.local.scaling.max", When::AtOnce),
            ("pools.main.ssh.policy.programs", When::NewConnections),
            ("log.format", When::AtOnce),
        ] {
            assert_eq!(of(key), expected, "{key}");
        }
        assert!(names_files("pools.gpu.jupyter.api_token_file"));
        assert!(names_files("https.certificates[0].private_key") && !names_files("ssh.listen"));
    }
}
