//! Channel messages (RFC 4254 section 5): the heads of those a gate looks at, and builders for those it answers itself.
//!
//! Deliberately absent: channel data beyond their head, and every request but those that ask for a terminal or a program:
//! all others pass unread.

use super::{Malformed, Reader, Writer, number};

/// Names of channel types and requests; OpenSSH's longest has some 40 bytes.
const LONGEST_NAME: usize = 256;
/// `TERM`; terminfo names are far shorter.
const LONGEST_TERM: usize = 256;
/// A host name, a path or the name of a subsystem.
const LONGEST_FIELD: usize = 4096;

/// Why a channel was not opened (RFC 4254 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum OpenFailure {
    AdministrativelyProhibited = 1,
    ResourceShortage = 4,
}

/// A CHANNEL_OPEN, its type-specific data unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelOpen<'a> {
    pub kind: &'a [u8],
    pub sender: u32,
    pub window: u32,
    pub packet_max: u32,
    pub data: &'a [u8],
}

impl<'a> ChannelOpen<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::CHANNEL_OPEN)?;
        Ok(Self {
            kind: reader.string(LONGEST_NAME)?,
            sender: reader.u32()?,
            window: reader.u32()?,
            packet_max: reader.u32()?,
            data: reader.rest(),
        })
    }

    /// The same message with another window.
    pub fn with_window(&self, window: u32) -> Vec<u8> {
        Writer::new(number::CHANNEL_OPEN)
            .string(self.kind)
            .u32(self.sender)
            .u32(window)
            .u32(self.packet_max)
            .raw(self.data)
            .finish()
    }

    /// Host and port a `direct-tcpip` wants to reach (RFC 4254 section 7.2).
    pub fn tcp_target(&self) -> Result<(&'a [u8], u32), Malformed> {
        let mut reader = Reader::new(self.data);
        Ok((reader.string(LONGEST_FIELD)?, reader.u32()?))
    }
}

/// Recipient and sender of a CHANNEL_OPEN_CONFIRMATION.
pub fn parse_confirmation(payload: &[u8]) -> Result<(u32, u32), Malformed> {
    let mut reader = Reader::of(payload, number::CHANNEL_OPEN_CONFIRMATION)?;
    Ok((reader.u32()?, reader.u32()?))
}

/// The recipient of any channel message but CHANNEL_OPEN: its first field.
pub fn recipient(payload: &[u8]) -> Result<u32, Malformed> {
    Reader::new(payload.get(1..).unwrap_or_default()).u32()
}

/// Recipient and bytes of a CHANNEL_WINDOW_ADJUST.
pub fn parse_adjust(payload: &[u8]) -> Result<(u32, u32), Malformed> {
    let mut reader = Reader::of(payload, number::CHANNEL_WINDOW_ADJUST)?;
    let adjust = (reader.u32()?, reader.u32()?);
    reader.finish()?;
    Ok(adjust)
}

/// CHANNEL_DATA or CHANNEL_EXTENDED_DATA; the bytes stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    pub recipient: u32,
    /// The kind of extended data: 1 is standard error.
    pub extended: Option<u32>,
    pub bytes: &'a [u8],
}

impl<'a> ChannelData<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let is_extended = match reader.byte()? {
            number::CHANNEL_DATA => false,
            number::CHANNEL_EXTENDED_DATA => true,
            other => return Err(Malformed::Number(other)),
        };
        Ok(Self {
            recipient: reader.u32()?,
            extended: is_extended.then(|| reader.u32()).transpose()?,
            bytes: reader.string(usize::MAX)?,
        })
    }
}

/// A CHANNEL_REQUEST, its type-specific data unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRequest<'a> {
    pub recipient: u32,
    pub name: &'a [u8],
    pub want_reply: bool,
    pub data: &'a [u8],
}

impl<'a> ChannelRequest<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::CHANNEL_REQUEST)?;
        Ok(Self {
            recipient: reader.u32()?,
            name: reader.string(LONGEST_NAME)?,
            want_reply: reader.boolean()?,
            data: reader.rest(),
        })
    }

    /// The command of `exec`, or the name of `subsystem`.
    pub fn program(&self) -> Result<&'a [u8], Malformed> {
        Reader::new(self.data).string(usize::MAX)
    }
}

/// A terminal's size, as `pty-req` and `window-change` tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize {
    pub columns: u32,
    pub rows: u32,
}

impl TerminalSize {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let size = Self {
            columns: reader.u32()?,
            rows: reader.u32()?,
        };
        // In pixels, which nobody uses.
        reader.bytes(8)?;
        Ok(size)
    }

    /// The data of a `window-change`.
    pub fn parse(data: &[u8]) -> Result<Self, Malformed> {
        Self::read(&mut Reader::new(data))
    }
}

