//! What a client sends to its process: read at once, written as fast as the process takes it.
//!
//! russh gives a channel's window back on receipt and stops the whole connection when a channel's queue is full, so the two
//! halves must not wait for each other: `listen` only queues, and the connection is slowed as the queue grows (`Backlog`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pty_process::{OwnedWritePty, Size};
use russh::{ChannelMsg, ChannelReadHalf};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::signals::{Target, known};

/// Packets of at most 32 KiB: 64 MiB a channel.
pub(super) const MAX_QUEUED: usize = 2048;
/// Of waiting bytes, what costs each further packet one millisecond.
const BYTES_A_MILLISECOND: usize = 4 * 1024 * 1024;

/// The bytes of one connection that no process has taken yet.
#[derive(Clone, Default)]
pub(in super::super) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Waits longer the more there is, so that output keeps up with input that comes faster than it is used.
    pub(in super::super) async fn slow_down(&self) {
        let waiting = self.0.load(Ordering::Relaxed) / BYTES_A_MILLISECOND;
        if let Ok(milliseconds @ 1..) = u64::try_from(waiting) {
            tokio::time::sleep(Duration::from_millis(milliseconds.min(100))).await;
        }
    }
}

/// The near end of a process's input.
pub(super) enum Input {
    Terminal(OwnedWritePty),
    Pipe(tokio::process::ChildStdin),
    Closed,
}

/// What is queued for a process.
pub(super) enum Word {
    Data(Bytes),
    End,
    Resize(Size),
}

/// Queues what comes until the client has closed the channel or its connection has ended; passes signals on at once.
pub(super) async fn listen(
    mut incoming: ChannelReadHalf,
    queue: mpsc::Sender<Word>,
    backlog: &Backlog,
    target: &Target,
) {
    while let Some(message) = incoming.wait().await {
        let word = match message {
            ChannelMsg::Data { data } => {
                backlog.0.fetch_add(data.len(), Ordering::Relaxed);
                Word::Data(data)
            }
            ChannelMsg::Eof => Word::End,
            ChannelMsg::WindowChange {
                col_width,
                row_height,
                ..
            } => Word::Resize(super::size(col_width, row_height)),
            ChannelMsg::Signal { signal } => {
                if let Some(signal) = known(&signal) {
                    target.send(signal);
                }
                continue;
            }
            ChannelMsg::Close => return,
            _ => continue,
        };
        // A closed queue is a process that takes nothing more; the client's close is still to come.
        let _ = queue.send(word).await;
    }
}

/// Writes what is queued, in order; what a closed input cannot take is dropped. Never returns while `queue` is open.
pub(super) async fn feed(mut input: Input, mut queue: mpsc::Receiver<Word>, backlog: &Backlog) {
    while let Some(word) = queue.recv().await {
        match (word, &mut input) {
            (Word::Data(data), input) => {
                let written = match input {
                    Input::Terminal(terminal) => terminal.write_all(&data).await,
                    Input::Pipe(pipe) => pipe.write_all(&data).await,
                    Input::Closed => Ok(()),
                };
                backlog.0.fetch_sub(data.len(), Ordering::Relaxed);
                if written.is_err() {
                    *input = Input::Closed;
                }
            }
            (Word::End, Input::Terminal(terminal)) => {
                // Ctrl-D: a terminal has no other way to say that no more comes.
                let _ = terminal.write_all(&[4]).await;
            }
            (Word::End, input) => *input = Input::Closed,
            (Word::Resize(size), Input::Terminal(terminal)) => {
                let _ = terminal.resize(size);
            }
            (Word::Resize(_), _) => {}
        }
    }
}
