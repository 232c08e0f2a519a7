//! May the gate's token ask a hub what the gate wants to know? For `poolgate doctor`, which tells what mends it.
//!
//! The hub itself says what a token may do. Nothing is changed, no server is looked into, and nothing of the token is told.

use std::collections::BTreeSet;
use std::path::Path;

use http::StatusCode;
use serde::Deserialize;

use super::api::{Api, Fault};
use super::hub;
use crate::config::secret::Secret;
use crate::net::client_tls::ClientTls;
use crate::pool::Instance;

/// What `people_with_servers` needs, and what it is for.
const NEEDED: [(&str, &str); 4] = [
    ("list:users", "who has a server cannot be asked at all"),
    ("read:users:name", "people with a server have no names"),
    ("read:servers", "who has a server is not told"),
    (
        "read:users:activity",
        "how long ago somebody worked is not told",
    ),
];
/// For `explain idle` alone.
const FOR_IDLE: &str = "tokens";
/// Opens everybody's server to whoever learns the token.
const TOO_MUCH: &str = "access:servers";
const ROLE: &str = "in the hub's jupyterhub_config.py give the service's role the scopes \"list:users\", \"read:users:name\", \"read:users:activity\", \"read:servers\", \"tokens\" (docs/jupyterhub.md), and restart the hub";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One thing that was found of a token at a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFinding {
    pub grade: Grade,
    pub says: String,
    /// The line that mends it.
    pub remedy: Option<String>,
}

/// Whom a hub takes the token's holder for.
#[derive(Deserialize)]
struct Holder {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    scopes: BTreeSet<String>,
}

/// What an instance's hub lets the token do; nothing for an instance without a hub.
pub async fn examine_token(
    instance: &Instance,
    token_file: &Path,
    tls: Option<ClientTls>,
) -> Vec<TokenFinding> {
    let Some(port) = instance.jupyter_port else {
        return Vec::new();
    };
    let api = Api::new(&instance.address, port, tls);
    let token = match Secret::read(token_file) {
        Ok(token) => token,
        Err(error) => {
            let says = format!(
                "the hub token {} cannot be read: {error}",
                token_file.display()
            );
            let mends = "write the service's api_token into that file, for the gate's user alone (chmod 600)";
            return vec![fail(says, mends)];
        }
    };
    match hub::holder_of::<Holder>(&api, &token).await {
        Ok(holder) => judge(&holder),
        Err(fault) => vec![unanswered(&fault)],
    }
}

fn unanswered(fault: &Fault) -> TokenFinding {
    match fault {
        Fault::Status(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => fail(
            "its hub does not know the gate's token".to_owned(),
            "give the hub's service \"poolgate\" the api_token that is in api_token_file, and restart the hub",
        ),
        Fault::Status(StatusCode::NOT_FOUND) | Fault::Nonsense => fail(
            format!("what answers at jupyter_port is no JupyterHub's API: {fault}"),
            "set jupyter_port to the hub's public port; JupyterHub 2 or later is needed for scopes",
        ),
        fault => fail(
            format!("its hub does not answer: {fault}"),
            "is jupyterhub running there, and does jupyter_port name its public port? systemctl status jupyterhub",
        ),
    }
}

fn judge(holder: &Holder) -> Vec<TokenFinding> {
    let mut findings = Vec::new();
    // A scope with a filter (`list:users!group=x`) shows the gate some people and hides others.
    let whole = |scope: &str| holder.scopes.contains(scope);
    let narrowed = |scope: &str| {
        let begin = format!("{scope}!");
        holder.scopes.iter().any(|one| one.starts_with(&begin))
    };
    for (scope, means) in NEEDED.into_iter().filter(|(scope, _)| !whole(scope)) {
        let says = match narrowed(scope) {
            true => {
                format!("the hub token has {scope} for some people only: others are not counted")
            }
            false => format!("the hub token lacks the scope {scope}: {means}"),
        };
        findings.push(fail(says, ROLE));
    }
    if findings.is_empty() {
        let says = "its hub tells the gate's token who has a server".to_owned();
        findings.push(TokenFinding {
            grade: Grade::Ok,
            says,
            remedy: None,
        });
    }
    if !whole(FOR_IDLE) {
        let says = format!(
            "the hub token lacks the scope {FOR_IDLE}: `poolgate explain idle` cannot look into servers and calls them busy"
        );
        findings.push(warn(says, ROLE));
    }
    if whole(TOO_MUCH) {
        let says = format!(
            "the hub token has {TOO_MUCH}, which opens everybody's server to whoever learns it"
        );
        findings.push(warn(
            says,
            "take it out of the service's role: the gate needs it nowhere",
        ));
    }
    if holder.kind == "user" {
        let says = "the hub token is a person's and ends with their account".to_owned();
        findings.push(warn(
            says,
            "make a service with an api_token of its own (docs/jupyterhub.md)",
        ));
    }
    findings
}

fn fail(says: String, remedy: &str) -> TokenFinding {
    TokenFinding {
        grade: Grade::Fail,
        says,
        remedy: Some(remedy.to_owned()),
    }
}

fn warn(says: String, remedy: &str) -> TokenFinding {
    TokenFinding {
        grade: Grade::Warn,
        ..fail(says, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(kind: &str, scopes: &[&str]) -> Vec<(Grade, String)> {
        let holder = Holder {
            kind: kind.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        let findings = judge(&holder).into_iter();
        findings.map(|one| (one.grade, one.says)).collect()
    }

    const ALL: [&str; 5] = [
        "list:users",
        "read:users:name",
        "read:users:activity",
        "read:servers",
        "tokens",
    ];

    #[test]
    fn exactly_the_scopes_that_are_asked_for_are_enough() {
        let found = grades("service", &ALL);
        assert!(matches!(&found[..], [(Grade::Ok, _)]), "{found:?}");
        for left_out in 0..4 {
            let mut scopes = ALL.to_vec();
            let scope = scopes.remove(left_out);
            let found = grades("service", &scopes);
            let [(Grade::Fail, says)] = &found[..] else {
                panic!("{found:?}");
            };
            assert!(says.contains(scope), "{says}");
        }
    }

    #[test]
    fn too_little_for_some_and_too_much_are_told_apart() {
        let found = grades("service", &ALL[..4]);
        assert!(
            matches!(&found[..], [(Grade::Ok, _), (Grade::Warn, _)]),
            "{found:?}"
        );
        let mut narrow = ALL.to_vec();
        narrow[0] = "list:users!group=class";
        assert!(
            grades("service", &narrow)[0]
                .1
                .contains("for some people only")
        );
        let mut wide = ALL.to_vec();
        wide.push("access:servers");
        let found = grades("user", &wide);
        assert_eq!(
            found
                .iter()
                .filter(|(grade, _)| *grade == Grade::Warn)
                .count(),
            2
        );
    }

    #[test]
    fn a_refusal_and_silence_mend_differently() {
        let refused = unanswered(&Fault::Status(StatusCode::FORBIDDEN));
        assert!(refused.says.contains("does not know"), "{refused:?}");
        let silent = unanswered(&Fault::Slow);
        assert!(silent.remedy.unwrap().contains("systemctl"));
    }
}
