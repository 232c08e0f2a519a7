//! Lines and descriptors over a Unix socket (`SCM_RIGHTS`), each side with an end to read and one to write.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Above a report of all sessions that fit on one gate.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Far above the addresses of any gate; the system's own limit is 253 a message.
const DESCRIPTORS_MAX: usize = 128;
const CHUNK: usize = 64 * 1024;

pub struct Reader {
    stream: Arc<UnixStream>,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

pub struct Writer {
    stream: Arc<UnixStream>,
}

/// Both ends of a connection.
pub fn join(stream: UnixStream) -> (Reader, Writer) {
    let stream = Arc::new(stream);
    let reader = Reader {
        stream: stream.clone(),
        bytes: Vec::new(),
        descriptors: Vec::new(),
    };
    (reader, Writer { stream })
}

impl Reader {
    /// The next line; `None` at the end. What was read is kept if this is dropped before it is done.
    ///
    /// # Errors
    /// When the connection breaks, or a line is none of ours.
    pub async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut searched = 0;
        loop {
            let fresh = self.bytes.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let rest = self.bytes.split_off(searched + at + 1);
                let line = std::mem::replace(&mut self.bytes, rest);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            searched = self.bytes.len();
            if searched > LINE_BYTES_MAX {
                return Err(io::Error::other("a line is too long"));
            }
            let (bytes, descriptors) = (&mut self.bytes, &mut self.descriptors);
            let stream = &self.stream;
            let read = stream.async_io(Interest::READABLE, || receive(stream, bytes, descriptors));
            if read.await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The descriptors that came with the lines so far.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }
}

fn receive(
    stream: &UnixStream,
    bytes: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut chunk = vec![0; CHUNK];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut chunk)];
    let got = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            let room = DESCRIPTORS_MAX.saturating_sub(descriptors.len());
            // Those beyond are closed.
            descriptors.extend(passed.take(room));
        }
    }
    bytes.extend_from_slice(chunk.get(..got.bytes).unwrap_or_default());
    Ok(got.bytes)
}

impl Writer {
    /// # Errors
    /// When the connection breaks.
    pub async fn say<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        self.say_with(message, &[]).await
    }

    /// The same with descriptors beside the line.
    ///
    /// # Errors
    /// When the connection breaks, or there are too many.
    pub async fn say_with<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        if descriptors.len() > DESCRIPTORS_MAX {
            let many = descriptors.len();
            let text = format!("{many} sockets are more than can be handed over at once");
            return Err(io::Error::other(text));
        }
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut sent = 0;
        while let Some(rest) = line.get(sent..).filter(|rest| !rest.is_empty()) {
            let stream = &self.stream;
            let with = if sent == 0 { descriptors } else { &[] };
            let writing = stream.async_io(Interest::WRITABLE, || send(stream, rest, with));
            sent += writing.await?;
        }
        Ok(())
    }
}

fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let parts = [IoSlice::new(bytes)];
    Ok(sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::super::{FromOld, Report};
    use super::*;
    use crate::pool::SessionId;
    use std::os::fd::AsFd;

    fn report(ended: u64) -> FromOld {
        FromOld::Report(Report {
            ended: vec![SessionId(ended)],
            ..Report::default()
        })
    }

    #[tokio::test]
    async fn lines_and_descriptors_arrive_in_order() {
        let (one, other) = UnixStream::pair().unwrap();
        let ((mut reader, _w), (_r, mut writer)) = (join(one), join(other));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let long = FromOld::Withdrawn {
            why: "x".repeat(1_000_000),
        };
        let sending = async {
            writer.say_with(&long, &[listener.as_fd()]).await.unwrap();
            writer.say(&report(1)).await.unwrap();
            writer.say(&report(2)).await.unwrap();
            drop((writer, _r));
        };
        let receiving = async {
            let first: FromOld = reader.next().await.unwrap().unwrap();
            assert!(matches!(first, FromOld::Withdrawn { why } if why.len() == 1_000_000));
            for number in [1, 2] {
                let next: FromOld = reader.next().await.unwrap().unwrap();
                assert!(matches!(next, FromOld::Report(told) if told.ended == [SessionId(number)]));
            }
            assert!(reader.next::<FromOld>().await.unwrap().is_none());
        };
        tokio::join!(sending, receiving);
        let passed = reader.take_descriptors();
        let passed: Vec<std::net::TcpListener> = passed.into_iter().map(Into::into).collect();
        assert_eq!(passed[0].local_addr().unwrap(), at);
    }
}
