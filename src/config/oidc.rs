//! From `[admin.oidc]` to `OidcConfig`: the provider that says who operators are, and what each of them may do.
//!
//! An address without TLS is taken of this machine alone: a secret and people's proofs go there.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ::config::Value;
use http::Uri;

use super::doors::Faulty;
use super::raw::Section;
use super::values::{path, path_or_off, text};

/// Names and groups of one role; more are better put into a group at the provider.
const MEMBERS_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
pub struct OidcConfig {
    /// As the provider calls itself, to the letter.
    pub issuer: String,
    pub client_id: String,
    /// Without one the gate is a public client, and PKCE alone protects a login.
    pub client_secret_file: Option<PathBuf>,
    /// Where browsers find the operators' pages: scheme, host and port.
    pub address: String,
    /// What people call the provider.
    pub display_name: String,
    /// Beside `openid`.
    pub scopes: Vec<String>,
    pub name_claim: String,
    pub groups_claim: String,
    /// Authorities that the provider's certificate may be of, in place of the system's.
    pub ca_file: Option<PathBuf>,
    pub roles: OidcRoles,
}

/// Who has which role; the highest counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OidcRoles {
    pub viewer: Vec<Member>,
    pub operator: Vec<Member>,
    pub admin: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// Whoever the provider lets log in.
    Everybody,
    Name(String),
    Group(String),
}

impl OidcConfig {
    /// The name of `address`, without a port.
    pub fn host(&self) -> Option<String> {
        let uri = self.address.parse::<Uri>().ok()?;
        uri.host().map(str::to_owned)
    }
}

impl OidcRoles {
    /// Of every role.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        let below = self.viewer.iter().chain(&self.operator);
        below.chain(&self.admin)
    }
}

/// What is known of the operators' address.
pub(super) struct Address<'a> {
    pub listen: Option<SocketAddr>,
    pub hosts: &'a [String],
    pub has_tls: bool,
}

pub(super) fn oidc(
    mut section: Section<'_>,
    address: &Address<'_>,
) -> Result<Option<OidcConfig>, Faulty> {
    if !section.is_present() {
        return Ok(None);
    }
    let folder = section.folder();
    let write = "what the provider calls itself, such as issuer = \"https://keycloak.example/realms/staff\"";
    let issuer = section.required("issuer", write, web_address);
    let write = "what the provider calls this gate, such as client_id = \"poolgate\"";
    let client_id = section.required("client_id", write, text);
    let client_secret_file = section.get_or("client_secret_file", None, path_or_off(folder));
    let address = own_address(&mut section, address);
    let host = issuer
        .as_deref()
        .and_then(|issuer| issuer.parse::<Uri>().ok());
    let host = host.and_then(|uri| uri.host().map(str::to_owned));
    let display_name = section.get_or("display_name", host.unwrap_or_default(), text);
    let usual = || ["profile", "email"].map(str::to_owned).to_vec();
    let mut scopes = section.list("scopes", scope).unwrap_or_else(usual);
    // The library asks for it by itself.
    scopes.retain(|scope| scope != "openid");
    let name_claim = section.get_or("name_claim", "preferred_username".to_owned(), text);
    let groups_claim = section.get_or("groups_claim", "groups".to_owned(), text);
    let ca_file = section.get("ca_file", path(folder));
    let roles = roles(section.section("roles"));
    section.finish();
    Ok(Some(OidcConfig {
        issuer: issuer.ok_or(Faulty)?,
        client_id: client_id.ok_or(Faulty)?,
        client_secret_file,
        address: address.ok_or(Faulty)?,
        display_name,
        scopes,
        name_claim,
        groups_claim,
        ca_file,
        roles,
    }))
}

fn own_address(section: &mut Section<'_>, address: &Address<'_>) -> Option<String> {
    let written = section.get("address", origin);
    if written.is_some() || section.is_at_fault("address") {
        return written;
    }
    let usual = address.usual();
    if usual.is_none() {
        let message = "is missing, and hosts names none; write where browsers find these pages, such as \"https://admin.pool.example\"";
        section.fault("address", message);
    }
    usual
}

impl Address<'_> {
    /// Where browsers come by what is configured otherwise: a name of the address, else this machine.
    fn usual(&self) -> Option<String> {
        let listen = self.listen?;
        let port = listen.port();
        match self.hosts.first() {
            Some(host) if self.has_tls && port != 443 => Some(format!("https://{host}:{port}")),
            // Without TLS of its own a proxy brings them, at a port that is not ours.
            Some(host) => Some(format!("https://{host}")),
            None if !listen.ip().is_loopback() => None,
            None if self.has_tls => Some(format!("https://localhost:{port}")),
            None => Some(format!("http://{listen}")),
        }
    }
}

fn roles(mut section: Section<'_>) -> OidcRoles {
    let mut of = |role| {
        let members = section.list(role, member).unwrap_or_default();
        if members.len() > MEMBERS_MAX {
            let count = members.len();
            let message =
                format!("names {count}; write at most {MEMBERS_MAX}, or a group of the provider's");
            section.fault(role, message);
        }
        if role != "viewer" && members.contains(&Member::Everybody) {
            let message =
                "holds \"*\", which would let everybody give orders; write names and groups";
            section.fault(role, message);
        }
        members
    };
    let roles = OidcRoles {
        viewer: of("viewer"),
        operator: of("operator"),
        admin: of("admin"),
    };
    if roles == OidcRoles::default() && !section.is_at_fault("") {
        let message = "names nobody; write such as { viewer = [\"*\"], operator = [\"group:pool-operators\"], admin = [\"ada\"] }";
        section.fault("", message);
    }
    section.finish();
    roles
}

fn member(value: &Value) -> Result<Member, String> {
    let text = text(value)?;
    match text.strip_prefix("group:") {
        Some("") => Err("is \"group:\"; write the group's name behind it".to_owned()),
        Some(group) => Ok(Member::Group(group.to_owned())),
        None if text == "*" => Ok(Member::Everybody),
        None => Ok(Member::Name(text)),
    }
}

/// RFC 6749 3.3.
fn scope(value: &Value) -> Result<String, String> {
    let scope = text(value)?;
    let is_one = scope
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    match is_one {
        true => Ok(scope),
        false => Err(format!(
            "is {scope:?}, which is no scope; write such as \"profile\""
        )),
    }
}

/// An https:// address, or an http:// one of this machine.
fn web_address(value: &Value) -> Result<String, String> {
    let address = text(value)?;
    let uri = address.parse::<Uri>().ok();
    let is_one = uri.as_ref().is_some_and(|uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let is_plain = !authority.contains('@') && !address.contains(['#', '?']);
        is_plain && is_safe_web_address(uri)
    });
    match is_one {
        true => Ok(address),
        false => Err(format!(
            "is {address:?}; write an https:// address without ? and # (http:// for 127.0.0.1 and localhost alone)"
        )),
    }
}

/// Whether what is sent there can be read by nobody on the way.
pub fn is_safe_web_address(uri: &Uri) -> bool {
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => uri.host().is_some_and(is_this_machine),
        _ => false,
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn origin(value: &Value) -> Result<String, String> {
    let address = web_address(value)?;
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    let authority = rest.trim_end_matches('/');
    match authority.contains('/') {
        false => Ok(format!("{scheme}://{authority}")),
        true => Err(format!(
            "is {address:?}; write it without a path, such as \"https://admin.pool.example\""
        )),
    }
}
