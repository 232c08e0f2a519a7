//! What the demo says when it is ready: how to log in, and what to try.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::settings::{POOL, admin_socket};

/// What the text is made of.
pub struct Guide<'a> {
    pub folder: &'a Folder,
    pub instances: u32,
    /// Where clients reach the gate.
    pub ssh: SocketAddr,
    pub https: SocketAddr,
    /// The private key to name on the ssh line; `None` where an agent holds the person's keys.
    pub identity: Option<PathBuf>,
    /// Whether `identity` was made for this demo.
    pub is_new_identity: bool,
    /// This program, as people can call it.
    pub program: PathBuf,
    pub real: Option<Real>,
}

/// What differs where instances are real.
pub struct Real {
    /// The only ssh user there is, where the demo does not run as root.
    pub user: String,
    pub hub_password: String,
}

impl Guide<'_> {
    /// The text, ending with a line break.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let name = self.real.as_ref().map_or("ada", |real| &real.user);
        let kind = self.real.as_ref().map_or("", |_| "real ");
        let count = self.instances;
        writeln!(
            out,
            "\nPoolgate demo: {count} {kind}instances behind one gate, all on this machine.\n"
        )?;
        writeln!(out, "  ssh      {}", self.ssh_line(name))?;
        let config = self.folder.ssh_config();
        writeln!(out, "  shorter  ssh -F {} {name}@pool", config.display())?;
        writeln!(out, "  browser  https://{}/", self.https)?;
        match &self.real {
            Some(real) => writeln!(
                out,
                "\nJupyterHub takes any name with the password {}",
                real.hub_password
            )?,
            None => writeln!(out, "\nAny name logs in, by ssh and by browser.")?,
        }
        writeln!(
            out,
            "The certificate is made for this demo: the browser warns once."
        )?;
        if self.is_new_identity {
            writeln!(
                out,
                "You have no ssh key in ~/.ssh or an agent: the demo made one."
            )?;
        } else {
            writeln!(out, "Your own ssh keys log in.")?;
        }
        self.write_ideas(out, name)?;
        writeln!(out, "\nCtrl-C ends all of it and removes its files.\n")
    }

    fn ssh_line(&self, name: &str) -> String {
        let identity = self
            .identity
            .as_deref()
            .map_or(String::new(), |path| format!(" -i {}", path.display()));
        format!(
            "ssh -p {}{identity} -o UserKnownHostsFile={} {name}@{}",
            self.ssh.port(),
            self.folder.known_hosts().display(),
            self.ssh.ip()
        )
    }

    fn write_ideas(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let ssh = format!("ssh -F {}", self.folder.ssh_config().display());
        let status = self.status_line();
        let pid = self.instance_file("pid");
        writeln!(out, "\nTo try, in another terminal:")?;
        match &self.real {
            None => writeln!(
                out,
                "  1. Six people at once, spread over the instances:\n     \
                 for n in ada ben cyd dee eve fay; do {ssh} -n $n@pool 'echo $USER is on $POOLGATE_INSTANCE; sleep 20' & done; wait\n     \
                 and while they are in:  {status}"
            )?,
            Some(_) => writeln!(out, "  1. Log in, and see who is where:  {status}")?,
        }
        writeln!(
            out,
            "  2. One person, one machine: log in as {name} by browser and by ssh, and compare."
        )?;
        writeln!(
            out,
            "  3. Kill an instance, and log in again while it starts anew:\n     kill -9 $(cat {})",
            pid.display()
        )
    }

    fn status_line(&self) -> String {
        let socket = admin_socket(self.folder);
        let program = self.program.display();
        format!("{program} status --socket {}", socket.display())
    }

    fn instance_file(&self, file: &str) -> PathBuf {
        let instance = Path::new("instances").join(format!("{POOL}-1"));
        self.folder.path("").join(instance).join(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_the_demos_own_files() {
        let folder = Folder::make(&[]).unwrap();
        let mut guide = Guide {
            folder: &folder,
            instances: 3,
            ssh: "127.0.0.1:2222".parse().unwrap(),
            https: "127.0.0.1:8443".parse().unwrap(),
            identity: Some("/x/id".into()),
            is_new_identity: true,
            program: "/x/poolgate".into(),
            real: None,
        };
        let text = guide.text();
        let known = folder.known_hosts();
        let line = format!(
            "ssh -p 2222 -i /x/id -o UserKnownHostsFile={} ada@127.0.0.1\n",
            known.display()
        );
        assert!(text.contains(&line), "{text}");
        assert!(text.contains("https://127.0.0.1:8443/\n"), "{text}");
        assert!(text.contains("/x/poolgate status --socket "), "{text}");
        assert!(text.contains("/instances/demo-1/pid)"), "{text}");

        guide.real = Some(Real {
            user: "me".into(),
            hub_password: "pass".into(),
        });
        guide.identity = None;
        let text = guide.text();
        assert!(
            text.contains("password pass\n") && text.contains("me@pool"),
            "{text}"
        );
        assert!(!text.contains("ada"), "{text}");
    }
}
