//! Channels as two scripted sides open, use and close them.

mod own;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{PolicyConfig, Programs};
use crate::identity::Restrictions;
use crate::ssh::wire::message::Writer;

const WINDOW: u32 = 2 << 20;

/// The client calls its channel 5, the instance calls it 9.
struct Scene {
    channels: Channels,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::under(Policy::default())
    }

    fn under(policy: Policy) -> Self {
        Self {
            channels: Channels::new(policy, None),
            now: Instant::now(),
        }
    }

    fn only(programs: Programs) -> Self {
        let config = PolicyConfig::default();
        let mut rules = config.rules;
        rules.programs = programs;
        let denied = config.deny_forward_to.into();
        Self::under(Policy::new(
            rules.into(),
            denied,
            Restrictions::unrestricted(),
        ))
    }

    fn client(&mut self, message: Vec<u8>) -> Passage {
        self.channels
            .take(Side::Client, &message, self.now)
            .unwrap()
    }

    fn instance(&mut self, message: Vec<u8>) -> Passage {
        self.channels
            .take(Side::Instance, &message, self.now)
            .unwrap()
    }

    fn open_session(&mut self) {
        let told = Passage::Replace(open("session", 5, WINDOW - reserve::RESERVE));
        assert_eq!(self.client(open("session", 5, WINDOW)), told);
        assert_eq!(self.instance(confirm(5, 9)), Passage::Pass);
    }

    /// A shell on a terminal.
    fn open_shell(&mut self) {
        self.open_session();
        assert_eq!(self.client(pty(9, true)), Passage::Pass);
        assert_eq!(self.client(request(9, "shell", true)), Passage::Pass);
        assert_eq!(self.instance(channel::bare(99, 5)), Passage::Pass);
        assert_eq!(self.instance(channel::bare(99, 5)), Passage::Pass);
    }

    fn answers(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let answers = self.channels.take_answers().unwrap_or_default();
        (answers.client, answers.instance)
    }

    fn told(&mut self) -> Vec<Vec<u8>> {
        self.answers().0
    }

    fn wait(&mut self, time: Duration) -> Vec<Vec<u8>> {
        self.now += time;
        if self.channels.alarm().is_some_and(|alarm| alarm <= self.now) {
            self.channels.ring(self.now);
        }
        self.told()
    }
}

fn open(kind: &str, id: u32, window: u32) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_OPEN).string(kind);
    head.u32(id).u32(window).u32(32 * 1024).finish()
}

fn confirm(recipient: u32, sender: u32) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_OPEN_CONFIRMATION);
    head.u32(recipient)
        .u32(sender)
        .u32(WINDOW)
        .u32(32 * 1024)
        .finish()
}

fn request(recipient: u32, name: &str, want_reply: bool) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_REQUEST).u32(recipient);
    head.string(name).boolean(want_reply).string("x").finish()
}

fn pty(recipient: u32, want_reply: bool) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_REQUEST).u32(recipient);
    let head = head.string("pty-req").boolean(want_reply).string("xterm");
    head.u32(80).u32(24).u32(0).u32(0).string([0]).finish()
}

fn resize(recipient: u32, columns: u32) -> Vec<u8> {
    let head = Writer::new(number::CHANNEL_REQUEST).u32(recipient);
    let head = head.string("window-change").boolean(false);
    head.u32(columns).u32(50).u32(0).u32(0).finish()
}

fn said(text: &str) -> Vec<u8> {
    channel::channel_data(5, notices::line(text).as_bytes())
}

#[test]
fn numbers_belong_to_the_side_that_chose_them() {
    let mut scene = Scene::new();
    scene.open_session();
    // The instance opens one of its own, with numbers that both are in use on the other side.
    assert_eq!(scene.instance(open("x11", 5, WINDOW)), Passage::Pass);
    assert_eq!(scene.client(confirm(5, 9)), Passage::Pass);
    assert_eq!(
        scene.client(channel::bare(number::CHANNEL_CLOSE, 5)),
        Passage::Pass
    );
    assert_eq!(
        scene.instance(channel::bare(number::CHANNEL_CLOSE, 9)),
        Passage::Pass
    );
    // The session is still there, its number cannot be used again; the other one's can.
    let again = open("session", 5, WINDOW);
    let taken = scene.channels.take(Side::Client, &again, scene.now);
    assert_eq!(taken, Err(ChannelError::Taken(5)));
    assert!(matches!(
        scene.client(open("session", 9, WINDOW)),
        Passage::Replace(_)
    ));
}

