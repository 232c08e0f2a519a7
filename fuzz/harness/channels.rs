//! Messages about channels in one relayed session, hostile ones from both sides, under every kind of policy.
//!
//! What passes is held against a model that reads as little of a message as is needed: what no policy may let through, and
//! the client's windows, which neither the instance nor the gate may overstep.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use poolgate::config::{PolicyConfig, Programs};
use poolgate::identity::Restrictions;
use poolgate::ssh::channels::{Channels, Observer, OwnPrograms, Passage, Program, Said, Side};
use poolgate::ssh::policy::Policy;
use poolgate::ssh::wire::message::channel::{TerminalRequest, TerminalSize};
use poolgate::ssh::wire::message::{GlobalRequest, number};

use super::parts;

static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
static POLICIES: LazyLock<[Policy; 4]> = LazyLock::new(|| {
    let policy = |programs, own| {
        let config = PolicyConfig::default();
        let mut rules = config.rules;
        rules.programs = programs;
        if programs == Programs::Sftp {
            (
                rules.agent_forwarding,
                rules.x11_forwarding,
                rules.unix_sockets,
            ) = (false, false, false);
            rules.permit_open.clear();
            rules.permit_listen.clear();
        }
        Policy::new(rules.into(), config.deny_forward_to.into(), own)
    };
    let nothing = Restrictions {
        permit_pty: false,
        permit_agent_forwarding: false,
        permit_x11_forwarding: false,
        permit_port_forwarding: false,
        ..Restrictions::unrestricted()
    };
    let any = Restrictions::unrestricted;
    [
        policy(Programs::Any, any()),
        policy(Programs::Exec, any()),
        policy(Programs::Sftp, any()),
        policy(Programs::Any, nothing),
    ]
});
const EXEC: usize = 1;
const SFTP: usize = 2;
const RESTRICTED: usize = 3;

/// What the gate may say of its own after one message: refusals that waited, and a farewell.
const ANSWERS_MAX: usize = 8 * 1024;

/// The first byte: the policy, whether somebody watches, and whether the gate has programs of its own. Then parts: the first byte of each is who speaks or what
/// happens, the rest the message.
pub fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let which = usize::from(mode & 3);
    let observer = (mode & 4 != 0).then(|| Box::new(Onlooker::default()) as Box<dyn Observer>);
    let own = (mode & 8 != 0).then(|| Box::new(Own) as Box<dyn OwnPrograms>);
    let mut scene = Scene {
        channels: Channels::new(POLICIES[which].clone(), observer).with_own(own),
        which,
        now: *NOW,
        renounced: false,
        sessions: HashMap::new(),
    };
    for part in parts(data) {
        let Some((act, message)) = part.split_first() else {
            scene.wait(Duration::from_millis(60));
            continue;
        };
        let goes_on = match act & 7 {
            0..=2 => scene.relay(Side::Client, message),
            3..=5 => scene.relay(Side::Instance, message),
            6 => {
                let text = String::from_utf8_lossy(message);
                scene.channels.post(&(*text).into(), scene.now);
                true
            }
            _ => {
                scene.wait(Duration::from_secs(message.len() as u64));
                true
            }
        };
        if !goes_on {
            return;
        }
    }
    scene.channels.speak_all(scene.now);
    scene.hear_answers(usize::MAX);
}

/// A program of the gate's own, which repeats its words.
struct Own;

impl OwnPrograms for Own {
    fn run(&mut self, command: &[u8]) -> Option<Said> {
        let words = command.strip_prefix(b"poolgate keep")?;
        let text = String::from_utf8_lossy(words.get(..40).unwrap_or(words));
        Some(match text.len() % 2 {
            0 => Said::well(&text),
            _ => Said::failed(&text),
        })
    }
}

/// A session channel of the client's, as windows go.
#[derive(Default)]
struct Session {
    instance_id: Option<u32>,
    /// What the client has allowed, what the instance was told of it, what the gate has used itself.
    granted: u64,
    told: u64,
    said: u64,
    closed: [bool; 2],
}

struct Scene {
    channels: Channels,
    which: usize,
    now: Instant,
    renounced: bool,
    /// By the client's number.
    sessions: HashMap<u32, Session>,
}

