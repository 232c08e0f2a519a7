//! The relay after login: packets of the connection protocol pass between the two legs, decrypted and sealed again.
//!
//! Channels are not interpreted: SSH windows run end to end between the person's client and the instance, so one stalled
//! channel cannot hold up another and nothing is buffered per channel. Back-pressure is TCP's, per direction: a leg is
//! read only while everything from it has been taken by the other leg's socket; the other direction goes on meanwhile,
//! so two-way bulk cannot lock up (`end`). What the transports say to each other (1-49) ends at each leg.

mod end;

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::end::{Departure, End};
use super::client_env::{ClientEnv, Passage};
use super::host_identity::Prover;
use super::leg::{LINGER, Leg};
use super::replies::{Due, TooManyRequests};
use super::wire::message::{DisconnectCode, GlobalKind, GlobalRequest, Malformed, number};
use super::wire::transport::{Event, WireError};
use crate::shared_pool::Meter;

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
    Evicted(&'static str),
}

/// What the gate does in a session beyond relaying.
pub struct Duties {
    pub keepalive: Keepalive,
    /// Proves the gate's host keys to the person's client.
    pub prover: Option<Prover>,
    /// Tells what the person runs where they are.
    pub client_env: Option<ClientEnv>,
}

/// Relays until either side ends, then tells the other why.
pub async fn run(
    client: Leg,
    instance: Leg,
    instance_name: &str,
    meter: &Meter,
    duties: Duties,
    evicted: CancellationToken,
    gate_ends: CancellationToken,
) -> Ending {
    let now = Instant::now();
    let mut pipe = Pipe {
        client: End::new(client, now),
        instance: End::new(instance, now),
    };
    pipe.client.prover = duties.prover;
    pipe.client.env = duties.client_env;
    let ending = tokio::select! {
        ending = pipe.relay(meter, duties.keepalive) => ending,
        () = evicted.cancelled() => Ending::Evicted("this session was ended by the pool"),
        () = gate_ends.cancelled() => Ending::Evicted("the gate is shutting down"),
    };
    pipe.say_goodbye(&ending, instance_name).await;
    ending
}

struct Pipe {
    client: End,
    instance: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Instance,
}

