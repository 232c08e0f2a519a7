//! Claims as providers tell them, and what becomes of them.

use serde_json::json;

use super::*;

fn config(name_claim: &str, groups_claim: &str) -> OidcConfig {
    let group = |name: &str| Member::Group(name.to_owned());
    OidcConfig {
        issuer: "https://idp.example".to_owned(),
        client_id: "poolgate".to_owned(),
        client_secret_file: None,
        address: "https://admin.pool.example".to_owned(),
        display_name: "idp.example".to_owned(),
        scopes: Vec::new(),
        name_claim: name_claim.to_owned(),
        groups_claim: groups_claim.to_owned(),
        ca_file: None,
        roles: OidcRoles {
            viewer: vec![group("staff")],
            operator: vec![group("operators"), Member::Name("olivia".to_owned())],
            admin: vec![Member::Name("ada@pool.example".to_owned())],
        },
    }
}

fn judged(claims: Value, config: &OidcConfig) -> Result<(String, Role), Stranger> {
    let Value::Object(claims) = claims else {
        panic!("claims are an object");
    };
    judge(&claims, config).map(|person| (person.name, person.role))
}

#[test]
fn the_highest_role_by_name_or_group_counts() {
    let config = config("preferred_username", "groups");
    let of = |name: &str, groups: Value| {
        judged(
            json!({ "preferred_username": name, "groups": groups }),
            &config,
        )
        .map(|(_, role)| role)
    };
    assert_eq!(of("victor", json!(["x", "staff"])), Ok(Role::Viewer));
    assert_eq!(of("victor", json!("staff")), Ok(Role::Viewer));
    assert_eq!(of("olivia", json!(["staff"])), Ok(Role::Operator));
    assert_eq!(of("someone", json!(["operators"])), Ok(Role::Operator));
    assert_eq!(of("ada@pool.example", json!([])), Ok(Role::Admin));
    // To the letter, and never one for the other.
    for (name, groups) in [
        ("Olivia", json!([])),
        ("operators", json!([])),
        ("group:operators", json!([])),
        (
            "nobody",
            json!(["olivia", "Staff", "staff ", ["staff"], 7, null]),
        ),
        ("nobody", json!({ "staff": true })),
        ("nobody", json!(true)),
    ] {
        assert!(of(name, groups.clone()).is_err(), "{name} {groups}");
    }
}

#[test]
fn who_has_no_role_is_told_who_they_are_and_what_to_ask_for() {
    let config = config("preferred_username", "groups");
    let told = |claims: Value| judged(claims, &config).unwrap_err().to_string();
    assert_eq!(
        told(json!({ "preferred_username": "nina", "groups": ["guests"] })),
        "you are nina, and nobody with a role here: ask an admin of this gate to write \"nina\" or one of your groups (\"group:guests\") into roles of [admin.oidc]"
    );
    let cut = json!({ "preferred_username": "nina", "_claim_names": { "groups": "src1" } });
    assert!(told(cut).contains("too many"));
    for claims in [
        json!({}),
        json!({ "preferred_username": 7 }),
        json!({ "preferred_username": " " }),
        json!({ "preferred_username": "a\nb" }),
        json!({ "preferred_username": "a".repeat(200) }),
    ] {
        assert!(told(claims).contains("no \"preferred_username\""));
    }
}

#[test]
fn a_mail_address_counts_only_when_somebody_checked_it() {
    let config = config("email", "groups");
    let with = |verified: Value| {
        judged(
            json!({ "email": "ada@pool.example", "email_verified": verified }),
            &config,
        )
    };
    assert_eq!(with(json!(true)).unwrap().1, Role::Admin);
    for verified in [json!(false), json!("true"), json!(null)] {
        assert!(with(verified).unwrap_err().to_string().contains("checked"));
    }
}

#[test]
fn what_is_missing_may_stand_in_another_answer() {
    let config = config("preferred_username", "groups");
    let is_incomplete = |claims: Value| is_incomplete(claims.as_object().unwrap(), &config);
    assert!(is_incomplete(json!({ "groups": [] })));
    assert!(is_incomplete(json!({ "preferred_username": "a" })));
    assert!(!is_incomplete(
        json!({ "preferred_username": "a", "groups": [] })
    ));
}