#[test]
fn a_request_on_a_channel_nobody_confirmed_ends_the_session() {
    let mut scene = Scene::new();
    scene.client(open("session", 5, WINDOW));
    let early = request(9, "exec", true);
    let outcome = scene.channels.take(Side::Client, &early, scene.now);
    assert_eq!(
        outcome,
        Err(ChannelError::Unknown {
            number: 98,
            channel: 9
        })
    );
    let wrong = scene
        .channels
        .take(Side::Instance, &confirm(6, 9), scene.now);
    assert_eq!(
        wrong,
        Err(ChannelError::Unknown {
            number: 91,
            channel: 6
        })
    );
    scene.instance(confirm(5, 9));
    let twice = scene
        .channels
        .take(Side::Instance, &confirm(5, 10), scene.now);
    assert_eq!(
        twice,
        Err(ChannelError::Unknown {
            number: 91,
            channel: 5
        })
    );
}

#[test]
fn a_refused_target_is_told_in_words() {
    let mut scene = Scene::new();
    let head = Writer::new(number::CHANNEL_OPEN).string("direct-tcpip");
    let head = head.u32(3).u32(WINDOW).u32(32 * 1024);
    let payload = head
        .string("169.254.169.254")
        .u32(80)
        .string("::1")
        .u32(1)
        .finish();
    assert_eq!(scene.client(payload), Passage::Drop);
    let text = "forwarding to 169.254.169.254:80 is not allowed";
    let why = OpenFailure::AdministrativelyProhibited;
    assert_eq!(scene.told(), [channel::open_failure(3, why, text)]);
    assert_eq!(scene.channels.take_refusals()[0].what, "local-forwarding");
}

#[test]
fn a_client_that_renounced_sessions_gets_no_more() {
    let mut scene = Scene::new();
    scene.open_session();
    let name = "no-more-sessions@openssh.com";
    let payload = Writer::new(number::GLOBAL_REQUEST)
        .string(name)
        .boolean(false)
        .finish();
    let request = GlobalRequest::parse(&payload).unwrap();
    assert!(scene.channels.permits_global(Side::Client, &request));
    assert_eq!(scene.client(open("session", 6, WINDOW)), Passage::Drop);
    assert_eq!(scene.told().len(), 1);
    assert_eq!(
        scene.client(open("direct-streamlocal@openssh.com", 6, WINDOW)),
        Passage::Pass
    );
}

#[test]
fn too_many_channels_are_refused_and_not_forgotten() {
    let mut scene = Scene::new();
    for id in 0..CHANNELS_MAX as u32 {
        assert_eq!(
            scene.client(open("direct-streamlocal@openssh.com", id, WINDOW)),
            Passage::Pass
        );
    }
    let one_more = open("session", 1 << 30, WINDOW);
    assert_eq!(scene.client(one_more.clone()), Passage::Drop);
    assert_eq!(scene.told().len(), 1);
    scene.instance(channel::open_failure(7, OpenFailure::ResourceShortage, ""));
    assert!(matches!(scene.client(one_more), Passage::Replace(_)));
}

#[test]
fn a_refused_command_says_why_and_ends_once_what_was_asked_before_is_answered() {
    let mut scene = Scene::only(Programs::Sftp);
    scene.open_session();
    assert_eq!(scene.client(request(9, "env", true)), Passage::Pass);
    assert_eq!(scene.client(request(9, "exec", true)), Passage::Drop);
    assert_eq!(scene.answers(), (vec![], vec![]));
    assert_eq!(
        scene.instance(channel::bare(number::CHANNEL_FAILURE, 5)),
        Passage::Pass
    );
    let line = notices::line("this service allows sftp connections only");
    let (client, instance) = scene.answers();
    let expected = [
        channel::bare(number::CHANNEL_SUCCESS, 5),
        channel::channel_error_data(5, line.as_bytes()),
        channel::exit_status(5, 1),
        channel::bare(number::CHANNEL_EOF, 5),
        channel::bare(number::CHANNEL_CLOSE, 5),
    ];
    assert_eq!(client, expected);
    assert_eq!(instance, [channel::bare(number::CHANNEL_CLOSE, 9)]);
    // What the client had sent already does not reach a channel that is closed.
    assert!(scene.channels.watches_data(Side::Client));
    let typed = channel::channel_data(9, b"typed");
    assert_eq!(scene.client(typed), Passage::Drop);
    for number in [number::CHANNEL_EOF, number::CHANNEL_CLOSE] {
        assert_eq!(scene.client(channel::bare(number, 9)), Passage::Drop);
        assert_eq!(scene.instance(channel::bare(number, 5)), Passage::Drop);
    }
    assert!(!scene.channels.watches_data(Side::Client));
    scene.open_session();
}

