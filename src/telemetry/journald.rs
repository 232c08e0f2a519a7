//! Entries as systemd-journald takes them on its own socket: fields with names, values of any bytes. Pure.
//!
//! Deliberately absent: handing over a sealed file for what no datagram holds. Values are bounded where they are made, and an
//! entry far below what a socket takes.

/// The names of our own fields begin with it, so that they are nobody else's.
const PREFIX: &str = "POOLGATE_";
/// Linux gives a datagram about 200 KiB.
const ENTRY_BYTES_MAX: usize = 128 << 10;

pub struct Entry(Vec<u8>);

impl Entry {
    /// `priority` as syslog counts.
    pub fn new(priority: u8, message: &str) -> Self {
        let mut entry = Self(Vec::with_capacity(256));
        entry.add("MESSAGE", message);
        entry.add("PRIORITY", &priority.to_string());
        entry.add("SYSLOG_IDENTIFIER", "poolgate");
        entry.add("SYSLOG_PID", &std::process::id().to_string());
        entry
    }

    /// A field of ours, `user` as `POOLGATE_USER`. One that has no room is left out.
    pub fn field(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_uppercase().replace(['.', '-'], "_");
        self.add(&format!("{PREFIX}{name}"), value);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// `NAME=value`, or the name and a length before a value that holds a line end.
    fn add(&mut self, name: &str, value: &str) {
        if self.0.len() + name.len() + value.len() + 16 > ENTRY_BYTES_MAX {
            return;
        }
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0
                .extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_a_field_of_its_own() {
        let mut entry = Entry::new(6, "a session began");
        entry.field("user", "alice\nPRIORITY=0");
        entry.field("key_id", "x=y");
        let bytes = entry.into_bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("MESSAGE=a session began\nPRIORITY=6\n"));
        assert!(text.contains("POOLGATE_USER\n\u{10}\0\0\0\0\0\0\0alice\nPRIORITY=0\n"));
        assert!(text.ends_with("POOLGATE_KEY_ID=x=y\n"), "{text}");
    }

    #[test]
    fn an_entry_fits_into_a_datagram() {
        let mut entry = Entry::new(6, "x");
        for _ in 0..100 {
            entry.field("user", &"a".repeat(8192));
        }
        entry.field("pool", "main");
        let bytes = entry.into_bytes();
        assert!(bytes.len() <= ENTRY_BYTES_MAX && bytes.ends_with(b"POOLGATE_POOL=main\n"));
    }
}
