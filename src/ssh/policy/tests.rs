//! Whole requests, as they come over the wire, against rules.

use super::*;
use crate::config::HostPattern;
use crate::ssh::wire::message::{Writer, number};

fn policy(change: impl FnOnce(&mut PolicyRules), own: Restrictions) -> Policy {
    let mut config = PolicyConfig::default();
    change(&mut config.rules);
    Policy::new(config.rules.into(), config.deny_forward_to.into(), own)
}

fn open(kind: &str, data: &[u8]) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_OPEN).string(kind);
    head.u32(0).u32(1 << 20).u32(1 << 15).raw(data).finish()
}

fn opens_to(policy: &Policy, host: &str, port: u32) -> Result<(), Refusal> {
    let data = Writer::bare()
        .string(host)
        .u32(port)
        .string("127.0.0.1")
        .u32(1);
    let payload = open("direct-tcpip", &data.finish());
    policy.check_open(Side::Client, &ChannelOpen::parse(&payload).unwrap())
}

fn opens_kind(policy: &Policy, from: Side, kind: &str) -> bool {
    let payload = open(kind, b"");
    let open = ChannelOpen::parse(&payload).unwrap();
    policy.check_open(from, &open).is_ok()
}

fn listens_at(policy: &Policy, host: &str, port: u32) -> bool {
    let head = Writer::new(number::GLOBAL_REQUEST).string("tcpip-forward");
    let payload = head.boolean(true).string(host).u32(port).finish();
    let request = GlobalRequest::parse(&payload).unwrap();
    policy.check_global(&request).is_ok()
}

fn asks(policy: &Policy, name: &str, program: &str) -> Result<(), Refusal> {
    let head = Writer::new(number::CHANNEL_REQUEST).u32(0).string(name);
    let payload = head.boolean(true).string(program).finish();
    policy.check_request(&ChannelRequest::parse(&payload).unwrap())
}

#[test]
fn without_rules_all_passes_but_forwarding_to_what_is_denied() {
    let policy = Policy::default();
    assert_eq!(opens_to(&policy, "db.example", 5432), Ok(()));
    let refusal = opens_to(&policy, "0xa9fea9fe", 80).unwrap_err();
    assert_eq!(refusal.text, "forwarding to 0xa9fea9fe:80 is not allowed");
    assert!(opens_kind(
        &policy,
        Side::Client,
        "direct-streamlocal@openssh.com"
    ));
    assert!(opens_kind(&policy, Side::Client, "never-heard-of@example"));
    assert!(opens_kind(&policy, Side::Instance, "x11"));
    assert!(listens_at(&policy, "", 8080));
    for name in [
        "pty-req",
        "shell",
        "exec",
        "subsystem",
        "x11-req",
        "auth-agent-req@openssh.com",
        "env",
    ] {
        assert_eq!(asks(&policy, name, "x"), Ok(()), "{name}");
    }
}

#[test]
fn only_sftp_is_sftp_and_nothing_else() {
    let programs = |rules: &mut PolicyRules| rules.programs = Programs::Sftp;
    let policy = policy(programs, Restrictions::unrestricted());
    assert_eq!(asks(&policy, "subsystem", "sftp"), Ok(()));
    for (name, program) in [
        ("subsystem", "netconf"),
        ("exec", "sftp"),
        ("shell", ""),
        ("pty-req", ""),
    ] {
        assert!(asks(&policy, name, program).is_err(), "{name}");
    }
    assert!(!opens_kind(&policy, Side::Client, "never-heard-of@example"));
}

#[test]
fn commands_only_means_no_terminal_and_no_shell() {
    let programs = |rules: &mut PolicyRules| rules.programs = Programs::Exec;
    let policy = policy(programs, Restrictions::unrestricted());
    assert_eq!(asks(&policy, "exec", "make"), Ok(()));
    assert_eq!(asks(&policy, "subsystem", "sftp"), Ok(()));
    assert!(asks(&policy, "shell", "").is_err());
    assert!(asks(&policy, "pty-req", "").is_err());
}

