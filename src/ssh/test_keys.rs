//! For tests: keys and certificates made by the real ssh-keygen, and instances to show them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pool::{Instance, InstanceId};

/// A folder that keys are made in.
pub struct Keys(pub tempfile::TempDir);

impl Keys {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs ssh-keygen in the folder and returns what it prints.
    pub fn keygen(&self, args: &[&str]) -> String {
        let output = Command::new("ssh-keygen")
            .args(args)
            .current_dir(&self.0)
            .output();
        let output = output.expect("tests need ssh-keygen: install openssh-client");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "ssh-keygen {args:?}: {output:?}");
        text
    }

    /// Makes a key pair `NAME`, `NAME.pub`.
    pub fn make(&self, name: &str, kind: &str) -> PathBuf {
        self.keygen(&[
            "-q",
            "-t",
            kind,
            "-N",
            "",
            "-C",
            "made for a test",
            "-f",
            name,
        ]);
        self.path(name)
    }

    /// The public key's line, `TYPE BASE64 COMMENT`.
    pub fn line(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// The public key's or certificate's blob.
    pub fn blob(&self, name: &str) -> Vec<u8> {
        use base64::Engine as _;
        let line = self.line(name);
        let text = line.split(' ').nth(1).unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// An instance of pool `main` on the loopback.
pub fn instance(name: &str, port: u16) -> Instance {
    Instance {
        id: InstanceId {
            pool: "main".into(),
            name: name.into(),
        },
        address: "127.0.0.1".into(),
        ssh_port: port,
        jupyter_port: None,
        capacity: 1,
        generation: 1,
    }
}

/// The mode bits of a file.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}
