//! The relay after login: packets of the connection protocol pass between the two legs, decrypted and sealed again.
//!
//! SSH windows run end to end between the person's client and the instance, so one stalled channel cannot hold up another
//! and nothing is buffered per channel; what must be known of channels is in `channels`. Back-pressure is TCP's, per direction: a leg is
//! read only while everything from it has been taken by the other leg's socket; the other direction goes on meanwhile,
//! so two-way bulk cannot lock up (`end`). What the transports say to each other (1-49) ends at each leg.

mod batch;
mod bounds;
mod end;

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::batch::{relay_batch, send_answers};
pub use self::bounds::Bounds;
use self::bounds::{Call, Clock};
use self::end::{Departure, End};
use super::channels::{ChannelError, Channels, Side};
use super::client_env::ClientEnv;
use super::host_identity::Prover;
use super::leg::{LINGER, Leg};
use super::record::SessionRecorder;
use super::refusals::Refusals;
use super::replies::TooManyRequests;
use super::wire::message::{DisconnectCode, Malformed};
use super::wire::transport::WireError;
use crate::shared_pool::{Mailbox, Meter};

/// What the person reads; why it is so stands in the log and the audit line.
const UNRECORDED: &str =
    "this terminal has to be recorded, and cannot be at the moment; tell the administrators";

/// How long a departing session's last bytes may wait for the person's client to take them.
const FAREWELL: Duration = Duration::from_secs(60);

/// Batches after which other sessions on this thread get their turn: a socket that always has more never waits.
const TURN: u32 = 16;

thread_local! {
    /// Lent as `end`'s output buffers are.
    static INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// When a silent leg is asked for a sign of life, and after how many unanswered times it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    pub interval: Duration,
    pub unanswered_max: u32,
}

/// Why a session ended; its text goes into the audit line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    #[error("the client left")]
    ClientLeft,
    #[error("the client's connection broke: {0}")]
    ClientBroke(String),
    #[error("the instance ended the session")]
    InstanceLeft,
    #[error("the instance's connection broke: {0}")]
    InstanceBroke(String),
    #[error("ended by the gate: {0}")]
    Evicted(String),
}

/// What one session's relay is given beside its legs.
pub struct Terms {
    pub instance_name: Arc<str>,
    pub meter: Arc<Meter>,
    pub keepalive: Keepalive,
    /// With the policy that holds, and whoever watches.
    pub channels: Channels,
    /// Told of what `channels` refuses.
    pub refusals: Arc<Refusals>,
    /// Feeds on `channels`; `None` where nothing is recorded.
    pub recorder: Option<SessionRecorder>,
    pub bounds: Bounds,
    /// Proves the gate's host keys to the person's client.
    pub prover: Option<Prover>,
    /// Tells what the person runs where they are.
    pub client_env: Option<ClientEnv>,
    /// Lines for the person's terminals.
    pub mailbox: Arc<Mailbox>,
    pub evicted: CancellationToken,
    pub gate_ends: CancellationToken,
}

/// Relays until either side ends, then tells the other why.
pub async fn run(client: Leg, instance: Leg, mut terms: Terms) -> Ending {
    let now = Instant::now();
    let (prover, client_env) = (terms.prover.take(), terms.client_env.take());
    let (evicted, gate_ends) = (terms.evicted.clone(), terms.gate_ends.clone());
    let recorder = terms.recorder.clone();
    let mut pipe = Pipe {
        client: End::new(client, now),
        instance: End::new(instance, now),
        clock: Clock::new(terms.bounds, now),
        terms,
    };
    pipe.client.prover = prover;
    pipe.client.env = client_env;
    let ending = tokio::select! {
        ending = pipe.relay() => ending,
        () = evicted.cancelled() => Ending::Evicted(pipe.terms.farewell()),
        () = unrecorded(recorder.as_ref()) => Ending::Evicted(UNRECORDED.to_owned()),
        () = gate_ends.cancelled() => Ending::Evicted("the gate is shutting down".to_owned()),
    };
    if let Ending::Evicted(why) = &ending {
        pipe.say_last(&why.as_str().into());
    }
    // Boxed: what an ending needs takes no room while the session lasts.
    Box::pin(pipe.say_goodbye(&ending)).await;
    ending
}

impl Terms {
    /// Why somebody outside ended the session.
    fn farewell(&self) -> String {
        match self.mailbox.farewell() {
            Some(reason) => format!("this session is ended: {reason}"),
            None => "this session was ended by the pool".to_owned(),
        }
    }
}

/// Waits for what makes a recording impossible that must be.
async fn unrecorded(recorder: Option<&SessionRecorder>) {
    match recorder {
        Some(recorder) => recorder.failed().await,
        None => std::future::pending().await,
    }
}

