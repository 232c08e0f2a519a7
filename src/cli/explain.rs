//! `poolgate explain`: why something is as it is, in sentences.

use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::{ExplainArgs, Explained, HealthArgs, IdleArgs, ScalingArgs, ShowArgs};
use super::table::table;
use super::{Failure, client, plain};
use crate::admin::{HealthStory, ScalingStory, UserStory};
use crate::pool::explain::Candidate;
use crate::pool::idle::Idle;

pub(super) async fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    match (&args.what, &args.user) {
        (Some(Explained::Idle(args)), _) => explain_idle(args).await,
        (Some(Explained::Health(args)), _) => explain_health(args).await,
        (Some(Explained::Scaling(args)), _) => explain_scaling(args).await,
        (Some(Explained::User(args)), _) => {
            explain_user(&args.show, &args.user, args.pool.as_deref()).await
        }
        (None, Some(user)) => explain_user(&args.show, user, args.pool.as_deref()).await,
        (None, None) => {
            Err(anyhow::anyhow!("name a user, or write idle INSTANCE, health or scaling").into())
        }
    }
}

async fn explain_user(
    show: &ShowArgs,
    user: &str,
    pool: Option<&str>,
) -> Result<ExitCode, Failure> {
    let mut path = format!("/api/v1/explain/user?user={}", encode(user));
    if let Some(pool) = pool {
        path.push_str(&format!("&pool={}", encode(pool)));
    }
    client::show(show, &path, to_text).await
}

pub(super) fn to_text(story: UserStory) -> String {
    let mut text = paragraph(&story.text);
    for next in &story.person.next {
        let rows: Vec<_> = next.candidates.iter().map(row).collect();
        let by = next.protocol;
        let headings = ["", "INSTANCE", "SEATS", "SCORE", "WHY"];
        text.push_str(&format!("\nby {by}:\n{}", table(headings, rows)));
    }
    text
}

fn row(one: &Candidate) -> [String; 5] {
    [
        if one.is_chosen { ">" } else { " " }.to_owned(),
        one.instance.to_string(),
        format!("{}/{}", one.seats, one.capacity),
        one.score
            .map_or("-".to_owned(), |score| format!("{score:.3}")),
        plain::line(&one.why),
    ]
}

async fn explain_health(args: &HealthArgs) -> Result<ExitCode, Failure> {
    let mut path = "/api/v1/explain/health".to_owned();
    if let Some(instance) = &args.instance {
        path.push_str(&format!("?instance={}", encode(instance)));
    }
    let paragraphs = |stories: Vec<HealthStory>| {
        let texts = stories.iter().map(|story| paragraph(&story.text));
        texts.collect::<Vec<_>>().join("\n")
    };
    client::show(&args.show, &path, paragraphs).await
}

async fn explain_scaling(args: &ScalingArgs) -> Result<ExitCode, Failure> {
    let mut path = "/api/v1/explain/scaling".to_owned();
    if let Some(pool) = &args.pool {
        path.push_str(&format!("?pool={}", encode(pool)));
    }
    let paragraphs = |stories: Vec<ScalingStory>| {
        let texts = stories.iter().map(|story| paragraph(&story.text));
        texts.collect::<Vec<_>>().join("\n")
    };
    client::show(&args.show, &path, paragraphs).await
}

/// A sentence a line.
pub(super) fn paragraph(sentences: &[String]) -> String {
    let lines = sentences
        .iter()
        .map(|sentence| format!("{}\n", plain::line(sentence)));
    lines.collect()
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn explain_idle(args: &IdleArgs) -> Result<ExitCode, Failure> {
    let path = format!("/api/v1/idle?instance={}", encode(&args.instance));
    client::show(&args.show, &path, |idle: Idle| {
        plain::lines(&idle.to_string()) + "\n"
    })
    .await
}
