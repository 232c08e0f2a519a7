//! Addresses that only this machine's own cloud answers on, or nobody: metadata, and with it the machine's credentials.
//!
//! Private networks are not among them: receivers of an operator's own stand there.

use std::net::{IpAddr, Ipv6Addr};

/// AWS and Google answer for metadata here beside the link-local address that all of them use.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
/// Azure's own agent is asked here.
const WIRE_SERVER: [u8; 4] = [168, 63, 129, 16];

pub fn may_answer(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets() == WIRE_SERVER
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                || METADATA_V6.contains(&v6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_what_is_nobodys_are_told_from_all_others() {
        for own in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
        ] {
            assert!(may_answer(own.parse().unwrap()), "{own}");
        }
        for other in ["127.0.0.1", "10.0.0.4", "2001:db8::1", "fd12::1"] {
            assert!(!may_answer(other.parse().unwrap()), "{other}");
        }
    }
}
