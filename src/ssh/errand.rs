//! The gate's own errands on an instance: a script run as one account that its operator has named for nothing else, on a
//! connection that is kept from one run to the next.
//!
//! The instance proves itself as for a login, and the gate by a certificate of its own that allows no terminal and no
//! forwarding. No person's login comes this way, no seat is taken, and one channel is open at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::front::SshFront;
use super::gatekeeper::Gatekeeper;
use super::leg::{Leg, LegError};
use super::upstream::{self, BANNERS_READ_MAX, DialError, LogInError, OnBehalfOf};
use super::wire::keys::SigAlg;
use super::wire::message::channel::{self, ChannelData, OpenFailure};
use super::wire::message::{GlobalRequest, Malformed, Writer, number};
use super::wire::userauth::{self, AuthReply, InProgress};
use crate::net::current::Current;
use crate::pool::Instance;

/// Beyond any answer that is taken, so that no window has to be moved.
const WINDOW: u32 = 1 << 20;
const PACKET_MAX: u32 = 32 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    #[error("{0}")]
    Dial(DialError),
    #[error("the login broke off: {0}")]
    LogIn(#[from] LogInError),
    #[error(
        "it does not accept the gate's certificate for {0} (is there such an account, and is the gate's CA in TrustedUserCAKeys?)"
    )]
    Refused(String),
    #[error("{0}")]
    Leg(#[from] LegError),
    #[error("it sent a malformed message: {0}")]
    Malformed(#[from] Malformed),
    #[error("it opens no session")]
    NoChannel,
    #[error("it runs no command")]
    NoCommand,
    #[error("it answered more than {0} bytes")]
    TooMuch(usize),
}

/// One instance, one account, one connection.
pub struct Errand {
    front: Arc<Current<SshFront>>,
    instance: Arc<Instance>,
    account: String,
    /// Taken while a script runs: whoever gives up in the middle leaves nothing that could be mistaken for the next answer.
    leg: Option<Leg>,
    channels: u32,
}

impl Errand {
    pub fn new(front: Arc<Current<SshFront>>, instance: Arc<Instance>, account: &str) -> Self {
        Self {
            front,
            instance,
            account: account.to_owned(),
            leg: None,
            channels: 0,
        }
    }

    /// What the script printed. A connection that was kept and broke is made anew; the caller bounds the time.
    ///
    /// # Errors
    /// When nothing came of it; the next run connects anew.
    pub async fn run(&mut self, script: &str, bytes_max: usize) -> Result<Vec<u8>, ErrandError> {
        if let Some(mut kept) = self.leg.take()
            && let Ok(answer) = self.run_on(&mut kept, script, bytes_max).await
        {
            self.leg = Some(kept);
            return Ok(answer);
        }
        let mut leg = connect(&self.front.get(), &self.instance, &self.account).await?;
        let answer = self.run_on(&mut leg, script, bytes_max).await?;
        self.leg = Some(leg);
        Ok(answer)
    }

    async fn run_on(
        &mut self,
        leg: &mut Leg,
        script: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ErrandError> {
        self.channels = self.channels.wrapping_add(1);
        let own = self.channels;
        let open = Writer::new(number::CHANNEL_OPEN).string("session").u32(own);
        leg.send(&open.u32(WINDOW).u32(PACKET_MAX).finish()).await?;
        let theirs = loop {
            let message = leg.next().await?;
            match message.first() {
                Some(&number::CHANNEL_OPEN_CONFIRMATION) => {
                    break channel::parse_confirmation(&message)?.1;
                }
                Some(&number::CHANNEL_OPEN_FAILURE) => return Err(ErrandError::NoChannel),
                _ => answer_aside(leg, &message).await?,
            }
        };
        // A login shell of any kind takes this; in its quotes a script is one word.
        let command = format!("exec /bin/sh -c '{}'", script.replace('\'', "'\\''"));
        let exec = Writer::new(number::CHANNEL_REQUEST).u32(theirs);
        let exec = exec.string("exec").boolean(true).string(command);
        leg.send(&exec.finish()).await?;
        leg.send(&channel::bare(number::CHANNEL_EOF, theirs))
            .await?;
        let mut answer = Vec::new();
        loop {
            let message = leg.next().await?;
            match message.first() {
                Some(&(number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA)) => {
                    let data = ChannelData::parse(&message)?;
                    if data.recipient == own && data.extended.is_none() {
                        answer.extend_from_slice(data.bytes);
                    }
                    if answer.len() > bytes_max {
                        return Err(ErrandError::TooMuch(bytes_max));
                    }
                }
                Some(&number::CHANNEL_FAILURE) => return Err(ErrandError::NoCommand),
                Some(&number::CHANNEL_CLOSE) if channel::recipient(&message)? == own => break,
                _ => answer_aside(leg, &message).await?,
            }
        }
        leg.send(&channel::bare(number::CHANNEL_CLOSE, theirs))
            .await?;
        Ok(answer)
    }
}

async fn connect(
    front: &SshFront,
    instance: &Arc<Instance>,
    account: &str,
) -> Result<Leg, ErrandError> {
    // On behalf of nobody but itself.
    let itself = SocketAddr::from(([127, 0, 0, 1], 0));
    let own = OnBehalfOf {
        client: itself,
        gate: itself,
    };
    let gatekeeper = front.gatekeeper();
    let dialled = upstream::dial(gatekeeper, instance, own).await;
    let mut leg = dialled.map_err(ErrandError::Dial)?;
    log_in(gatekeeper, &mut leg, account).await?;
    leg.transport.authenticated();
    Ok(leg)
}

async fn log_in(gatekeeper: &Gatekeeper, leg: &mut Leg, account: &str) -> Result<(), ErrandError> {
    let minted = gatekeeper
        .ca
        .mint_for_gate(account, SystemTime::now(), &mut leg.entropy)
        .map_err(LogInError::from)?;
    let request = userauth::publickey_request(
        leg.transport.session_id().unwrap_or_default(),
        account,
        &minted.key,
        Some(&minted.certificate),
        SigAlg::Ed25519,
    )
    .map_err(LogInError::from)?;
    leg.send(&request).await?;
    for _ in 0..=BANNERS_READ_MAX {
        match AuthReply::parse(&leg.next().await?, InProgress::PublicKey)? {
            AuthReply::Banner(_) => {}
            AuthReply::Success => return Ok(()),
            _ => return Err(ErrandError::Refused(account.to_owned())),
        }
    }
    Err(LogInError::OnlyBanners.into())
}

/// What an instance asks besides: signs of life are given, everything else is refused or left alone.
async fn answer_aside(leg: &mut Leg, message: &[u8]) -> Result<(), ErrandError> {
    match message.first() {
        Some(&number::GLOBAL_REQUEST) if GlobalRequest::parse(message)?.want_reply => {
            leg.send(&[number::REQUEST_FAILURE]).await?;
        }
        Some(&number::CHANNEL_OPEN) => {
            let sender = channel::ChannelOpen::parse(message)?.sender;
            let why = OpenFailure::AdministrativelyProhibited;
            leg.send(&channel::open_failure(sender, why, "not on an errand"))
                .await?;
        }
        _ => {}
    }
    Ok(())
}
