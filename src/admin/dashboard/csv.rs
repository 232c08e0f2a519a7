//! Machines and sessions as CSV (RFC 4180), with the filters of their pages. Pure.

use jiff::Timestamp;

use super::pages::{machines, sessions};
use super::scene::Scene;
use super::states::State;
use super::words::plain;

pub fn machines(scene: &Scene, asked: &machines::Asked) -> String {
    let heading = "pool,name,address,state,reason,health,health_since,sessions,seats_taken,capacity,load_percent\r\n";
    let mut text = heading.to_owned();
    for view in machines::select(scene, asked) {
        let percent = view.measured.as_ref().map(|told| told.load_percent);
        line(
            &mut text,
            &[
                &view.pool,
                &view.name,
                &view.address,
                State::of(view).name(),
                view.reason.as_deref().unwrap_or_default(),
                view.health.name(),
                &stamp(view.health_since),
                &view.sessions.to_string(),
                &view.load.to_string(),
                &view.capacity.to_string(),
                &percent.map_or_else(String::new, |percent| percent.to_string()),
            ],
        );
    }
    text
}

pub fn sessions(scene: &Scene, asked: &sessions::Asked) -> String {
    let mut text = "id,user,protocol,pool,instance,peer,since,stage\r\n".to_owned();
    for view in sessions::select(scene, asked) {
        let stage = serde_json::to_value(view.stage).unwrap_or_default();
        line(
            &mut text,
            &[
                &view.id.to_string(),
                view.user.as_deref().unwrap_or_default(),
                view.protocol.name(),
                &view.pool,
                &view.instance,
                &view.peer.to_string(),
                &stamp(view.since),
                stage.as_str().unwrap_or_default(),
            ],
        );
    }
    text
}

fn stamp(at: std::time::SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or_default();
    format!("{at:.0}")
}

fn line(text: &mut String, fields: &[&str]) {
    text.push_str(&csv_line(fields));
}

/// One line of these fields, with its end.
pub fn csv_line(fields: &[&str]) -> String {
    let mut text = String::new();
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&quoted(field));
    }
    text.push_str("\r\n");
    text
}

/// What begins a formula, also as wide letters.
const FORMULA: [char; 8] = [
    '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// A spreadsheet takes a field that begins like a formula for one, also behind spaces: such a field is given a leading
/// apostrophe.
fn quoted(field: &str) -> String {
    let field = plain(field);
    let is_formula = field.trim_start().starts_with(FORMULA) && field.len() > 1;
    let lead = if is_formula { "'" } else { "" };
    if is_formula || field.contains(['"', ',', '\'']) {
        return format!("\"{lead}{}\"", field.replace('"', "\"\""));
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_field_whatever_it_holds() {
        let mut text = String::new();
        line(
            &mut text,
            &["a", "b,c", "d\"e", "=cmd|'/c calc'!A1", "f\r\ng", "-"],
        );
        assert_eq!(
            text,
            "a,\"b,c\",\"d\"\"e\",\"'=cmd|'/c calc'!A1\",f⟨U+000D⟩⟨U+000A⟩g,-\r\n"
        );
        for formula in [
            "=1+1", "+1", "-1+1", "@SUM(A1)", " =1", "\u{a0}@x", "＝1+1", "＠x",
        ] {
            assert_eq!(quoted(formula), format!("\"'{formula}\""));
        }
        assert_eq!(quoted("\t=1"), "⟨U+0009⟩=1");
    }
}