#[test]
fn a_refused_terminal_is_answered_in_its_turn() {
    let mut scene = Scene::only(Programs::Exec);
    scene.open_session();
    assert_eq!(scene.client(request(9, "env", true)), Passage::Pass);
    assert_eq!(scene.client(pty(9, true)), Passage::Drop);
    assert_eq!(scene.client(request(9, "exec", true)), Passage::Pass);
    assert_eq!(
        scene.instance(channel::bare(number::CHANNEL_SUCCESS, 5)),
        Passage::Pass
    );
    assert_eq!(scene.told(), [channel::bare(number::CHANNEL_FAILURE, 5)]);
    assert_eq!(
        scene.instance(channel::bare(number::CHANNEL_SUCCESS, 5)),
        Passage::Pass
    );
    // An answer nobody waits for would be taken for that to the next request.
    assert_eq!(
        scene.instance(channel::bare(number::CHANNEL_SUCCESS, 5)),
        Passage::Drop
    );
}

#[test]
fn a_notice_waits_for_silence_or_a_whole_sequence() {
    let mut scene = Scene::new();
    scene.open_shell();
    scene
        .channels
        .post(&"maintenance at noon".into(), scene.now);
    assert!(scene.channels.watches_data(Side::Instance));
    assert!(!scene.channels.watches_data(Side::Client));
    assert_eq!(scene.told(), Vec::<Vec<u8>>::new());
    scene.instance(channel::channel_data(5, b"\x1b[1;3"));
    assert_eq!(scene.told(), Vec::<Vec<u8>>::new());
    scene.instance(channel::channel_data(5, b"1mred"));
    assert_eq!(scene.told(), [said("maintenance at noon")]);
    assert!(!scene.channels.watches_data(Side::Instance));
    // In silence it is said after a moment, and never waits long.
    scene.channels.post(&"now".into(), scene.now);
    assert_eq!(scene.wait(Duration::from_millis(99)), Vec::<Vec<u8>>::new());
    assert_eq!(scene.wait(Duration::from_millis(1)), [said("now")]);
    scene.channels.post(&"busy".into(), scene.now);
    for _ in 0..19 {
        scene.instance(channel::channel_data(5, b"\x1b]0;"));
        assert_eq!(scene.wait(Duration::from_millis(50)), Vec::<Vec<u8>>::new());
    }
    assert_eq!(scene.wait(Duration::from_millis(50)), [said("busy")]);
}

#[test]
fn only_terminals_with_a_program_are_spoken_to() {
    let mut scene = Scene::new();
    scene.open_session();
    scene.client(request(9, "exec", true));
    scene.channels.post(&"x".into(), scene.now);
    assert!(!scene.channels.watches_data(Side::Instance));
    assert_eq!(scene.channels.alarm(), None);
    // The instance refuses the terminal that the client goes on without.
    let mut scene = Scene::new();
    scene.open_session();
    scene.client(pty(9, true));
    scene.client(request(9, "shell", true));
    scene.instance(channel::bare(number::CHANNEL_FAILURE, 5));
    scene.channels.post(&"x".into(), scene.now);
    assert!(!scene.channels.watches_data(Side::Instance));
    // Nobody reads behind the end of the output.
    let mut scene = Scene::new();
    scene.open_shell();
    scene.instance(channel::bare(number::CHANNEL_EOF, 5));
    scene.channels.post(&"x".into(), scene.now);
    assert_eq!(scene.wait(Duration::from_secs(2)), Vec::<Vec<u8>>::new());
}

