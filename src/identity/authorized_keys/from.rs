//! The pattern list of `from=`: CIDR networks and wildcards against the client's address, with negation.
//!
//! Names are never looked up, as with sshd's `UseDNS no`: a host name lists nobody, and denies nobody either.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::identity::glob;

/// A network whose address has bits beyond its mask, such as `10.0.0.1/8`: what was meant is unclear.
#[derive(Debug, PartialEq, Eq)]
pub struct BitsBeyondMask;

/// Whether the list holds the address: at least one pattern matches and no negated one does.
pub fn is_listed(patterns: &str, client: IpAddr) -> Result<bool, BitsBeyondMask> {
    // A client that came over IPv4 to a dual-stack socket is the IPv4 address people write down.
    let client = client.to_canonical();
    let text = client.to_string();
    let mut is_listed = false;
    for pattern in patterns.split(',') {
        let (is_negated, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        if !matches(pattern, client, &text)? {
            continue;
        }
        if is_negated {
            return Ok(false);
        }
        is_listed = true;
    }
    Ok(is_listed)
}

/// Whether the client is in one of these networks, as the `source-address` of a certificate lists them: addresses and
/// CIDR networks only. `None` if one of them is something else.
pub fn is_in_networks(networks: &str, client: IpAddr) -> Option<bool> {
    let client = client.to_canonical();
    let mut is_in = false;
    for text in networks.split(',') {
        let address = text
            .parse::<IpAddr>()
            .map(|one| one.to_canonical() == client);
        is_in |= match (address, text.parse::<IpNet>()) {
            (Ok(is_it), _) => is_it,
            (Err(_), Ok(net)) if net.trunc() == net => net.contains(&client),
            _ => return None,
        };
    }
    Some(is_in)
}

fn matches(pattern: &str, client: IpAddr, text: &str) -> Result<bool, BitsBeyondMask> {
    if let Ok(address) = pattern.parse::<IpAddr>() {
        return Ok(address.to_canonical() == client);
    }
    match pattern.parse::<IpNet>() {
        Ok(net) if net.trunc() != net => Err(BitsBeyondMask),
        Ok(net) => Ok(net.contains(&client)),
        Err(_) => Ok(!pattern.is_empty() && glob::matches(&pattern.to_ascii_lowercase(), text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists(patterns: &str, client: &str) -> bool {
        is_listed(patterns, client.parse().unwrap()).unwrap()
    }

    #[test]
    fn networks_addresses_wildcards_and_negation() {
        assert!(lists("10.0.0.0/8", "10.1.2.3"));
        assert!(!lists("10.0.0.0/8", "11.1.2.3"));
        assert!(lists("192.168.1.?,10.0.*", "10.0.3.4"));
        assert!(lists("2001:DB8::/32", "2001:db8::1"));
        assert!(lists("2001:DB8::1", "2001:db8::1"));
        assert!(lists("2001:DB8:*", "2001:db8::1"));
        assert!(lists("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(!lists("!10.0.0.1,10.0.0.0/8", "10.0.0.1"));
        assert!(!lists("10.0.0.0/8,!10.0.0.1", "10.0.0.1"));
        assert!(lists("10.0.0.0/8,!10.0.0.1", "10.0.0.2"));
        assert!(
            !lists("!10.0.0.1", "10.0.0.2"),
            "a negation alone lists nobody"
        );
        assert!(!lists("host.example.com,*.example.com", "10.0.0.2"));
        assert!(!lists("", "10.0.0.2"));
    }

    #[test]
    fn an_unclear_network_lists_nobody() {
        let client = "10.0.0.1".parse().unwrap();
        assert_eq!(is_listed("10.0.0.1/8", client), Err(BitsBeyondMask));
    }

    proptest! {
        #[test]
        fn no_list_panics(patterns in "\\PC{0,80}", client in any::<[u8; 16]>()) {
            let _ = is_listed(&patterns, IpAddr::from(client));
        }
    }
}
