//! Writes the header of the PROXY protocol, version 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2): what a
//! service behind the gate is told of the person's address before their first byte.
//!
//! Reading such headers, from a balancer in front of the gate, is another file's. No checksum and no TLVs are sent: those
//! who read the header for the address alone (mmproxy and its like, HAProxy, nginx) want neither.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and whether the connection stands for somebody else's.
const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// For a connection of the gate's own, such as a probe.
pub const OWN: [u8; 16] = {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = SIGNATURE;
    [a, b, c, d, e, f, g, h, i, j, k, l, LOCAL, 0, 0, 0]
};

/// For a connection that carries what `client` says to the gate at `gate`.
pub fn on_behalf_of(client: SocketAddr, gate: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(PROXY);
    match (client.ip().to_canonical(), gate.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([TCP_OVER_IPV4, 0, 12]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            header.extend([TCP_OVER_IPV6, 0, 36]);
            for address in [from, to] {
                let octets = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                header.extend(octets);
            }
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(gate.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(client: &str, gate: &str) -> Vec<u8> {
        on_behalf_of(client.parse().unwrap(), gate.parse().unwrap())
    }

    #[test]
    fn both_families_as_the_specification_has_them() {
        let written = header("192.0.2.7:50000", "198.51.100.1:22");
        let rest = [
            0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0, 22,
        ];
        assert_eq!(written, [&SIGNATURE[..], &rest].concat());

        let written = header("[2001:db8::7]:50000", "[2001:db8::1]:22");
        assert_eq!(written.len(), 16 + 36);
        assert_eq!(written[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(written[16..20], [0x20, 1, 0x0d, 0xb8]);
        assert_eq!(written[31], 7);
        assert_eq!(written[48..], [0xc3, 0x50, 0, 22]);
    }

    #[test]
    fn a_mapped_address_is_the_one_it_stands_for() {
        let plain = header("192.0.2.7:1", "198.51.100.1:2");
        assert_eq!(
            header("[::ffff:192.0.2.7]:1", "[::ffff:198.51.100.1]:2"),
            plain
        );
        // A mixture can only be written in the larger family.
        let mixed = header("192.0.2.7:1", "[2001:db8::1]:2");
        assert_eq!(mixed[13], TCP_OVER_IPV6);
        assert_eq!(mixed[26..32], [0xff, 0xff, 192, 0, 2, 7]);
    }

    #[test]
    fn the_gates_own_connections_stand_for_nobody() {
        assert_eq!(OWN[..12], SIGNATURE);
        assert_eq!(OWN[12..], [0x20, 0, 0, 0]);
    }
}