impl Scene {
    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.channels.alarm().is_some_and(|alarm| alarm <= self.now) {
            self.channels.ring(self.now);
            assert!(
                self.channels.alarm().is_none_or(|next| next > self.now),
                "it would ring for ever"
            );
        }
        self.hear_answers(usize::MAX);
    }

    /// `false`: the session is over.
    fn relay(&mut self, from: Side, message: &[u8]) -> bool {
        match message.first() {
            Some(&number::GLOBAL_REQUEST) => self.relay_global(from, message),
            Some(90..=127) => {
                let unread = is_data(message) && !self.channels.watches_data(from);
                let passage = match unread {
                    true => Ok(Passage::Pass),
                    false => self.channels.take(from, message, self.now),
                };
                let passage = match passage {
                    Ok(passage) => passage,
                    Err(error) => {
                        let _ = error.to_string();
                        return false;
                    }
                };
                self.check(from, message, &passage);
                self.hear_answers(ANSWERS_MAX);
                assert!(self.channels.take_refusals().len() <= 1);
                true
            }
            _ => true,
        }
    }

    fn relay_global(&mut self, from: Side, message: &[u8]) -> bool {
        let Ok(request) = GlobalRequest::parse(message) else {
            return false;
        };
        let passes = self.channels.permits_global(from, &request);
        if from == Side::Client {
            self.renounced |= request.name == b"no-more-sessions@openssh.com";
            let listens = request.name == b"tcpip-forward"
                || request.name == b"streamlocal-forward@openssh.com";
            let may_listen = self.which != SFTP && self.which != RESTRICTED;
            assert!(
                !passes || !listens || may_listen,
                "a listener was let through"
            );
        }
        let _ = self.channels.take_refusals();
        true
    }

    fn check(&mut self, from: Side, message: &[u8], passage: &Passage) {
        match passage {
            Passage::Pass => {}
            Passage::Drop => {
                self.follow_close(from, message);
                self.follow_window(from, message, None);
                return;
            }
            Passage::Replace(other) => {
                assert_eq!(other.len(), message.len());
                assert_eq!(other[0], message[0]);
                assert!(
                    from == Side::Client
                        && matches!(
                            other[0],
                            number::CHANNEL_OPEN | number::CHANNEL_WINDOW_ADJUST
                        )
                );
            }
        }
        let sent = match passage {
            Passage::Replace(other) => other,
            _ => message,
        };
        match (message[0], from) {
            (number::CHANNEL_OPEN, _) => self.check_open(from, message, sent),
            (number::CHANNEL_REQUEST, Side::Client) => self.check_request(message),
            (number::CHANNEL_OPEN_CONFIRMATION, Side::Instance) => {
                if let (Some(client), instance) =
                    (self.sessions.get_mut(&word(message, 1)), word(message, 5))
                {
                    client.instance_id = Some(instance);
                }
            }
            (number::CHANNEL_OPEN_FAILURE, Side::Instance) => {
                self.sessions.remove(&word(message, 1));
            }
            _ => {
                self.follow_close(from, message);
                self.follow_window(from, message, Some(sent));
            }
        }
    }

    fn check_open(&mut self, from: Side, message: &[u8], sent: &[u8]) {
        let (kind, rest) = string(message, 1);
        if from == Side::Instance {
            let forwarded: [&[u8]; 5] = [
                b"x11",
                b"auth-agent",
                b"auth-agent@openssh.com",
                b"forwarded-tcpip",
                b"forwarded-streamlocal@openssh.com",
            ];
            let is_forwarded = forwarded.contains(&kind);
            let may_forward = self.which != SFTP && self.which != RESTRICTED;
            assert!(
                !is_forwarded || may_forward,
                "a way to the person's machine was opened"
            );
            return;
        }
        if kind == b"direct-tcpip" {
            assert!(
                self.which != SFTP && self.which != RESTRICTED,
                "a tunnel was let through"
            );
            let (host, _) = string(message, rest + 12);
            assert_ne!(host, b"169.254.169.254", "the metadata address");
        }
        if kind == b"session" {
            assert!(!self.renounced, "a session after the last one");
            let (granted, told) = (word(message, rest + 4).into(), word(sent, rest + 4).into());
            let session = Session {
                granted,
                told,
                ..Session::default()
            };
            let before = self.sessions.insert(word(message, rest), session);
            assert!(before.is_none(), "one number, two sessions");
        }
    }

    fn check_request(&self, message: &[u8]) {
        let (name, rest) = string(message, 5);
        let (program, _) = string(message, rest + 1);
        let is_refused = match name {
            b"pty-req" => self.which != 0,
            b"shell" => self.which == EXEC || self.which == SFTP,
            b"exec" => self.which == SFTP,
            b"subsystem" => self.which == SFTP && program != b"sftp",
            b"x11-req" | b"auth-agent-req@openssh.com" => {
                self.which == SFTP || self.which == RESTRICTED
            }
            _ => false,
        };
        assert!(!is_refused, "{} was let through", name.escape_ascii());
    }

    /// Both have closed a channel: its number is free.
    fn follow_close(&mut self, from: Side, message: &[u8]) {
        if message[0] != number::CHANNEL_CLOSE {
            return;
        }
        let Some(id) = self.client_id(from, word(message, 1)) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closed[usize::from(from == Side::Client)] = true;
            if session.closed == [true; 2] {
                self.sessions.remove(&id);
            }
        }
    }

    fn follow_window(&mut self, from: Side, message: &[u8], sent: Option<&[u8]>) {
        if message[0] != number::CHANNEL_WINDOW_ADJUST || from != Side::Client {
            return;
        }
        let id = self.client_id(from, word(message, 1));
        if let Some(session) = id.and_then(|id| self.sessions.get_mut(&id)) {
            session.granted += u64::from(word(message, 5));
            session.told += sent.map_or(0, |sent| word(sent, 5).into());
            session.check();
        }
    }

    fn client_id(&self, from: Side, recipient: u32) -> Option<u32> {
        match from {
            Side::Instance => Some(recipient),
            Side::Client => self
                .sessions
                .iter()
                .find(|(_, session)| session.instance_id == Some(recipient))
                .map(|(id, _)| *id),
        }
    }

    fn hear_answers(&mut self, bytes_max: usize) {
        let Some(answers) = self.channels.take_answers() else {
            return;
        };
        let bytes: usize = answers
            .client
            .iter()
            .chain(&answers.instance)
            .map(Vec::len)
            .sum();
        assert!(bytes <= bytes_max, "one message made it say {bytes} bytes");
        for message in &answers.client {
            let length = match message[0] {
                number::CHANNEL_DATA => message.len() - 9,
                number::CHANNEL_EXTENDED_DATA => message.len() - 13,
                _ => continue,
            };
            let session = self.sessions.get_mut(&word(message, 1));
            let session = session.expect("the gate speaks on open sessions only");
            session.said += length as u64;
            session.check();
        }
    }
}

