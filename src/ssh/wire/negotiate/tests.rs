use proptest::prelude::*;

use super::*;

struct Zero;

impl Entropy for Zero {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn init(kex: &str, host_key: &str, cipher: &str, mac: &str) -> KexInit {
    let lists = [
        kex,
        host_key,
        cipher,
        cipher,
        mac,
        mac,
        "none,zlib@openssh.com",
        "none",
        "",
        "",
    ];
    let message = lists.iter().fold(
        Writer::new(number::KEXINIT).raw(&[0; 16]),
        |message, list| message.string(list),
    );
    KexInit::parse(&message.boolean(false).u32(0).finish()).unwrap()
}

#[test]
fn what_is_built_is_read() {
    let offer = Offer {
        kex: &Kex::ALL,
        host_keys: &HostKeyAlgorithm::CERTIFIED,
        ciphers: &Cipher::ALL,
        macs: &Mac::ALL,
    };
    for role in [Role::Client, Role::Server] {
        for first in [true, false] {
            let built = KexInit::build(&offer, role, first, &mut Zero);
            let read = KexInit::parse(built.payload()).unwrap();
            assert_eq!(read.lists, built.lists);
            assert_eq!(
                (read.wants_strict(role), read.wants_ext_info(role)),
                (first, first)
            );
            assert!(!read.wants_strict(role.peer()));
        }
    }
}

#[test]
fn the_clients_order_decides() {
    let client = init(
        "sntrup761x25519-sha512,curve25519-sha256,ecdh-sha2-nistp256,ext-info-c",
        "rsa-sha2-256,ssh-ed25519",
        "chacha20-poly1305@openssh.com,aes256-ctr,aes128-gcm@openssh.com",
        "hmac-sha1,hmac-sha2-512",
    );
    let server = init(
        "ecdh-sha2-nistp256,curve25519-sha256,ext-info-c",
        "ssh-ed25519,rsa-sha2-256",
        "aes128-gcm@openssh.com,aes256-ctr",
        "hmac-sha2-256,hmac-sha2-512",
    );
    let chosen = Algorithms::choose(&client, &server).unwrap();
    assert_eq!(
        chosen.to_string(),
        "curve25519-sha256 rsa-sha2-256 aes256-ctr+hmac-sha2-512"
    );
}

#[test]
fn an_aead_needs_no_common_mac_and_a_pseudo_algorithm_is_none() {
    let aead = "aes128-gcm@openssh.com";
    let client = init("curve25519-sha256", "ssh-ed25519", aead, "hmac-sha1");
    let server = init("curve25519-sha256", "ssh-ed25519", aead, "hmac-sha2-256");
    assert_eq!(
        Algorithms::choose(&client, &server)
            .unwrap()
            .client_to_server
            .mac,
        None
    );
    let pseudo = init(
        "ext-info-c,kex-strict-s-v00@openssh.com",
        "ssh-ed25519",
        aead,
        "",
    );
    assert!(Algorithms::choose(&pseudo, &pseudo).is_err());
}

#[test]
fn name_lists_are_bounded_together() {
    let half = "a".repeat(MOST_NAMES_BYTES / 2 + 1);
    let message = Writer::new(number::KEXINIT)
        .raw(&[0; 16])
        .string(&half)
        .string(&half);
    assert!(matches!(
        KexInit::parse(&message.finish()),
        Err(Malformed::TooLong { .. })
    ));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut bytes: Vec<u8>) {
        bytes.insert(0, number::KEXINIT);
        let _ = KexInit::parse(&bytes);
    }
}
