//! One test's world: a folder with the gate's keys, the pool's authority, and people's keys, gone when dropped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::people::{account, account_name, base};
use super::{Person, finish, tool};

pub struct World {
    folder: tempfile::TempDir,
    known_hosts: Mutex<()>,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("w")
            .tempdir_in(base().join("worlds"))
            .unwrap();
        // Reachable for the test accounts, writable for root only: what checks of key files ask for.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let world = Self {
            folder,
            known_hosts: Mutex::new(()),
        };
        world.make_key("user_ca");
        world.make_key("gate_host_key");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh folder below the world's.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Makes an ed25519 key pair; the private half is at the path that comes back.
    pub fn make_key(&self, name: &str) -> PathBuf {
        self.make_key_of("ed25519", name)
    }

    pub fn make_key_of(&self, kind: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut keygen = tool("ssh-keygen");
        keygen
            .args(["-q", "-t", kind, "-N", "", "-C", name, "-f"])
            .arg(&path);
        finish(&mut keygen, Duration::from_secs(30)).ok();
        path
    }

    /// Person `number` of this world, with a key of their own that the gate knows.
    pub fn person(&self, number: usize) -> Person {
        let name = account_name(number);
        let key = self.path(&format!("clients/{name}"));
        let person = Person {
            home: account(number).dir,
            certificate: key.with_extension("cert"),
            key,
            name,
        };
        if !person.key.exists() {
            self.make_key(&format!("clients/{}", person.name));
            self.certify(&person);
            self.authorize(&person, &fs::read_to_string(public(&person.key)).unwrap());
        }
        person
    }

    pub fn people(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<Person> {
        numbers
            .into_iter()
            .map(|number| self.person(number))
            .collect()
    }

    /// Makes `lines` the person's authorized_keys, with the owner and mode that a careful gate asks for.
    pub fn authorize(&self, person: &Person, lines: &str) {
        let folder = self.folder(&format!("keys/{}", person.name));
        let file = folder.join("authorized_keys");
        fs::write(&file, lines).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let owner = nix::unistd::User::from_name(&person.name).unwrap().unwrap();
        for path in [&folder, &file] {
            chown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
        }
    }

    /// The gate's setting for where `authorize` writes.
    pub fn authorized_keys_pattern(&self) -> String {
        format!("{}/%u/authorized_keys", self.folder("keys").display())
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    /// Tells every client of this world the key of the host at a port.
    pub fn trust_host(&self, port: u16, host_key: &Path) {
        let _one_writer = self.known_hosts.lock().unwrap();
        let key = fs::read_to_string(public(host_key)).unwrap();
        let known = fs::read_to_string(self.known_hosts()).unwrap_or_default();
        let host = format!("[127.0.0.1]:{port} ");
        let others: String = known
            .lines()
            .filter(|line| !line.starts_with(&host))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(self.known_hosts(), format!("{others}{host}{key}")).unwrap();
    }

    fn certify(&self, person: &Person) {
        // Signed at another path, or OpenSSH would pick up the certificate by its name and offer it to the gate as well.
        let copy = self.folder("signing").join(format!("{}.pub", person.name));
        fs::copy(public(&person.key), &copy).unwrap();
        let mut keygen = tool("ssh-keygen");
        keygen
            .args(["-q", "-s"])
            .arg(self.path("user_ca"))
            .args(["-I", "direct login of the tests", "-n", &person.name])
            .arg(&copy);
        finish(&mut keygen, Duration::from_secs(30)).ok();
        let signed = copy.with_file_name(format!("{}-cert.pub", person.name));
        fs::rename(signed, &person.certificate).unwrap();
    }
}

/// The public half of a key pair that `make_key` made.
pub fn public(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}
