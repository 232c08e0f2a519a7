//! The person's address as a variable of what they run: an `env` request of the gate's own in front of each command, and
//! the true value in one of the client's for the same name.
//!
//! Nothing is remembered of channels: a command's request names the channel the variable is for. The instance takes the
//! variable only if its sshd lists it in AcceptEnv. Deliberately absent: any other request or variable.

use std::net::IpAddr;

use super::wire::message::{Malformed, Reader, Writer, number};

/// What sets the variable in one session.
pub struct ClientEnv {
    name: String,
    value: String,
}

/// What the gate adds to a channel request.
#[derive(Debug, PartialEq, Eq)]
pub enum Insertion {
    /// The request goes as it is.
    Nothing,
    /// This message, then the request.
    Before(Vec<u8>),
    /// This message, and not the request.
    Instead(Vec<u8>),
}

const LONGEST_NAME: usize = 256;

impl ClientEnv {
    pub fn new(name: &str, client: IpAddr) -> Self {
        Self {
            name: name.to_owned(),
            value: client.to_canonical().to_string(),
        }
    }

    /// What is malformed is for the instance to judge, as without the gate.
    pub fn insertion(&self, request: &[u8]) -> Insertion {
        self.look_at(request).unwrap_or(Insertion::Nothing)
    }

    fn look_at(&self, request: &[u8]) -> Result<Insertion, Malformed> {
        let mut reader = Reader::of(request, number::CHANNEL_REQUEST)?;
        let channel = reader.u32()?;
        let kind = reader.string(LONGEST_NAME)?;
        let want_reply = reader.boolean()?;
        Ok(match kind {
            b"shell" | b"exec" | b"subsystem" => Insertion::Before(self.request(channel, false)),
            b"env" if reader.string(LONGEST_NAME)? == self.name.as_bytes() => {
                Insertion::Instead(self.request(channel, want_reply))
            }
            _ => Insertion::Nothing,
        })
    }

    fn request(&self, channel: u32, want_reply: bool) -> Vec<u8> {
        Writer::new(number::CHANNEL_REQUEST)
            .u32(channel)
            .string("env")
            .boolean(want_reply)
            .string(&self.name)
            .string(&self.value)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: &str, want_reply: bool) -> Writer {
        let message = Writer::new(number::CHANNEL_REQUEST).u32(7).string(kind);
        message.boolean(want_reply)
    }

    fn env(want_reply: bool, name: &str, value: &str) -> Vec<u8> {
        let message = request("env", want_reply).string(name);
        message.string(value).finish()
    }

    #[test]
    fn the_variable_goes_before_each_command_and_cannot_be_told_otherwise() {
        let set = ClientEnv::new("POOLGATE_CLIENT", "::ffff:192.0.2.7".parse().unwrap());
        let own = |want_reply| env(want_reply, "POOLGATE_CLIENT", "192.0.2.7");
        for command in [
            request("shell", true).finish(),
            request("exec", false).string("ls").finish(),
            request("subsystem", true).string("sftp").finish(),
        ] {
            assert_eq!(set.insertion(&command), Insertion::Before(own(false)));
        }
        let lie = env(true, "POOLGATE_CLIENT", "203.0.113.9");
        assert_eq!(set.insertion(&lie), Insertion::Instead(own(true)));
        for other in [
            env(true, "LANG", "C"),
            request("pty-req", true).finish(),
            request("shel", true).finish(),
            vec![number::CHANNEL_REQUEST, 0, 0],
            vec![number::CHANNEL_REQUEST, 0, 0, 0, 7, 255, 255, 255, 255],
        ] {
            assert_eq!(set.insertion(&other), Insertion::Nothing);
        }
    }
}
