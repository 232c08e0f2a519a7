//! Where a forwarding leads: what a host field means to an instance, however it is spelled, and whether a rule lists it.
//!
//! Names are never looked up: the instance resolves them, later and perhaps otherwise. So a rule about addresses holds for
//! addresses in any spelling, not for names that happen to resolve to them; a firewall on the instance must do that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::{Endpoint, HostPattern};
use crate::identity::glob;

/// A host as an instance would understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// The address itself, and the IPv4 address within it where it carries one.
    Address(IpAddr, Option<Ipv4Addr>),
    /// In lower case, without a final dot.
    Name(String),
}

impl Host {
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        // What follows white space is not looked at by some resolvers.
        let text = text.split_whitespace().next().unwrap_or_default();
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        // A zone chooses the interface, not the address.
        let without_zone = bare.split('%').next().unwrap_or_default();
        if let Ok(address) = without_zone.parse::<Ipv6Addr>() {
            return Self::of_v6(address);
        }
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        match loose_v4(name.split('%').next().unwrap_or_default()) {
            Some(address) => Self::Address(address.into(), Some(address)),
            None => Self::Name(name),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        Self::Address(address.into(), embedded_v4(address))
    }

    /// Whether it is the machine itself.
    pub fn is_local(&self) -> bool {
        const NAMES: [&str; 8] = [
            "",
            "localhost",
            "localhost4",
            "localhost6",
            "localhost.localdomain",
            "localhost6.localdomain6",
            "ip6-localhost",
            "ip6-loopback",
        ];
        match self {
            // Nothing and "any" connect to the machine itself.
            Self::Address(address, inner) => {
                let is_own = |address: IpAddr| address.is_loopback() || address.is_unspecified();
                is_own(*address) || inner.is_some_and(|inner| is_own(inner.into()))
            }
            Self::Name(name) => NAMES.contains(&name.as_str()) || name.ends_with(".localhost"),
        }
    }

    fn is_of(&self, pattern: &HostPattern) -> bool {
        match (pattern, self) {
            (HostPattern::Any, _) => true,
            (HostPattern::Network(net), Self::Address(address, inner)) => {
                net.contains(address) || inner.is_some_and(|inner| net.contains(&IpAddr::V4(inner)))
            }
            (HostPattern::Network(_), Self::Name(_)) => false,
            (HostPattern::Name(pattern), host) if pattern == "localhost" => host.is_local(),
            (HostPattern::Name(pattern), Self::Name(name)) => glob::matches(pattern, name),
            (HostPattern::Name(pattern), Self::Address(address, _)) => {
                glob::matches(pattern, &address.to_canonical().to_string())
            }
        }
    }
}

/// Whether one of the endpoints lists this host and port.
pub fn is_listed(list: &[Endpoint], host: &Host, port: u32) -> bool {
    let port_fits =
        |endpoint: &Endpoint| endpoint.port.is_none_or(|listed| u32::from(listed) == port);
    list.iter()
        .any(|endpoint| port_fits(endpoint) && host.is_of(&endpoint.host))
}

/// IPv4 as `inet_aton` reads it: one to four numbers, decimal, octal or hexadecimal, the last one filling up the rest.
fn loose_v4(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some("") => None,
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u64::from_str_radix(part, 8).ok(),
        None if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse().ok(),
        _ => None,
    };
    let numbers: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) {
        return None;
    }
    let free_bits = 32 - 8 * u32::try_from(first.len()).ok()?;
    if *last >= 1 << free_bits {
        return None;
    }
    let high = first.iter().fold(0, |high, number| high << 8 | number);
    u32::try_from(high << free_bits | last)
        .ok()
        .map(Ipv4Addr::from)
}

/// Mapped, compatible, NAT64 (RFC 6052) and 6to4 addresses lead to the IPv4 address they carry.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => {
            join(g, h)
        }
        // `::` and `::1` are not of this kind.
        [0, 0, 0, 0, 0, 0] if g != 0 => join(g, h),
        [0x2002, high, low, ..] => join(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::PolicyConfig;

    fn is_denied(host: &str, port: u32) -> bool {
        is_listed(
            &PolicyConfig::default().deny_forward_to,
            &Host::parse(host),
            port,
        )
    }

    #[test]
    fn the_metadata_address_is_known_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            " 169.254.169.254",
            "169.254.169.254 x",
            "2852039166",
            "0xa9fea9fe",
            "0XA9FEA9FE",
            "025177524776",
            "0251.0376.0251.0376",
            "0xa9.254.0xa9.254",
            "169.254.43518",
            "169.16689662",
            "::ffff:169.254.169.254",
            "[::ffff:a9fe:a9fe]",
            "::ffff:169.254.169.254%eth0",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "FD00:0EC2:0:0:0:0:0:0254",
            "fd00:ec2::254%1",
            "Metadata.Google.Internal.",
        ] {
            assert!(is_denied(host, 80), "{host}");
        }
        for host in [
            "169.254.169.253",
            "10.0.0.1",
            "example.org",
            "169.254.169.254.example.org",
        ] {
            assert!(!is_denied(host, 80), "{host}");
        }
    }

    #[test]
    fn admin_ports_of_the_machine_itself_are_denied_and_others_are_not() {
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "127.1",
            "::1",
            "0",
            "0.0.0.0",
            "::",
            "",
            "x.localhost",
            "::ffff:127.9.9.9",
        ] {
            assert!(is_denied(host, 8001), "{host:?}");
            assert!(!is_denied(host, 8888), "{host:?}");
        }
        assert!(!is_denied("10.0.0.1", 8001));
        assert!(is_denied("store.internal", 2379));
    }

    #[test]
    fn loose_numbers_are_read_as_inet_aton_does() {
        let read = |text| loose_v4(text).map(|address| address.to_string());
        assert_eq!(read("1.2.3"), Some("1.2.0.3".into()));
        assert_eq!(read("4294967295"), Some("255.255.255.255".into()));
        for text in [
            "4294967296",
            "256.1.1.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "08",
            "0x",
            "",
            "1..2",
            "-1",
            "+1",
            "0x+1",
            "a",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text: String, port: u32) {
            is_denied(&text, port);
        }

        #[test]
        fn every_number_is_its_address(number: u32) {
            let address = Ipv4Addr::from(number);
            for text in [format!("{number}"), format!("0x{number:x}"), format!("0{number:o}"), format!("::ffff:{address}")] {
                prop_assert!(matches!(Host::parse(&text), Host::Address(_, Some(found)) if found == address));
            }
        }
    }
}
