//! One batch of packets on its way from one leg to the other: relayed where they lie, looked at, or answered by the gate.
//!
//! Data on channels pass unread unless `channels` asks for them. Deliberately absent: sockets and waiting (`pipe`, `end`).

use std::ops::Range;

use super::RelayError;
use super::end::{Departure, End};
use crate::ssh::channels::{Channels, Passage, Side};
use crate::ssh::client_env::Insertion;
use crate::ssh::policy::Refusal;
use crate::ssh::replies::Due;
use crate::ssh::wire::message::{GlobalKind, GlobalRequest, number};
use crate::ssh::wire::transport::Event;

/// Message numbers of the connection protocol, and of them those about channels (RFC 4250 section 4.1.2).
const CONNECTION_FIRST: u8 = 80;
const CONNECTION_LAST: u8 = 127;
const CHANNEL_FIRST: u8 = 90;
const CHANNEL_LAST: u8 = CONNECTION_LAST;

/// Relays every whole packet of `input`. Those at its beginning are sealed where they lie: `sealed`, to be written before
/// anything else. The others are in the other leg's buffer.
pub(super) fn relay_batch(
    from: &mut End,
    to: &mut End,
    side: Side,
    channels: &mut Channels,
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
        let end = taken + received.consumed;
        match received.event {
            Event::NeedMore => break,
            Event::Progress | Event::Established | Event::Rekeyed => {}
            Event::Disconnected { text, .. } => {
                from.left = Some(Departure::Disconnected(text));
                return Ok(());
            }
            Event::Message([number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA, ..])
                if !channels.watches_data(side) =>
            {
                from.moved = now;
                pass_on(to, input, end, place, sealed)?;
            }
            Event::Message(payload @ [CHANNEL_FIRST..=CHANNEL_LAST, ..]) => {
                if is_data(payload) {
                    from.moved = now;
                }
                let is_request = payload.first() == Some(&number::CHANNEL_REQUEST);
                let env = from.env.as_ref().filter(|_| is_request);
                let told = env.map(|env| env.insertion(payload));
                match channels.take(side, payload, now)? {
                    Passage::Pass => match told {
                        Some(Insertion::Instead(other)) => to.send(&other)?,
                        Some(Insertion::Before(first)) => {
                            to.send(&first)?;
                            pass_on(to, input, end, place, sealed)?;
                        }
                        _ => pass_on(to, input, end, place, sealed)?,
                    },
                    Passage::Replace(other) => to.send(&other)?,
                    Passage::Drop => {}
                }
                match side {
                    Side::Client => send_answers(channels, from, to)?,
                    Side::Instance => send_answers(channels, to, from)?,
                }
            }
            Event::Message(payload) => {
                relay_message(from, payload, to, side, channels)?;
                send_own_answers(from, to)?;
            }
        }
        taken = end;
    }
    from.leg
        .incoming
        .extend_from_slice(input.get(taken..).unwrap_or_default());
    Ok(())
}

/// The packet in front of `end` goes on in its own frame and no further: the next one lies behind it, and the other leg's
/// tag may be longer.
fn pass_on(
    to: &mut End,
    input: &mut [u8],
    end: usize,
    payload: Range<usize>,
    sealed: &mut Range<usize>,
) -> Result<(), RelayError> {
    let frame = input.get_mut(..end).unwrap_or_default();
    to.send_within(frame, payload, sealed)
}

fn is_data(payload: &[u8]) -> bool {
    let data = [number::CHANNEL_DATA, number::CHANNEL_EXTENDED_DATA];
    payload.first().is_some_and(|number| data.contains(number))
}

/// What the gate itself has to say about channels.
pub(super) fn send_answers(
    channels: &mut Channels,
    client: &mut End,
    instance: &mut End,
) -> Result<(), RelayError> {
    let Some(answers) = channels.take_answers() else {
        return Ok(());
    };
    for message in &answers.client {
        client.send(message)?;
    }
    for message in &answers.instance {
        instance.send(message)?;
    }
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
    channels: &mut Channels,
) -> Result<(), RelayError> {
    match payload.first().copied() {
        Some(number::GLOBAL_REQUEST) => {
            let request = GlobalRequest::parse(payload)?;
            let is_bound = is_bound_to_a_leg(&request, side);
            if is_bound || !channels.permits_global(side, &request) {
                let answer = is_bound.then(|| from.prove(&request)).flatten();
                if is_bound && side == Side::Client && answer.is_none() {
                    channels.note_refusal(Refusal::no_proof());
                }
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
