//! Each form is what its receiver takes, and other people's text stays text in it.

use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn event(number: u64, kind: EventKind, text: &str) -> Event {
    Event {
        number,
        time: UNIX_EPOCH + Duration::from_secs(1_900_000_000),
        pool: "main".to_owned(),
        instance: Some("vm1".to_owned()),
        user: None,
        kind,
        text: text.to_owned(),
    }
}

fn body(events: &[Event], form: WebhookForm) -> Value {
    let gate = "gate1";
    Message { gate, events }.body(form)
}

const NASTY: &str =
    "the session of <!channel> <@U123> &\n<https://x.example|here> [x](y) was ended";

#[test]
fn slack_is_given_no_mention_and_no_link() {
    let body = body(&[event(1, EventKind::Evict, NASTY)], WebhookForm::Slack);
    let text = body["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(
        text.starts_with(
            "17:46:40 UTC main/vm1: the session of &lt;!channel&gt; &lt;@U123&gt; &amp; "
        ),
        "{text}"
    );
    assert_eq!(body["blocks"][1]["text"]["verbatim"], true);
    assert!(!body.to_string().contains(['<', '>']));
    let fallback = body["text"].as_str().unwrap();
    assert!(fallback.starts_with("Poolgate on gate1: a session was ended\n17:46:40"));
}

#[test]
fn teams_is_given_a_card_of_plain_text() {
    let body = body(&[event(1, EventKind::Evict, NASTY)], WebhookForm::Teams);
    assert_eq!(body["type"], "message");
    let card = &body["attachments"][0]["content"];
    assert_eq!(
        (&card["type"], &card["version"]),
        (&"AdaptiveCard".into(), &"1.4".into())
    );
    assert!(card.get("msteams").is_none(), "no mentions");
    for block in card["body"].as_array().unwrap() {
        assert_eq!(
            block["type"], "RichTextBlock",
            "a TextBlock would read markdown"
        );
        assert_eq!(block["inlines"][0]["type"], "TextRun");
    }
    let told = card["body"][1]["inlines"][0]["text"].as_str().unwrap();
    assert!(
        told.contains("<!channel>") && !told.contains('\n'),
        "{told}"
    );
}

#[test]
fn a_flood_is_summed_up_and_fits() {
    let text = "x".repeat(5000);
    let events: Vec<_> = (0..22).map(|n| event(n, EventKind::Fault, &text)).collect();
    for form in [WebhookForm::Slack, WebhookForm::Teams] {
        let body = body(&events, form).to_string();
        assert!(body.contains("and 12 more of these"), "{body}");
        assert!(body.len() < 28_000, "{}", body.len());
    }
    let slack = body(&events, WebhookForm::Slack);
    assert!(slack["blocks"][1]["text"]["text"].as_str().unwrap().len() < 3000);
    let nasty: Vec<_> = (0..10)
        .map(|n| event(n, EventKind::Fault, &"<".repeat(5000)))
        .collect();
    let slack = body(&nasty, WebhookForm::Slack);
    assert_eq!(
        slack["blocks"][1]["text"]["text"],
        "10 events: poolgate events"
    );
    let json = body(&events, WebhookForm::Json);
    assert_eq!(
        (json["events"].as_array().unwrap().len(), &json["more"]),
        (10, &12.into())
    );
}

#[test]
fn programs_are_given_events_as_the_api_has_them() {
    let event = event(7, EventKind::WakeFailed, "no quota");
    let body = body(std::slice::from_ref(&event), WebhookForm::Json);
    assert_eq!(body["events"][0], serde_json::to_value(&event).unwrap());
    assert_eq!(
        (&body["gate"], &body["events"][0]["kind"]),
        (&"gate1".into(), &"wake-failed".into())
    );
}