#[test]
fn what_a_notice_took_comes_out_of_the_next_grants() {
    let mut scene = Scene::new();
    scene.open_shell();
    let text = "n".repeat(900);
    let length = notices::line(&text).len() as u32;
    scene.channels.post(&text.as_str().into(), scene.now);
    assert_eq!(scene.wait(Duration::from_secs(1)).len(), 1);
    assert_eq!(
        scene.client(channel::window_adjust(9, length - 10)),
        Passage::Drop
    );
    let rest = Passage::Replace(channel::window_adjust(9, 90));
    assert_eq!(scene.client(channel::window_adjust(9, 100)), rest);
    assert_eq!(scene.client(channel::window_adjust(9, 100)), Passage::Pass);
    // The instance's own grants are not the gate's to touch.
    assert_eq!(
        scene.instance(channel::window_adjust(5, 100)),
        Passage::Pass
    );
}

#[test]
fn a_last_word_does_not_wait() {
    let mut scene = Scene::new();
    scene.open_shell();
    scene.channels.post(&"goodbye".into(), scene.now);
    scene.channels.speak_all(scene.now);
    assert_eq!(scene.told(), [said("goodbye")]);
}

#[test]
fn a_refused_agent_is_told_on_the_terminal() {
    let own = Restrictions {
        permit_agent_forwarding: false,
        ..Restrictions::unrestricted()
    };
    let config = PolicyConfig::default();
    let denied = config.deny_forward_to.into();
    let mut scene = Scene::under(Policy::new(config.rules.into(), denied, own));
    scene.open_session();
    assert_eq!(
        scene.client(request(9, "auth-agent-req@openssh.com", false)),
        Passage::Drop
    );
    scene.client(pty(9, false));
    assert_eq!(scene.wait(Duration::from_secs(2)), Vec::<Vec<u8>>::new());
    scene.client(request(9, "shell", false));
    let text = "your agent is not forwarded: it is not allowed here";
    assert_eq!(scene.wait(Duration::from_secs(2)), [said(text)]);
}

proptest! {
    /// Whatever either side sends, the table stays sound: nothing panics, and the counts that say whether data must be
    /// looked at are those of the channels that are there.
    #[test]
    fn any_messages_keep_the_table_sound(messages in prop::collection::vec((any::<bool>(), 90u8..=100, 0u32..3, 0u32..3, 0usize..6), 0..60)) {
        let mut scene = Scene::only(Programs::Exec);
        for (is_client, number, id, other, name) in messages {
            let name = ["pty-req", "shell", "exec", "subsystem", "window-change", "env"][name];
            let message = match number {
                number::CHANNEL_OPEN => open("session", id, 5000),
                number::CHANNEL_OPEN_CONFIRMATION => confirm(id, other),
                number::CHANNEL_OPEN_FAILURE => channel::open_failure(id, OpenFailure::ResourceShortage, ""),
                number::CHANNEL_WINDOW_ADJUST => channel::window_adjust(id, other * 1000),
                number::CHANNEL_DATA => channel::channel_data(id, b"data"),
                number::CHANNEL_EXTENDED_DATA => channel::channel_error_data(id, b"data"),
                number::CHANNEL_REQUEST if name == "pty-req" => pty(id, other > 0),
                number::CHANNEL_REQUEST => request(id, name, other > 0),
                number => channel::bare(number, id),
            };
            let from = if is_client { Side::Client } else { Side::Instance };
            let _ = scene.channels.take(from, &message, scene.now);
            scene.channels.post(&"x".into(), scene.now);
            scene.now += Duration::from_millis(60);
            scene.channels.ring(scene.now);
            scene.channels.take_answers();
            scene.channels.take_refusals();
            let mut counted = Tally::default();
            for key in scene.channels.table.keys() {
                let channel = scene.channels.table.get(key).unwrap();
                counted.exchange(Tally::default(), Tally::of(channel));
            }
            let tally = scene.channels.tally;
            prop_assert_eq!((tally.cut, tally.terminals, tally.noticed), (counted.cut, counted.terminals, counted.noticed));
        }
    }
}

mod watching;
