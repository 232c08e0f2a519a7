//! What a webhook is sent: JSON as Slack, Teams or a program of somebody's own takes it. Pure.
//!
//! Names and reasons are other people's text. Slack and Teams turn some of it into mentions, links and looks; here it stays
//! text: Slack's three letters of meaning are escaped, and Teams gets runs of text, which have no markup.

use serde_json::{Value, json};

use crate::config::WebhookForm;
use crate::telemetry::events::{Event, EventKind};

/// Lines of one message; more of them are counted only.
pub const SHOWN_MAX: usize = 10;
/// Of one line; Slack refuses a text above 3000 letters, and Teams a message above 28 KB.
const LINE_LETTERS_MAX: usize = 250;

/// Of the lines of one message, with room for their ends.
const SLACK_BYTES_MAX: usize = 2900;

/// What is told at once.
pub struct Message<'a> {
    /// The gate's host, as several may tell the same channel.
    pub gate: &'a str,
    /// The oldest first.
    pub events: &'a [Event],
}

impl Message<'_> {
    pub fn body(&self, form: WebhookForm) -> Value {
        match form {
            WebhookForm::Slack => self.slack(),
            WebhookForm::Teams => self.teams(),
            WebhookForm::Json => self.json(),
        }
    }

    fn shown(&self) -> &[Event] {
        self.events.get(..SHOWN_MAX).unwrap_or(self.events)
    }

    fn title(&self) -> String {
        let kind = match self.events {
            [] => "nothing",
            [event, rest @ ..] if rest.iter().all(|one| one.kind == event.kind) => {
                heading(event.kind)
            }
            _ => "several events",
        };
        format!("Poolgate on {}: {kind}", self.gate)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.shown().iter().map(line).collect();
        let more = self.events.len() - self.shown().len();
        if more > 0 {
            lines.push(format!("and {more} more of these: poolgate events"));
        }
        lines
    }

    fn slack(&self) -> Value {
        let title = escaped_for_slack(&self.title());
        let lines = self.lines();
        let mut lines: Vec<_> = lines.iter().map(|line| escaped_for_slack(line)).collect();
        if lines.iter().map(String::len).sum::<usize>() > SLACK_BYTES_MAX {
            // Somebody's text is all letters that grow when they are escaped.
            lines = vec![format!("{} events: poolgate events", self.events.len())];
        }
        let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
        json!({
            "text": format!("{title}\n{}", lines.join("\n")),
            "unfurl_links": false,
            "blocks": [section(format!("*{title}*")), section(lines.join("\n"))],
        })
    }

    /// An Adaptive Card in the envelope that Teams' Workflows take.
    fn teams(&self) -> Value {
        let text = |text: &str, is_title: bool| {
            let weight = if is_title { "Bolder" } else { "Default" };
            let run = json!({"type": "TextRun", "text": text, "weight": weight});
            json!({"type": "RichTextBlock", "inlines": [run]})
        };
        let mut body = vec![text(&self.title(), true)];
        body.extend(self.lines().iter().map(|line| text(line, false)));
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": body,
                },
            }],
        })
    }

    fn json(&self) -> Value {
        json!({
            "gate": self.gate,
            "events": self.shown(),
            "more": self.events.len() - self.shown().len(),
        })
    }
}

fn heading(kind: EventKind) -> &'static str {
    match kind {
        EventKind::WakeFailed => "people wait and no machine comes up",
        EventKind::Evict => "a session was ended",
        EventKind::CertificateExpiry => "a certificate ends soon",
        EventKind::Freeze => "a pool is not resized, or is again",
        EventKind::ReloadRefused => "a reload was refused",
        EventKind::UpgradeFailed => "an upgrade failed, and the gate goes on",
        EventKind::Fault => "something stands in the way",
        EventKind::Test => "a try of this webhook",
        other => other.name(),
    }
}

/// `08:24:18 UTC main/vm1: TEXT`, one line whatever is in the text.
fn line(event: &Event) -> String {
    let time = jiff::Timestamp::try_from(event.time).unwrap_or_default();
    let time = time.strftime("%H:%M:%S UTC");
    let place = match event.pool.is_empty() {
        true => String::new(),
        false => format!(" {}", event.place()),
    };
    let text = format!("{time}{place}: {}", event.text);
    let harmless = text.chars().map(|c| if is_harmful(c) { ' ' } else { c });
    let mut kept: String = harmless.clone().take(LINE_LETTERS_MAX).collect();
    if harmless.count() > LINE_LETTERS_MAX {
        kept.push('…');
    }
    kept
}

fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// With these escaped there is no `<!channel>`, no `<@U123>` and no `<https://...|text>`; `verbatim` keeps the rest from
/// becoming links and mentions.
fn escaped_for_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
