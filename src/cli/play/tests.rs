use super::*;

fn reader(text: &str) -> Reader<&[u8]> {
    Reader::new(text.as_bytes())
}

const HEADER: &str = "{\"version\":2,\"width\":80,\"height\":24}\n";

fn fault(text: &str) -> String {
    check(&mut reader(text)).unwrap_err().to_string()
}

async fn played(text: &str, pace: Pace) -> (String, Duration) {
    let began = tokio::time::Instant::now();
    let mut out = Vec::new();
    play(&mut reader(text), pace, &mut out, None).await.unwrap();
    (String::from_utf8(out).unwrap(), began.elapsed())
}

const AS_IT_WAS: Pace = Pace {
    speed: 1.0,
    idle_max: None,
};

#[tokio::test(start_paused = true)]
async fn pauses_are_those_of_the_recording_or_shorter() {
    let cast =
        format!("{HEADER}[0.5, \"o\", \"a\"]\n[1.5, \"r\", \"1x1\"]\n[100.5, \"o\", \"b\"]\n");
    let (text, took) = played(&cast, AS_IT_WAS).await;
    assert_eq!(text, format!("ab{}", screen::LEAVE));
    assert!((100..=101).contains(&took.as_secs()), "{took:?}");
    let (_, took) = played(
        &cast,
        Pace {
            speed: 10.0,
            ..AS_IT_WAS
        },
    )
    .await;
    assert!((10_000..=10_200).contains(&took.as_millis()), "{took:?}");
    let idle_max = Some(Duration::from_secs(2));
    let (_, took) = played(
        &cast,
        Pace {
            idle_max,
            ..AS_IT_WAS
        },
    )
    .await;
    assert!((3_500..=3_600).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_broken_file_is_refused_with_its_line_and_reason() {
    assert_eq!(fault(""), "1: the file is empty");
    assert!(fault("[pools]\n").starts_with("1: is no header of an asciicast: "));
    assert_eq!(
        fault("{\"version\": 3, \"term\": {}}\n"),
        "1: is an asciicast of version 3; only version 2 is played"
    );
    assert_eq!(
        fault("{\"version\":2,\"width\":80}\n"),
        "1: the header is broken: missing field `height` at column 24"
    );
    assert_eq!(
        fault("{\"version\":2,\"width\":0,\"height\":1}\n"),
        "1: the header names a terminal without width or height"
    );
    let events = |lines: &str| fault(&format!("{HEADER}[0.1, \"o\", \"a\"]\n{lines}"));
    assert!(events("[0.2, \"o\"]\n").starts_with("3: is no event ([seconds, \"o\", \"text\"]): "));
    assert_eq!(
        events("[0.05, \"o\", \"b\"]\n"),
        "3: happens before the line above it"
    );
    assert_eq!(
        events("[-1, \"o\", \"b\"]\n"),
        "3: -1 is no time in seconds"
    );
    assert_eq!(
        events("[0.2, \"o\", \"b"),
        "3: ends in the middle: the recording was cut short, or is still being written"
    );
    let latin = [HEADER.as_bytes(), b"[0.1, \"o\", \"\xff\"]\n"].concat();
    let told = check(&mut Reader::new(latin.as_slice())).unwrap_err();
    assert_eq!(told.to_string(), "2: is no UTF-8 text");
}

#[test]
fn what_is_no_terminal_gets_the_text_as_it_was() {
    let cast = format!(
        "{HEADER}[0, \"o\", \"a\\u001b[6n\"]\n[9, \"i\", \"x\"]\n[9, \"z\", \"\"]\n[99, \"o\", \"b\"]\n"
    );
    let mut out = Vec::new();
    copy(&mut reader(&cast), &mut out).unwrap();
    assert_eq!(out, b"a\x1b[6nb");
}

fn shown(events: &[&str]) -> String {
    let mut screen = Screen::default();
    let mut out = String::new();
    for event in events {
        screen.filter(event, &mut out);
    }
    out
}

#[test]
fn drawing_passes() {
    for text in [
        "gr\u{fc}n\r\n\x07",
        "\x1b[1;31mred\x1b[0m\x1b[38;5;9m\x1b[38:2::1:2:3m",
        "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[?25l\x1b[?1049h\x1b[1;24r",
        "\x1b(0lqk\x1b(B\x1b7\x1b8\x1bM",
    ] {
        assert_eq!(shown(&[text]), text, "{text:?}");
        let split: Vec<_> = text.split("").collect();
        assert_eq!(shown(&split), text, "an event for each character");
    }
}

#[test]
fn what_would_act_on_the_terminal_is_left_out() {
    for text in [
        "\x1b[6n",
        "\x1b[c\x1b[>c\x1b[=c\x05\x1bZ",
        "\x1b[21t\x1b[8;50;132t",
        "\x1b[?1000h\x1b[?2004h\x1b[?1004h\x1b[?25;1006h",
        "\x1b]0;title\x07",
        "\x1b]52;c;cm0gLXJm\x1b\\",
        "\x1bP$q\"p\x1b\\",
        "\x1b_G\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\",
        "\x1bc\x1b[!p\x1b[>4;2m\x1b[?u\x1b[5i",
        "\u{9b}6n\u{85}",
    ] {
        let left = shown(&[&format!("a{text}b")]);
        let left = left.strip_prefix('a').unwrap().strip_suffix('b').unwrap();
        assert!(["", "6n"].contains(&left), "{text:?}: {left:?}");
    }
    let endless = format!("\x1b[{}m", "1;".repeat(1000));
    assert!(!shown(&[&endless]).contains('\x1b'));
}

#[test]
fn speeds_and_lengths_are_judged() {
    assert_eq!(speed("2"), Ok(2.0));
    for bad in ["0", "-1", "x", "NaN", "inf", "1e9"] {
        assert!(speed(bad).is_err(), "{bad}");
    }
    assert_eq!(length("500ms"), Ok(Duration::from_millis(500)));
    assert!(length("5").is_err());
}