/// Nothing of a terminal passes before its recording's file is open; this waits for that.
async fn opened(recorder: Option<&SessionRecorder>) {
    if let Some(recorder) = recorder {
        recorder.opening_changed(true).await;
    }
}

struct Pipe {
    client: End,
    instance: End,
    clock: Clock,
    terms: Terms,
}

impl Pipe {
    async fn relay(&mut self) -> Ending {
        let keepalive = self.terms.keepalive;
        let mut timer = tokio::time::interval(keepalive.interval.max(Duration::from_secs(1)));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mailbox = self.terms.mailbox.clone();
        let mut mail = pin!(mailbox.arrived());
        let mut alarm = Alarm::default();
        let mut alarm_clock = pin!(tokio::time::sleep(Duration::ZERO));
        // What came with the login's last bytes is still to be relayed.
        self.pump(Side::Client);
        self.pump(Side::Instance);
        let mut turn = 0;
        loop {
            if let Some(ending) = self.ending() {
                return ending;
            }
            turn += 1;
            if turn == TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
            if let Some(moment) = alarm.reset(self.next_alarm()) {
                alarm_clock.as_mut().reset(moment.into());
            }
            let is_opening = self
                .terms
                .recorder
                .as_ref()
                .is_some_and(SessionRecorder::is_opening);
            let reads_client = !is_opening && self.client.may_be_read(&self.instance);
            let reads_instance = !is_opening && self.instance.may_be_read(&self.client);
            tokio::select! {
                _ = self.client.leg.stream.readable(), if reads_client => self.pump(Side::Client),
                _ = self.instance.leg.stream.readable(), if reads_instance => self.pump(Side::Instance),
                _ = self.client.leg.stream.writable(), if !self.client.is_flushed() => self.unblock(Side::Client),
                _ = self.instance.leg.stream.writable(), if !self.instance.is_flushed() => self.unblock(Side::Instance),
                _ = timer.tick() => {
                    self.client.tick(keepalive, reads_client);
                    self.instance.tick(keepalive, reads_instance);
                    self.flush(Side::Client);
                    self.flush(Side::Instance);
                }
                () = opened(self.terms.recorder.as_ref()), if is_opening => {}
                () = mail.as_mut() => {
                    mail.set(mailbox.arrived());
                    self.post_mail();
                }
                () = alarm_clock.as_mut(), if alarm.is_set() => {
                    alarm = Alarm::default();
                    if let Some(why) = self.ring() {
                        return Ending::Evicted(why);
                    }
                }
            }
        }
    }

    /// When a notice's moment or the session's time has come, whichever is first.
    fn next_alarm(&self) -> Option<Instant> {
        let moved = self.client.moved.max(self.instance.moved);
        let alarms = [self.terms.channels.alarm(), self.clock.next(moved)];
        alarms.into_iter().flatten().min()
    }

    /// Why the session is over, if it is.
    fn ring(&mut self) -> Option<String> {
        let now = Instant::now();
        let moved = self.client.moved.max(self.instance.moved);
        match self.clock.check(now, moved) {
            Some(Call::End(why)) => return Some(why),
            Some(Call::Warn(text)) => self.terms.channels.post(&text.into(), now),
            None => {}
        }
        self.terms.channels.ring(now);
        self.send_answers();
        None
    }

    fn post_mail(&mut self) {
        let now = Instant::now();
        for line in self.terms.mailbox.take_lines() {
            self.terms.channels.post(&line, now);
        }
    }

    /// The last line in a person's terminals; the goodbye goes behind it.
    fn say_last(&mut self, why: &Arc<str>) {
        let now = Instant::now();
        self.terms.channels.post(why, now);
        self.terms.channels.speak_all(now);
        self.send_answers();
    }

    /// What the gate has to say on channels of its own accord.
    fn send_answers(&mut self) {
        let (client, instance) = (&mut self.client, &mut self.instance);
        let sent = send_answers(&mut self.terms.channels, client, instance);
        if let Err(error) = sent {
            let broke = Departure::Broke(error.to_string());
            self.client.left.get_or_insert(broke);
        }
        self.flush(Side::Client);
        self.flush(Side::Instance);
    }

    /// Reads one batch of a leg and relays every whole packet in it.
    fn pump(&mut self, side: Side) {
        let (from, to) = match side {
            Side::Client => (&mut self.client, &mut self.instance),
            Side::Instance => (&mut self.instance, &mut self.client),
        };
        let channels = &mut self.terms.channels;
        let mut input = INPUT.take();
        if let Err(departure) = from.read(&mut input, side, &self.terms.meter) {
            from.left = Some(departure);
        }
        to.borrow_output();
        let backlog = from.backlog();
        let mut sealed = 0..0;
        if let Err(error) = relay_batch(from, to, side, channels, &mut input, &mut sealed) {
            from.left.get_or_insert(Departure::Broke(error.to_string()));
        }
        from.count_answers(backlog);
        self.write(side.other(), input.get(sealed).unwrap_or_default());
        input.clear();
        INPUT.set(input);
        self.flush(side);
        for refusal in self.terms.channels.take_refusals() {
            self.terms.refusals.note(&refusal);
        }
    }