impl Pipe {
    async fn relay(&mut self, meter: &Meter, keepalive: Keepalive) -> Ending {
        let mut timer = tokio::time::interval(keepalive.interval.max(Duration::from_secs(1)));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What came with the login's last bytes is still to be relayed.
        self.pump(Side::Client, meter);
        self.pump(Side::Instance, meter);
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
            let reads_client = self.client.may_be_read(&self.instance);
            let reads_instance = self.instance.may_be_read(&self.client);
            tokio::select! {
                _ = self.client.leg.stream.readable(), if reads_client => self.pump(Side::Client, meter),
                _ = self.instance.leg.stream.readable(), if reads_instance => self.pump(Side::Instance, meter),
                _ = self.client.leg.stream.writable(), if !self.client.is_flushed() => self.unblock(Side::Client, meter),
                _ = self.instance.leg.stream.writable(), if !self.instance.is_flushed() => self.unblock(Side::Instance, meter),
                _ = timer.tick() => {
                    self.client.tick(keepalive, reads_client);
                    self.instance.tick(keepalive, reads_instance);
                    self.flush(Side::Client, meter);
                    self.flush(Side::Instance, meter);
                }
            }
        }
    }

    /// Reads one batch of a leg and relays every whole packet in it.
    fn pump(&mut self, side: Side, meter: &Meter) {
        let (from, to) = match side {
            Side::Client => (&mut self.client, &mut self.instance),
            Side::Instance => (&mut self.instance, &mut self.client),
        };
        let mut input = INPUT.take();
        if let Err(departure) = from.read(&mut input, side, meter) {
            from.left = Some(departure);
        }
        to.borrow_output();
        let backlog = from.backlog();
        let mut sealed = 0..0;
        if let Err(error) = relay_batch(from, to, side, &mut input, &mut sealed) {
            from.left.get_or_insert(Departure::Broke(error.to_string()));
        }
        from.count_answers(backlog);
        self.write(side.other(), input.get(sealed).unwrap_or_default(), meter);
        input.clear();
        INPUT.set(input);
        self.flush(side, meter);
    }

    fn flush(&mut self, side: Side, meter: &Meter) -> usize {
        self.write(side, &[], meter)
    }

    /// Writes `first`, and then what waits for this side, as far as its socket takes it.
    fn write(&mut self, side: Side, first: &[u8], meter: &Meter) -> usize {
        let end = self.end(side);
        let written = end.write_what_fits(first).unwrap_or_else(|error| {
            end.left.get_or_insert(Departure::Broke(error.to_string()));
            0
        });
        if side == Side::Client {
            meter.bytes_out.fetch_add(written as u64, Relaxed);
        }
        written
    }

    /// A leg that was stuck takes bytes again, which is a sign of life even while it is not read.
    fn unblock(&mut self, side: Side, meter: &Meter) {
        if self.flush(side, meter) > 0 {
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
    async fn say_goodbye(self, ending: &Ending, instance_name: &str) {
        let Self { client, instance } = self;
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
        (Ending::Evicted(why), _) => (DisconnectCode::ByApplication, (*why).to_owned()),
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

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Instance,
            Self::Instance => Self::Client,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("a malformed message: {0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Requests(#[from] TooManyRequests),
    #[error("no sign of life")]
    Silent,
}

/// Message numbers of the connection protocol, and of them those about channels (RFC 4250 section 4.1.2).
const CONNECTION_FIRST: u8 = 80;
const CONNECTION_LAST: u8 = 127;
const CHANNEL_FIRST: u8 = 90;
const CHANNEL_LAST: u8 = CONNECTION_LAST;

/// Relays every whole packet of `input`. Those at its beginning are sealed where they lie: `sealed`, to be written before
/// anything else. The others are in the other leg's buffer.
fn relay_batch(
    from: &mut End,
    to: &mut End,
    side: Side,
    input: &mut [u8],
    sealed: &mut Range<usize>,
) -> Result<(), RelayError> {
    let now = from.heard;
    let mut taken = 0;
    loop {
        let leg = &mut from.leg;
        let rest = input.get_mut(taken..).unwrap_or_default();
        let received = leg
            .transport
            .receive(rest, &mut leg.entropy, now, &mut leg.outgoing)?;
        let place = taken + received.payload.start..taken + received.payload.end;
        let consumed = received.consumed;
        match received.event {
            Event::NeedMore => break,
            Event::Progress | Event::Established | Event::Rekeyed => {}
            Event::Disconnected { text, .. } => {
                from.left = Some(Departure::Disconnected(text));
                return Ok(());
            }
            Event::Message(request @ [number::CHANNEL_REQUEST, ..]) if from.env.is_some() => {
                let passage = from.env.as_ref().map(|env| env.passage(request));
                if let Some(Passage::Behind(first) | Passage::ReplacedBy(first)) = &passage {
                    to.send(first)?;
                }
                if !matches!(passage, Some(Passage::ReplacedBy(_))) {
                    to.send_within(
                        input.get_mut(..taken + consumed).unwrap_or_default(),
                        place,
                        sealed,
                    )?;
                }
            }
            Event::Message([CHANNEL_FIRST..=CHANNEL_LAST, ..]) => {
                to.send_within(
                    input.get_mut(..taken + consumed).unwrap_or_default(),
                    place,
                    sealed,
                )?;
            }
            Event::Message(payload) => {
                relay_message(from, payload, to, side)?;
                send_own_answers(from, to)?;
            }
        }
        taken += consumed;
    }
    from.leg
        .incoming
        .extend_from_slice(input.get(taken..).unwrap_or_default());
    Ok(())
}

/// What either leg asked and the gate does not pass on gets its answer as soon as all that was asked before has one.
fn send_own_answers(from: &mut End, to: &mut End) -> Result<(), RelayError> {
    while let Some(answer) = to.replies.take_own() {
        from.send(&answer)?;
    }
    while let Some(answer) = from.replies.take_own() {
        to.send(&answer)?;
    }
    Ok(())
}

/// One message of the connection protocol: passed on, or answered here where it is bound to one leg.
fn relay_message(
    from: &mut End,
    payload: &[u8],
    to: &mut End,
    side: Side,
) -> Result<(), RelayError> {
    match payload.first().copied() {
        Some(number::GLOBAL_REQUEST) => {
            let request = GlobalRequest::parse(payload)?;
            if is_bound_to_a_leg(&request, side) {
                let answer = from.prove(&request);
                if request.want_reply {
                    to.replies.push(answer.map_or(Due::Refuse, Due::Answer))?;
                }
                return Ok(());
            }
            if request.want_reply {
                to.replies.push(Due::Relay)?;
            }
            to.send(payload)
        }
        Some(number::REQUEST_SUCCESS | number::REQUEST_FAILURE) => {
            if from.replies.answered() {
                to.send(payload)?;
            }
            Ok(())
        }
        Some(CONNECTION_FIRST..=CONNECTION_LAST) => to.send(payload),
        // Requests to log in again, and the instance's late banners: RFC 4252 section 5.1 says to ignore them silently.
        _ => Ok(()),
    }
}

/// Host keys are proved over one leg's session id: announcements of the instance's would alarm the person's client, and
/// what the client wants proved is the gate's.
fn is_bound_to_a_leg(request: &GlobalRequest<'_>, side: Side) -> bool {
    match side {
        Side::Instance => request.kind() == GlobalKind::HostKeys,
        Side::Client => request.kind() == GlobalKind::HostKeysProve,
    }
}

#[cfg(test)]
mod tests;
