//! `poolgate doctor`: everything a gate depends on, looked at from its machine: what is well, what is not, and the command that
//! mends it.
//!
//! It needs no running gate and changes nothing; a gate that runs is asked for what only it knows (its limits, the instances of
//! fleets that come and go). Each part is a file: `machine` and `doors` for this machine, `keys` for a person's,
//! `around` for what else it speaks to, `fleets` for clouds, `instances` for the rest.

mod around;
mod collector;
mod doors;
mod fleets;
mod instances;
mod keys;
mod machine;

use std::process::ExitCode;

use serde::Serialize;

use super::args::{DoctorArgs, Output};
use super::paint::Meaning;
use super::{Failure, client, plain, print};
use crate::admin::Status;
use crate::config;
use crate::ssh::examine::{Finding, Verdict};

/// One thing that was looked at, and where.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// An instance as POOL/NAME, a key of the configuration, or a word for a part of this machine.
    subject: String,
    #[serde(flatten)]
    finding: Finding,
}

impl Check {
    fn ok(subject: impl Into<String>, says: impl Into<String>) -> Self {
        Self::of(subject, Verdict::Ok, says, None)
    }

    fn warn(
        subject: impl Into<String>,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(subject, Verdict::Warn, says, Some(remedy.into()))
    }

    pub(super) fn fail(
        subject: impl Into<String>,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(subject, Verdict::Fail, says, Some(remedy.into()))
    }

    fn of(
        subject: impl Into<String>,
        verdict: Verdict,
        says: impl Into<String>,
        remedy: Option<String>,
    ) -> Self {
        let says = says.into();
        Self {
            subject: subject.into(),
            finding: Finding {
                verdict,
                says,
                remedy,
            },
        }
    }
}

pub(super) async fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let gate = &args.show.gate;
    let file = config::file_to_read(gate.config.config.as_deref());
    let config = config::load(Some(&file))?;
    let status = client::read::<Status>(gate, "/api/v1/status").await;
    let is_running = status.is_ok();
    let mut checks = vec![Check::ok(
        "config",
        format!("{}: no faults", file.display()),
    )];
    checks.push(gate_at_work(status));
    checks.extend(machine::look(&config, gate, is_running).await);
    checks.extend(doors::look(&config, is_running).await);
    checks.extend(around::look(&config).await);
    checks.extend(fleets::look(&config).await);
    checks.extend(collector::look(&config).await);
    if let Some(user) = &args.user {
        checks.extend(keys::look(&config, user).await);
    }
    checks.extend(instances::look(&config, args, is_running).await?);
    let is_bad = |check: &Check| check.finding.verdict == Verdict::Fail;
    let code = match checks.iter().any(is_bad) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    };
    match args.show.output {
        Output::Json => print::show_json(&checks)?,
        Output::Table => print::show(checks.iter().map(line).collect::<String>().as_bytes())?,
    };
    Ok(code)
}

/// Whether a gate runs here by this configuration, and whether a login could succeed at it.
fn gate_at_work(status: Result<Status, Failure>) -> Check {
    match status {
        Err(Failure::Other(error) | Failure::Lasting(error)) => Check::warn(
            "gate",
            format!("no gate answers at the admin socket: {error:#}"),
            "systemctl start poolgate; journalctl -u poolgate -n 50",
        ),
        Err(Failure::Config(faults)) => Check::fail("gate", faults.to_string(), "poolgate check"),
        Ok(status) => match (&status.readiness.reason, &status.config.refused) {
            (Some(reason), _) => Check::fail(
                "gate",
                format!("it runs, and no login could succeed: {reason}"),
                "poolgate explain health",
            ),
            (None, Some(_)) => Check::warn(
                "gate",
                "it runs with the configuration of before: the file was refused when it was read again",
                "poolgate check; poolgate reload",
            ),
            (None, None) => Check::ok(
                "gate",
                format!("poolgate {} runs, and is ready", status.version),
            ),
        },
    }
}

pub(super) fn line(check: &Check) -> String {
    let word = match check.finding.verdict {
        Verdict::Ok => Meaning::Good.paint("ok  "),
        Verdict::Warn => Meaning::Watch.paint("warn"),
        Verdict::Fail => Meaning::Bad.paint("FAIL"),
    };
    let (subject, says) = (
        plain::line(&check.subject),
        plain::line(&check.finding.says),
    );
    match &check.finding.remedy {
        Some(remedy) => format!("{word} {subject}: {says}\n       {}\n", plain::line(remedy)),
        None => format!("{word} {subject}: {says}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_an_object_with_its_verdict() {
        let check = Check::fail("main/vm1", "is gone", "start it");
        assert_eq!(
            serde_json::to_value(&check).unwrap(),
            serde_json::json!({"subject": "main/vm1", "verdict": "fail", "says": "is gone", "remedy": "start it"})
        );
        let told = anstream::adapter::strip_str(&line(&check)).to_string();
        assert_eq!(told, "FAIL main/vm1: is gone\n       start it\n");
    }
}