    fn flush(&mut self, side: Side) -> usize {
        self.write(side, &[])
    }

    /// Writes `first`, and then what waits for this side, as far as its socket takes it.
    fn write(&mut self, side: Side, first: &[u8]) -> usize {
        let end = self.end(side);
        let written = end.write_what_fits(first).unwrap_or_else(|error| {
            end.left.get_or_insert(Departure::Broke(error.to_string()));
            0
        });
        if side == Side::Client {
            self.terms
                .meter
                .bytes_out
                .fetch_add(written as u64, Relaxed);
        }
        written
    }

    /// A leg that was stuck takes bytes again, which is a sign of life even while it is not read.
    fn unblock(&mut self, side: Side) {
        if self.flush(side) > 0 {
            self.end(side).is_alive();
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Instance => &mut self.instance,
        }
    }

    fn ending(&self) -> Option<Ending> {
        let ending = match (&self.client.left, &self.instance.left) {
            (None, None) => return None,
            (Some(Departure::Broke(why)), _) => Ending::ClientBroke(why.clone()),
            (Some(_), _) => Ending::ClientLeft,
            (None, Some(Departure::Broke(why))) => Ending::InstanceBroke(why.clone()),
            (None, Some(_)) => Ending::InstanceLeft,
        };
        Some(ending)
    }

    /// Delivers what is under way to the side that is still there, and tells it why this is the end.
    async fn say_goodbye(self, ending: &Ending) {
        let Self {
            client,
            instance,
            terms,
            ..
        } = self;
        let instance_name = &*terms.instance_name;
        let (client_is_gone, instance_is_gone) = (client.is_gone(), instance.is_gone());
        let (code, text) = last_words(ending, &instance.left, instance_name);
        let instance_text = match &client.left {
            Some(Departure::Disconnected(text)) => text.clone(),
            _ => "the client is gone".to_owned(),
        };
        // A slow client may still be taking an instance's last output, and closing under it would lose that.
        let linger = match ending {
            Ending::InstanceLeft | Ending::InstanceBroke(_) => FAREWELL,
            _ => LINGER,
        };
        let to_client = async {
            if !client_is_gone {
                // A client that takes nothing for so long is not waiting for an explanation.
                let _: Result<(), _> =
                    tokio::time::timeout(FAREWELL, client.leg.disconnect(code, &text, linger))
                        .await;
            }
        };
        let to_instance = async {
            if !instance_is_gone {
                let code = DisconnectCode::ByApplication;
                let goodbye = instance.leg.disconnect(code, &instance_text, LINGER);
                let _: Result<(), _> = tokio::time::timeout(FAREWELL, goodbye).await;
            }
        };
        tokio::join!(to_client, to_instance);
    }
}

/// What the person's client is told; an instance that said something is quoted.
fn last_words(
    ending: &Ending,
    instance_left: &Option<Departure>,
    instance_name: &str,
) -> (DisconnectCode, String) {
    match (ending, instance_left) {
        (Ending::Evicted(why), _) => (DisconnectCode::ByApplication, why.clone()),
        (Ending::ClientBroke(why), _) => (DisconnectCode::ProtocolError, why.clone()),
        (_, Some(Departure::Disconnected(text))) => (DisconnectCode::ByApplication, text.clone()),
        (Ending::InstanceBroke(why), _) => (
            DisconnectCode::ConnectionLost,
            format!("the connection to instance {instance_name} broke: {why}"),
        ),
        (Ending::InstanceLeft | Ending::ClientLeft, _) => (
            DisconnectCode::ConnectionLost,
            format!("instance {instance_name} closed the connection"),
        ),
    }
}

/// When the alarm clock rings: put forward as soon as something is due earlier, put back only by ringing in vain, so that
/// moving bytes costs no timer.
#[derive(Default)]
struct Alarm(Option<Instant>);

impl Alarm {
    fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// What to set the clock to, if it must ring earlier than it would.
    fn reset(&mut self, next: Option<Instant>) -> Option<Instant> {
        let next = next.filter(|next| self.0.is_none_or(|set| *next < set))?;
        self.0 = Some(next);
        Some(next)
    }
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("a malformed message: {0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Channels(#[from] ChannelError),
    #[error("{0}")]
    Requests(#[from] TooManyRequests),
    #[error("no sign of life")]
    Silent,
}

#[cfg(test)]
mod tests;
