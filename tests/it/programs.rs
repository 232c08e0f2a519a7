//! Programs that people run over ssh without seeing it: git, ansible, and editors that log in as VS Code's Remote-SSH does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clients::Scene;
use crate::support::client::{PATIENCE, host, quoted};
use crate::support::{Finished, Running, finish, free_port, tool, wait_until};

impl Scene {
    fn ssh(&self) -> Command {
        self.gate.door(&self.world).ssh(&self.person)
    }

    /// The options of `ssh` as words of a shell, but for those about shared connections.
    fn ssh_words(&self) -> String {
        let options = self.gate.door(&self.world).options(&self.person);
        let pairs = options.chunks(2);
        let kept: Vec<_> = pairs
            .filter(|pair| !pair[1].starts_with("Control"))
            .collect();
        quoted(&kept.concat())
    }

    /// Ends the gate, having seen that all logins, at least so many, went to one instance.
    #[track_caller]
    fn stop(self, at_least: usize) {
        let mut instances = self.gate.audited_instances("person01");
        assert!(instances.len() >= at_least, "{instances:?}");
        instances.dedup();
        assert_eq!(instances.len(), 1, "{instances:?}");
        self.gate.stop();
    }
}

#[test]
fn git_pushes_and_clones() {
    let scene = Scene::new();
    let git = |folder: &Path, words: &[&str]| {
        let mut git = tool("git");
        git.env("HOME", scene.world.folder("git-home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_SSH_COMMAND", format!("ssh {}", scene.ssh_words()))
            .args([
                "-c",
                "user.name=Person",
                "-c",
                "user.email=person@example.org",
            ])
            .args(["-c", "init.defaultBranch=main", "-C"])
            .arg(folder)
            .args(words);
        finish(&mut git, PATIENCE).ok()
    };
    let mut init = scene.ssh();
    init.args([&host(&scene.person), "git init -q --bare work.git"]);
    finish(&mut init, PATIENCE).ok();

    let (here, other) = (scene.world.folder("here"), scene.world.path("other"));
    let data: Vec<u8> = (0..5_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(here.join("data.bin"), &data).unwrap();
    git(&here, &["init", "-q"]);
    git(&here, &["add", "data.bin"]);
    git(&here, &["commit", "-q", "-m", "first"]);
    let url = "ssh://person01@127.0.0.1/~/work.git";
    git(&here, &["push", "-q", url, "main"]);
    git(&here, &["clone", "-q", url, other.to_str().unwrap()]);
    assert!(fs::read(other.join("data.bin")).unwrap() == data);
    let listed = git(&here, &["ls-remote", url, "main"]);
    let commit = git(&here, &["rev-parse", "main"]);
    assert!(listed.stdout.starts_with(commit.text()), "{listed}");
    scene.stop(4);
}

/// What stands in for an editor's server: greets over HTTP on a port and on a unix socket, as the instance's own.
const EDITOR_SERVER: &str = r#"mkdir -p ~/.editor-server && cd ~/.editor-server && rm -f port remote.sock
cat >server.py <<'END'
import os, socket, threading

def serve(listener):
    while True:
        peer, _ = listener.accept()
        peer.recv(4096)
        peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + os.environ["POOLGATE_INSTANCE"].encode())
        peer.close()

tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
unix.bind("remote.sock")
unix.listen()
threading.Thread(target=serve, args=(unix,), daemon=True).start()
with open("port.new", "w") as file:
    file.write(str(tcp.getsockname()[1]))
os.rename("port.new", "port")
serve(tcp)
END
/usr/bin/python3 server.py
"#;

#[test]
fn an_editor_connects_as_remote_ssh_does() {
    let scene = Scene::new();
    let options = [
        "-o",
        "ConnectTimeout=15",
        "-o",
        "ExitOnForwardFailure=yes",
        "-T",
    ];
    // A shell that is fed a script on its standard input, with a SOCKS port beside it.
    let socks = free_port();
    let mut main = scene.ssh();
    main.args(options)
        .args(["-D", &socks.to_string(), &host(&scene.person), "bash"])
        .stdin(Stdio::piped());
    let mut main = Running::start_with_stdin(&mut main);
    main.feed(EDITOR_SERVER.as_bytes());
    let port: String = wait_until("the editor's server", PATIENCE, || {
        fs::read_to_string(scene.person.home.join(".editor-server/port")).ok()
    });

    let curl = |words: &[&str]| {
        let mut curl = tool("curl");
        finish(
            curl.args(["-q", "-sS", "--max-time", "30"]).args(words),
            PATIENCE,
        )
    };
    let proxy = format!("socks5h://127.0.0.1:{socks}");
    let url = format!("http://localhost:{port}/");
    let instance = scene.gate.audited_instances("person01")[0].clone();
    assert_eq!(curl(&["--proxy", &proxy, &url]).ok().text(), instance);

    // Further windows: a connection each, to unix sockets of the same server.
    let windows: Vec<(PathBuf, Running)> = (0..4)
        .map(|number| {
            let local = scene.world.path(&format!("window{number}.sock"));
            let remote = scene.person.home.join(".editor-server/remote.sock");
            let mut ssh = scene.ssh();
            ssh.args(options)
                .args(["-L", &format!("{}:{}", local.display(), remote.display())])
                .args([&host(&scene.person), "cat"])
                .stdin(Stdio::piped());
            (local, Running::start_with_stdin(&mut ssh))
        })
        .collect();
    for (socket, _) in &windows {
        let answer: Finished = wait_until("a window's socket", PATIENCE, || {
            let answer = curl(&["--unix-socket", socket.to_str().unwrap(), "http://editor/"]);
            (answer.code() == Some(0)).then_some(answer)
        });
        assert_eq!(answer.text(), instance);
    }
    assert_eq!(scene.gate.sessions().len(), 5);
    assert_eq!(curl(&["--proxy", &proxy, &url]).ok().text(), instance);
    drop((windows, main));
    scene.gate.wait_sessions(0);
    scene.stop(5);
}

#[test]
fn ansible_works_with_and_without_pipelining() {
    let scene = Scene::new();
    let inventory = scene.world.path("inventory");
    fs::write(
        &inventory,
        format!(
            "pool ansible_host=127.0.0.1 ansible_port={} ansible_user=person01 ansible_python_interpreter=/usr/bin/python3\n",
            scene.gate.ssh_port
        ),
    )
    .unwrap();
    let sent = scene.world.path("sent.txt");
    fs::write(&sent, "from ansible\n".repeat(10_000)).unwrap();
    let control = scene.world.folder("control");
    let ansible = |pipelining: &str, transfer: &str, words: &[&str]| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/venv/bin/python");
        let mut ansible = tool(program.to_str().unwrap());
        let persist = "-o ControlMaster=auto -o ControlPersist=30s";
        ansible
            .args(["-m", "ansible.cli.adhoc", "pool", "-i"])
            .arg(&inventory)
            .args(words)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", scene.world.folder("ansible-home"))
            .env(
                "ANSIBLE_SSH_ARGS",
                format!("{persist} {}", scene.ssh_words()),
            )
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", &control)
            .env("ANSIBLE_PIPELINING", pipelining)
            .env("ANSIBLE_SSH_TRANSFER_METHOD", transfer)
            .env("ANSIBLE_NOCOLOR", "1")
            .env_remove("SSH_AUTH_SOCK");
        finish(&mut ansible, PATIENCE).ok()
    };
    for (pipelining, transfer) in [
        ("True", "sftp"),
        ("False", "sftp"),
        ("False", "scp"),
        ("False", "piped"),
    ] {
        let pong = ansible(pipelining, transfer, &["-m", "ping"]);
        assert!(pong.stdout.contains("\"pong\""), "{pong}");
        let name = format!("copied-{pipelining}-{transfer}");
        let args = format!("src={} dest={name} mode=0600", sent.display());
        let copied = ansible(pipelining, transfer, &["-m", "copy", "-a", &args]);
        assert!(copied.stdout.contains("CHANGED"), "{copied}");
        let there = scene.person.home.join(&name);
        assert_eq!(fs::read(there).unwrap(), fs::read(&sent).unwrap());
        let shell = ansible(
            pipelining,
            transfer,
            &["-m", "shell", "-a", "whoami; exit 0"],
        );
        assert!(shell.stdout.contains("person01"), "{shell}");
    }
    assert!(
        !scene.gate.sessions().is_empty(),
        "ControlPersist holds one"
    );
    for socket in fs::read_dir(&control).unwrap() {
        let mut leave = tool("ssh");
        leave.args(["-F", "none", "-S"]).arg(socket.unwrap().path());
        finish(leave.args(["-O", "exit", &host(&scene.person)]), PATIENCE).ok();
    }
    scene.gate.wait_sessions(0);
    scene.stop(1);
}
