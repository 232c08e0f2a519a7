//! Programs of the gate's own, on channels of a session that goes on undisturbed.

use super::*;

/// Says what it was asked, for commands that begin with `own`.
struct Echo;

impl OwnPrograms for Echo {
    fn run(&mut self, command: &[u8]) -> Option<Said> {
        let command = std::str::from_utf8(command).ok()?;
        match command.strip_prefix("own ")? {
            "fail" => Some(Said::failed("it failed")),
            word => Some(Said::well(word)),
        }
    }
}

fn scene() -> Scene {
    let mut scene = Scene::new();
    let channels = std::mem::take(&mut scene.channels);
    scene.channels = channels.with_own(Some(Box::new(Echo)));
    scene.open_session();
    scene
}

fn exec(command: &str, want_reply: bool) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_REQUEST).u32(9).string("exec");
    head.boolean(want_reply).string(command).finish()
}

fn close_of(said: Vec<u8>, status: u32) -> Vec<Vec<u8>> {
    vec![
        said,
        channel::exit_status(5, status),
        channel::bare(number::CHANNEL_EOF, 5),
        channel::bare(number::CHANNEL_CLOSE, 5),
    ]
}

fn success() -> Vec<u8> {
    channel::bare(number::CHANNEL_SUCCESS, 5)
}

#[test]
fn a_program_of_the_gates_own_answers_in_the_instances_place() {
    for want_reply in [true, false] {
        let mut scene = scene();
        assert_eq!(scene.client(exec("own words", want_reply)), Passage::Drop);
        let (client, instance) = scene.answers();
        let mut expected = close_of(channel::channel_data(5, b"words\n"), 0);
        if want_reply {
            expected.insert(0, success());
        }
        assert_eq!(client, expected);
        assert_eq!(instance, [channel::bare(number::CHANNEL_CLOSE, 9)]);
        // What crosses on the way is nobody's: standard input, its end, and both confirmations of the close.
        let input = channel::channel_data(9, b"input");
        assert_eq!(scene.client(input), Passage::Drop);
        for ends in [number::CHANNEL_EOF, number::CHANNEL_CLOSE] {
            assert_eq!(scene.client(channel::bare(ends, 9)), Passage::Drop);
            assert_eq!(scene.instance(channel::bare(ends, 5)), Passage::Drop);
        }
        assert!(scene.channels.take_answers().is_none());
        assert!(scene.channels.take_refusals().is_empty());
        assert!(!scene.channels.watches_data(Side::Client));
        // Both numbers are free again.
        scene.open_session();
        assert_eq!(scene.client(exec("other", true)), Passage::Pass);
    }
}

#[test]
fn a_failure_is_told_on_standard_error_and_by_its_status() {
    let mut scene = scene();
    scene.client(exec("own fail", false));
    let expected = close_of(channel::channel_error_data(5, b"it failed\n"), 1);
    assert_eq!(scene.told(), expected);
}

#[test]
fn an_answer_waits_for_those_before_it_and_suits_its_terminal() {
    let mut scene = scene();
    assert_eq!(scene.client(pty(9, true)), Passage::Pass);
    assert_eq!(scene.client(exec("own words", true)), Passage::Drop);
    assert!(scene.told().is_empty(), "the terminal is answered first");
    assert_eq!(scene.instance(success()), Passage::Pass);
    let mut expected = close_of(channel::channel_data(5, b"words\r\n"), 0);
    expected.insert(0, success());
    assert_eq!(scene.told(), expected);
}

#[test]
fn what_is_not_the_gates_own_passes() {
    let mut scene = scene();
    for message in [request(9, "subsystem", true), request(9, "env", false)] {
        assert_eq!(scene.client(message), Passage::Pass);
    }
    assert_eq!(scene.client(exec("ls", true)), Passage::Pass);
    // A channel runs one program.
    assert_eq!(scene.client(exec("own words", true)), Passage::Pass);
    assert!(scene.told().is_empty());
}

#[test]
fn where_commands_are_not_allowed_those_of_the_gate_are_not_either() {
    let mut scene = Scene::only(Programs::Sftp);
    let channels = std::mem::take(&mut scene.channels);
    scene.channels = channels.with_own(Some(Box::new(Echo)));
    scene.open_session();
    assert_eq!(scene.client(exec("own words", true)), Passage::Drop);
    assert_eq!(scene.channels.take_refusals()[0].what, "program");
}

/// Each side is done with its number when it has closed, whether or not the other has: what still comes is the old channel's.
#[test]
fn a_number_is_used_again_while_the_other_side_has_yet_to_close() {
    let mut scene = scene();
    let close = |to| channel::bare(number::CHANNEL_CLOSE, to);
    assert_eq!(scene.client(exec("own words", true)), Passage::Drop);
    scene.answers();
    assert_eq!(scene.client(close(9)), Passage::Drop);
    let again = open("session", 5, WINDOW);
    assert!(matches!(scene.client(again), Passage::Replace(_)));
    let late = channel::window_adjust(5, 100);
    assert_eq!(
        scene.instance(late.clone()),
        Passage::Drop,
        "of the old one"
    );
    assert_eq!(scene.instance(close(5)), Passage::Drop);
    assert_eq!(scene.instance(confirm(5, 9)), Passage::Pass);
    assert_eq!(scene.instance(late), Passage::Pass);
    assert_eq!(scene.client(exec("other", true)), Passage::Pass);

    let mut scene = self::scene();
    assert_eq!(scene.client(exec("own words", true)), Passage::Drop);
    scene.answers();
    assert!(matches!(
        scene.client(open("session", 6, WINDOW)),
        Passage::Replace(_)
    ));
    assert_eq!(scene.instance(close(5)), Passage::Drop);
    assert_eq!(
        scene.instance(confirm(6, 9)),
        Passage::Pass,
        "the number of the one it closed"
    );
    assert_eq!(
        scene.client(channel::channel_data(9, b"late")),
        Passage::Drop
    );
    assert_eq!(scene.client(close(9)), Passage::Drop);
    assert_eq!(scene.client(exec("other", true)), Passage::Pass);
    let taken = open("session", 6, WINDOW);
    assert!(
        scene
            .channels
            .take(Side::Client, &taken, scene.now)
            .is_err()
    );
}
