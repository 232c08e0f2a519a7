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

/// What becomes of a channel request.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    AsIs,
    /// This message goes first.
    Behind(Vec<u8>),
    /// This message goes in its place.
    ReplacedBy(Vec<u8>),
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
    pub fn passage(&self, request: &[u8]) -> Passage {
        self.look_at(request).unwrap_or(Passage::AsIs)
    }

    fn look_at(&self, request: &[u8]) -> Result<Passage, Malformed> {
        let mut reader = Reader::of(request, number::CHANNEL_REQUEST)?;
        let channel = reader.u32()?;
        let kind = reader.string(LONGEST_NAME)?;
        let want_reply = reader.boolean()?;
        Ok(match kind {
            b"shell" | b"exec" | b"subsystem" => Passage::Behind(self.request(channel, false)),
            b"env" if reader.string(LONGEST_NAME)? == self.name.as_bytes() => {
                Passage::ReplacedBy(self.request(channel, want_reply))
            }
            _ => Passage::AsIs,
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
            assert_eq!(set.passage(&command), Passage::Behind(own(false)));
        }
        let lie = env(true, "POOLGATE_CLIENT", "203.0.113.9");
        assert_eq!(set.passage(&lie), Passage::ReplacedBy(own(true)));
        for other in [
            env(true, "LANG", "C"),
            request("pty-req", true).finish(),
            request("shel", true).finish(),
            vec![number::CHANNEL_REQUEST, 0, 0],
            vec![number::CHANNEL_REQUEST, 0, 0, 0, 7, 255, 255, 255, 255],
        ] {
            assert_eq!(set.passage(&other), Passage::AsIs);
        }
    }
}
