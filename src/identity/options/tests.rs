use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Options {
    Options::parse(text).unwrap()
}

#[test]
fn every_documented_option_is_understood() {
    let options = parse(
        r#"cert-authority,principals="a,b",from="10.0.0.0/8,!10.1.*",command="echo \"hi\" \n",environment="LANG=C",expiry-time="20300101Z",permitopen="db:5432",permitopen="[::1]:*",permitlisten="8080",permitlisten="localhost:0",tunnel="0",no-pty,no-agent-forwarding,no-X11-forwarding,no-port-forwarding,no-user-rc,no-touch-required,verify-required"#,
    );
    assert!(options.is_cert_authority && options.is_verification_required);
    assert!(!options.is_touch_required);
    assert_eq!(options.principals, Some(vec!["a".into(), "b".into()]));
    assert_eq!(options.from.as_deref(), Some("10.0.0.0/8,!10.1.*"));
    assert_eq!(options.tunnel.as_deref(), Some("0"));
    let limits = options.restrictions;
    assert_eq!(limits.force_command.as_deref(), Some(r#"echo "hi" \n"#));
    assert_eq!(limits.environment, [("LANG".into(), "C".into())]);
    assert_eq!(limits.permit_open, ["db:5432", "[::1]:*"]);
    assert_eq!(limits.permit_listen, ["8080", "localhost:0"]);
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
    assert_eq!(limits.not_after, Some(end));
    assert!(!limits.permit_pty && !limits.permit_agent_forwarding && !limits.permit_x11_forwarding);
    assert!(!limits.permit_port_forwarding && !limits.permit_user_rc);
}

#[test]
fn flags_act_in_order_and_ignore_case() {
    assert!(parse("restrict,PTY").restrictions.permit_pty);
    assert!(!parse("pty,Restrict").restrictions.permit_pty);
    assert!(!parse("restrict,pty").restrictions.permit_port_forwarding);
    assert!(parse("NO-x11-forwarding").restrictions.permit_pty);
}

#[test]
fn what_is_not_understood_is_an_error() {
    let bad = [
        "frobnicate",
        "no-restrict",
        "no-cert-authority",
        "pty,",
        ",pty",
        "pty pty",
        "command=ls",
        "command",
        "command=\"ls",
        "command=\"ls\\\"",
        "command=\"a\",command=\"b\"",
        "from=\"a\",from=\"b\"",
        "from=\"a\"pty",
        "environment=\"A B=1\"",
        "environment=\"=1\"",
        "permitopen=\"host\"",
        "permitopen=\":22\"",
        "permitopen=\"host:99999\"",
        "permitopen=\"a:b:22\"",
        "permitlisten=\"x\"",
        "tunnel=\"eth0\"",
        "expiry-time=\"tomorrow\"",
        "expiry-time=\"20261301\"",
        "expiry-time=\"19700101Z\"",
        "expiry-time=\"2026010112\"",
        "command=\"a\0b\"",
    ];
    for text in bad {
        assert!(Options::parse(text).is_err(), "{text:?} was accepted");
    }
}

#[test]
fn the_earliest_expiry_counts() {
    let options = parse(r#"expiry-time="20300101Z",expiry-time="202001010000Z""#);
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    assert_eq!(options.restrictions.not_after, Some(end));
}

#[test]
fn the_first_value_of_a_variable_wins() {
    let options = parse(r#"environment="A=1",environment="A=2""#);
    assert_eq!(options.restrictions.environment, [("A".into(), "1".into())]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Options::parse(&text);
    }

    #[test]
    fn no_option_like_text_panics(text in "((no-)?(pty|restrict|command|from|expiry-time|permitopen)(=\"?[a-z0-9:\\\\\"]{0,9}\"?)?,?){0,6}") {
        let _ = Options::parse(&text);
    }

    #[test]
    fn a_quoted_command_survives(command in "[ -!#-\\[\\]-~\"]{0,60}") {
        let quoted = command.replace('"', "\\\"");
        let options = Options::parse(&format!("command=\"{quoted}\"")).unwrap();
        prop_assert_eq!(options.restrictions.force_command, Some(command));
    }
}