impl Session {
    fn check(&self) {
        assert!(
            self.told + self.said <= self.granted,
            "the client's window was overstepped"
        );
    }
}

/// Reads all it is shown, and checks that no more is shown than is due.
#[derive(Default)]
struct Onlooker {
    terminals: HashMap<u32, u32>,
}

impl Observer for Onlooker {
    fn terminal(&mut self, channel: u32, terminal: &TerminalRequest<'_>, _: Instant) {
        let _ = (0..=255).filter_map(|opcode| terminal.mode(opcode)).count();
        *self.terminals.entry(channel).or_default() += 1;
    }
    fn program(&mut self, channel: u32, _: Program<'_>, _: Instant) {
        assert!(self.terminals.contains_key(&channel));
    }
    fn resized(&mut self, channel: u32, _: TerminalSize, _: Instant) {
        assert!(self.terminals.contains_key(&channel));
    }
    fn data(&mut self, channel: u32, _: Side, _: Option<u32>, _: &[u8], _: Instant) {
        assert!(
            self.terminals.contains_key(&channel),
            "data of no terminal were shown"
        );
    }
    fn closed(&mut self, channel: u32, _: Instant) {
        assert!(
            self.terminals.remove(&channel).is_some(),
            "closed what was never open"
        );
    }
}

fn is_data(message: &[u8]) -> bool {
    matches!(
        message[0],
        number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA
    )
}

/// A number of four bytes; 0 where there is none.
fn word(message: &[u8], at: usize) -> u32 {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// A string and where it ends; as much of it as is there.
fn string(message: &[u8], at: usize) -> (&[u8], usize) {
    let rest = message.get(at + 4..).unwrap_or_default();
    let length = rest.len().min(word(message, at) as usize);
    (&rest[..length], at + 4 + length)
}
