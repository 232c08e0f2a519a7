//! `poolgate token`: makes a token for the admin address. It is shown once and kept nowhere; the gate knows its hash.

use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;

use super::{Failure, print};
use crate::admin::{self, NewToken};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose it is, as events and the audit log will say
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do
    #[arg(long, value_enum)]
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// See everything
    Viewer,
    /// Also order: cordon, drain, keep, notify, evict, scale
    Operator,
    /// Everything
    Admin,
}

impl Role {
    fn meant(self) -> admin::Role {
        match self {
            Self::Viewer => admin::Role::Viewer,
            Self::Operator => admin::Role::Operator,
            Self::Admin => admin::Role::Admin,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let made = admin::new_token(&args.name, args.role.meant());
    let NewToken { token, line } = made.context("cannot make a token")?;
    let text = format!(
        "token: {}\nline of admin.tokens_file: {line}\n",
        token.as_str()
    );
    print::show(text.as_bytes())
}