#[test]
fn a_key_with_permitopen_reaches_what_it_lists_and_nothing_else() {
    let own = Restrictions {
        permit_open: vec!["db:5432".into(), "[fd00::1]:*".into(), "*:443".into()],
        ..Restrictions::unrestricted()
    };
    let policy = policy(|_| (), own);
    for (host, port) in [("db", 5432), ("fd00::1", 1), ("anything", 443)] {
        assert_eq!(opens_to(&policy, host, port), Ok(()), "{host}:{port}");
    }
    // OpenSSH compares the text: another spelling is another host.
    for (host, port) in [
        ("DB", 5432),
        ("db", 5433),
        ("fd00:0::1", 1),
        ("db.", 5432),
        ("169.254.169.254", 443),
    ] {
        assert!(opens_to(&policy, host, port).is_err(), "{host}:{port}");
    }
    assert!(!opens_kind(
        &policy,
        Side::Client,
        "direct-streamlocal@openssh.com"
    ));
    assert!(!opens_kind(&policy, Side::Client, "tun@openssh.com"));
    // It says nothing of the other direction.
    assert!(listens_at(&policy, "localhost", 80));
}

#[test]
fn a_key_with_permitlisten_listens_where_it_says() {
    let own = Restrictions {
        permit_listen: vec!["8080".into(), "localhost:0".into(), "*.example:9000".into()],
        ..Restrictions::unrestricted()
    };
    let policy = policy(|_| (), own);
    for (host, port) in [
        ("localhost", 8080),
        ("", 8080),
        ("10.0.0.1", 8080),
        ("LocalHost", 0),
        ("a.example", 9000),
    ] {
        assert!(listens_at(&policy, host, port), "{host}:{port}");
    }
    for (host, port) in [("localhost", 8081), ("", 0), ("example", 9000)] {
        assert!(!listens_at(&policy, host, port), "{host}:{port}");
    }
    assert!(opens_to(&policy, "db", 1).is_ok());
}

#[test]
fn a_key_without_forwarding_forwards_nothing() {
    let own = Restrictions {
        permit_port_forwarding: false,
        permit_agent_forwarding: false,
        permit_x11_forwarding: false,
        permit_pty: false,
        ..Restrictions::unrestricted()
    };
    let policy = policy(|_| (), own);
    assert!(opens_to(&policy, "db", 1).is_err());
    assert!(!listens_at(&policy, "", 1));
    for kind in [
        "forwarded-tcpip",
        "forwarded-streamlocal@openssh.com",
        "x11",
        "auth-agent@openssh.com",
    ] {
        assert!(!opens_kind(&policy, Side::Instance, kind), "{kind}");
    }
    for name in ["pty-req", "x11-req", "auth-agent-req@openssh.com"] {
        assert!(asks(&policy, name, "").is_err(), "{name}");
    }
    assert!(asks(&policy, "shell", "").is_ok());
}

#[test]
fn a_pools_lists_narrow_everybody() {
    let rules = |rules: &mut PolicyRules| {
        let endpoint = |host, port| Endpoint { host, port };
        let net = HostPattern::Network("10.0.0.0/8".parse().unwrap());
        rules.permit_open = vec![
            endpoint(net, None),
            endpoint(HostPattern::Name("*.example".into()), Some(443)),
        ];
        rules.permit_listen = vec![endpoint(HostPattern::Name("localhost".into()), None)];
        rules.unix_sockets = false;
    };
    let policy = policy(rules, Restrictions::unrestricted());
    for (host, port) in [("10.9.8.7", 1), ("a.Example.", 443), ("::ffff:10.0.0.1", 9)] {
        assert_eq!(opens_to(&policy, host, port), Ok(()), "{host}:{port}");
    }
    for (host, port) in [("11.0.0.1", 1), ("a.example", 80), ("example", 443)] {
        assert!(opens_to(&policy, host, port).is_err(), "{host}:{port}");
    }
    assert!(listens_at(&policy, "127.0.0.1", 5000));
    assert!(!listens_at(&policy, "", 5000));
    assert!(!listens_at(&policy, "*", 5000));
    assert!(!opens_kind(
        &policy,
        Side::Client,
        "direct-streamlocal@openssh.com"
    ));
}
