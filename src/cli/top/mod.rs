//! `poolgate top`: the pools on a terminal as they are, with keys to look closer and to give orders.
//!
//! What is shown and what keys do is a pure core (`model`, `view`); here it is joined to the gate, the terminal and signals. The
//! gate is asked once a second, as a scraper would ask it, and events are told as they happen.

mod ask;
mod details;
mod keys;
mod looks;
mod model;
mod order;
mod pane;
mod picture;
mod prompt;
mod rows;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use self::ask::Onlooker;
use self::looks::Looks;
use self::model::{Effect, Message, Model};
use self::terminal::Screen;
use super::args::GateArgs;
use super::client::Gate;
use super::events::Reader;
use super::{Failure, client};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gate: GateArgs,
}

/// Between two looks at the gate.
const EVERY: Duration = Duration::from_secs(1);
/// For how long the gate is asked to wait for an event; below the patience of whoever asks.
const WAIT_S: u64 = 5;
/// Messages that wait to be taken in; whoever has more waits.
const MESSAGES_MAX: usize = 64;

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let variable =
        |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    terminal::check(variable("TERM").as_deref()).map_err(anyhow::Error::from)?;
    let gate = Arc::new(client::locate(&args.gate)?);
    let mut onlooker = Onlooker::new(gate.clone());
    // Before the screen is taken: a gate that cannot be asked is told of as by every other command.
    let (me, picture) = (ask::me(&gate).await?, onlooker.look().await?);
    let model = Model::new(Looks::of(variable), TimeZone::system(), me, picture);
    let (tell, told) = mpsc::channel(MESSAGES_MAX);
    let look_now = Arc::new(Notify::new());
    tokio::spawn(look_on(onlooker, look_now.clone(), tell.clone()));
    tokio::spawn(follow(gate.clone(), tell.clone()));
    await_signals(&tell)?;
    let mut screen = Screen::take().context("cannot draw on this terminal")?;
    read_keys(tell.clone());
    let gate = Asked { gate, look_now };
    let shown = show(model, &mut screen, &gate, (tell, told)).await;
    drop(screen);
    shown.context("cannot draw on this terminal")?;
    Ok(ExitCode::SUCCESS)
}

/// The gate that orders go to, and a way to have a look at it before the second is over.
#[derive(Clone)]
struct Asked {
    gate: Arc<Gate>,
    look_now: Arc<Notify>,
}

type Messages = (mpsc::Sender<Message>, mpsc::Receiver<Message>);

/// Takes in what happens and draws what follows, until the end.
async fn show(
    mut model: Model,
    screen: &mut Screen,
    gate: &Asked,
    (tell, mut told): Messages,
) -> std::io::Result<()> {
    screen.draw(&model)?;
    while let Some(message) = told.recv().await {
        let mut next = Some(message);
        // What came meanwhile is drawn at once.
        while let Some(message) = next {
            match model.update(message) {
                Some(Effect::Stop) => return Ok(()),
                Some(effect) => drop(tokio::spawn(carry_out(effect, gate.clone(), tell.clone()))),
                None => {}
            }
            next = told.try_recv().ok();
        }
        screen.draw(&model)?;
    }
    Ok(())
}

async fn carry_out(effect: Effect, asked: Asked, tell: mpsc::Sender<Message>) {
    let gate = &asked.gate;
    let message = match effect {
        Effect::Stop => Message::Stop,
        Effect::Try(number, order) => Message::Tried(number, ask::order(gate, &order).await),
        Effect::Give(number, order) => {
            let given = ask::order(gate, &order).await;
            asked.look_now.notify_one();
            Message::Given(number, given)
        }
        Effect::Explain(number, question) => {
            Message::Explained(number, ask::explain(gate, &question).await)
        }
    };
    // Nobody is told once the program ends.
    drop(tell.send(message).await);
}

/// Looks at the gate once a second, whether it answers or not, and at once where somebody wants to.
async fn look_on(mut onlooker: Onlooker, now: Arc<Notify>, tell: mpsc::Sender<Message>) {
    loop {
        drop(tokio::time::timeout(EVERY, now.notified()).await);
        let message = match onlooker.look().await {
            Ok(picture) => Message::Picture(Box::new(picture)),
            Err(_) => Message::Away(SystemTime::now()),
        };
        if tell.send(message).await.is_err() {
            return;
        }
    }
}

/// Tells of events as they happen; a gate that is started again is followed on.
async fn follow(gate: Arc<Gate>, tell: mpsc::Sender<Message>) {
    let (mut reader, mut wait_s) = (Reader::default(), 0);
    loop {
        match reader.read(&gate, "", wait_s).await {
            Ok(events) if events.is_empty() => {}
            Ok(events) => {
                if tell.send(Message::Events(events)).await.is_err() {
                    return;
                }
            }
            Err(_) => tokio::time::sleep(EVERY).await,
        }
        wait_s = WAIT_S;
    }
}

/// On a thread of its own: a terminal is read by waiting for it.
fn read_keys(tell: mpsc::Sender<Message>) {
    std::thread::spawn(move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(Event::Paste(text)) => Message::Paste(text),
                Ok(Event::Resize(..)) => Message::Resized,
                Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_)) => continue,
                Err(_) => Message::Stop,
            };
            let is_last = matches!(message, Message::Stop);
            if tell.blocking_send(message).is_err() || is_last {
                return;
            }
        }
    });
}

/// Whoever wants the program to end gets the terminal back first.
fn await_signals(tell: &mpsc::Sender<Message>) -> anyhow::Result<()> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ] {
        let mut signals = signal(kind).context("cannot wait for signals")?;
        let tell = tell.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                drop(tell.send(Message::Stop).await);
            }
        });
    }
    Ok(())
}