/// The data of a `pty-req`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalRequest<'a> {
    pub term: &'a [u8],
    pub size: TerminalSize,
    modes: &'a [u8],
}

impl<'a> TerminalRequest<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        Ok(Self {
            term: reader.string(LONGEST_TERM)?,
            size: TerminalSize::read(&mut reader)?,
            modes: reader.string(LONGEST_FIELD)?,
        })
    }

    /// The value of one terminal mode (RFC 4254 section 8), such as 53 for ECHO; `None` where the client did not say.
    pub fn mode(&self, opcode: u8) -> Option<u32> {
        let mut reader = Reader::new(self.modes);
        // Opcodes from 160 on have no defined arguments: what follows them cannot be read.
        while let Ok(found @ 1..=159) = reader.byte() {
            let value = reader.u32().ok()?;
            if found == opcode {
                return Some(value);
            }
        }
        None
    }
}

/// CHANNEL_OPEN_FAILURE; OpenSSH shows `text` to the person.
pub fn open_failure(recipient: u32, why: OpenFailure, text: &str) -> Vec<u8> {
    Writer::new(number::CHANNEL_OPEN_FAILURE)
        .u32(recipient)
        .u32(why as u32)
        .string(text)
        .string("")
        .finish()
}

pub fn window_adjust(recipient: u32, bytes: u32) -> Vec<u8> {
    Writer::new(number::CHANNEL_WINDOW_ADJUST)
        .u32(recipient)
        .u32(bytes)
        .finish()
}

/// Data that a program would have written to its standard output.
pub fn channel_data(recipient: u32, bytes: &[u8]) -> Vec<u8> {
    Writer::new(number::CHANNEL_DATA)
        .u32(recipient)
        .string(bytes)
        .finish()
}

/// The same, to its standard error.
pub fn channel_error_data(recipient: u32, bytes: &[u8]) -> Vec<u8> {
    const STANDARD_ERROR: u32 = 1;
    Writer::new(number::CHANNEL_EXTENDED_DATA)
        .u32(recipient)
        .u32(STANDARD_ERROR)
        .string(bytes)
        .finish()
}

/// A message that is nothing but a number and a recipient: EOF, CLOSE, SUCCESS, FAILURE.
pub fn bare(number: u8, recipient: u32) -> Vec<u8> {
    Writer::new(number).u32(recipient).finish()
}

/// The `exit-status` of a program that has ended.
pub fn exit_status(recipient: u32, status: u32) -> Vec<u8> {
    Writer::new(number::CHANNEL_REQUEST)
        .u32(recipient)
        .string("exit-status")
        .boolean(false)
        .u32(status)
        .finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_keeps_everything_but_its_window() {
        let payload = Writer::new(number::CHANNEL_OPEN)
            .string("direct-tcpip")
            .u32(7)
            .u32(1000)
            .u32(32)
            .string("db.example")
            .u32(5432)
            .string("127.0.0.1")
            .u32(1)
            .finish();
        let open = ChannelOpen::parse(&payload).unwrap();
        assert_eq!(open.tcp_target(), Ok((&b"db.example"[..], 5432)));
        let smaller = open.with_window(900);
        let read = ChannelOpen::parse(&smaller).unwrap();
        assert_eq!((read.window, read.data), (900, open.data));
        assert_eq!(open.with_window(1000), payload);
    }

    #[test]
    fn terminal_modes_are_found_behind_others() {
        let modes = [128, 0, 0, 0x96, 0, 53, 0, 0, 0, 1, 0];
        let data = Writer::bare()
            .string("xterm")
            .u32(80)
            .u32(24)
            .u32(0)
            .u32(0)
            .string(modes)
            .finish();
        let terminal = TerminalRequest::parse(&data).unwrap();
        let size = TerminalSize {
            columns: 80,
            rows: 24,
        };
        assert_eq!((terminal.term, terminal.size), (&b"xterm"[..], size));
        assert_eq!((terminal.mode(53), terminal.mode(54)), (Some(1), None));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(mut bytes: Vec<u8>, number in 90u8..=100) {
            bytes.insert(0, number);
            let _ = ChannelOpen::parse(&bytes).map(|open| open.tcp_target());
            let _ = ChannelData::parse(&bytes);
            let _ = parse_confirmation(&bytes);
            let _ = parse_adjust(&bytes);
            if let Ok(request) = ChannelRequest::parse(&bytes) {
                let _ = request.program();
                let _ = TerminalSize::parse(request.data);
                let _ = TerminalRequest::parse(request.data).map(|terminal| terminal.mode(53));
            }
        }
    }
}
