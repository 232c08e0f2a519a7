//! What shells complete: words of the command line, and names that the gate knows at that moment, as bash, zsh and fish tell it.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::poolgate;
use crate::support::window::{PROMPT, Window};
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World, finish, tool};

/// A gate with two instances and somebody on one of them.
struct Scene {
    world: World,
    gate: Gate,
    held: Running,
    id: String,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
        let gate = GateSetup::over(&sshds)
            .ssh("connect_timeout = \"20s\"")
            .start(&world);
        let person = world.person(1);
        let mut ssh = gate.door(&world).ssh(&person);
        ssh.args([&host(&person), "sleep 600"]);
        let held = Running::start(&mut ssh);
        gate.wait_sessions(1);
        let id = gate.sessions()[0]["id"].as_str().unwrap().to_owned();
        Self {
            world,
            gate,
            held,
            id,
            _sshds: sshds,
        }
    }

    /// The script for a shell, in a file of this name.
    fn script(&self, shell: &str, name: &str) -> PathBuf {
        let script = finish(poolgate().args(["completions", shell]), PATIENCE).ok();
        let file = self.world.folder("completions").join(name);
        std::fs::write(&file, script.stdout).unwrap();
        file
    }

    /// Without a gate; the files stay until their world goes.
    fn end(self) -> World {
        self.held.signal(Signal::SIGTERM);
        self.held.finish(PATIENCE);
        self.gate.stop();
        self.world
    }
}

/// Where the program is.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_poolgate")).parent().unwrap()
}

#[test]
fn bash_completes_words_and_the_names_the_gate_knows() {
    let scene = Scene::new();
    let file = scene.script("bash", "poolgate");
    let config = scene.gate.config.clone();
    let completed = |words: &[&str]| {
        let program = "source \"$0\"; PATH=$1:$PATH; shift; COMP_WORDS=(poolgate \"$@\"); COMP_CWORD=$#; \
                       _poolgate_with_names poolgate \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                       printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut bash = tool("bash");
        bash.args(["--norc", "-c", program]);
        bash.arg(&file).arg(folder()).args(words);
        bash.env("POOLGATE_CONFIG", &config);
        let told = finish(&mut bash, PATIENCE).ok().stdout;
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["drain", ""]), ["vm1", "vm2"]);
    assert_eq!(completed(&["drain", "vm2"]), ["vm2"]);
    assert_eq!(completed(&["move", "person01", "--to", ""]), ["vm1", "vm2"]);
    assert_eq!(
        completed(&["move", "person01", "--to", "="]),
        ["vm1", "vm2"]
    );
    assert_eq!(completed(&["events", "--user", "=", "pers"]), ["person01"]);
    assert_eq!(completed(&["explain", "pers"]), ["person01"]);
    assert_eq!(completed(&["evict", ""]), [scene.id.as_str()]);
    assert_eq!(completed(&["cost", "--pool", ""]), ["main"]);
    assert!(completed(&["unco"]).contains(&"uncordon".to_owned()));
    assert!(completed(&["drain", "--de"]).contains(&"--deadline".to_owned()));
    let _world = scene.end();
    assert!(
        completed(&["explain", "--po"]).contains(&"--pool".to_owned()),
        "without a gate"
    );
}

#[test]
fn fish_completes_words_and_the_names_the_gate_knows() {
    let scene = Scene::new();
    let file = scene.script("fish", "poolgate.fish");
    let config = scene.gate.config.clone();
    let home = scene.world.folder("fish-home");
    // A file that must not be offered where names stand.
    let here = scene.world.folder("here");
    std::fs::write(here.join("vm-notes.txt"), "").unwrap();
    let completed = |line: &str| {
        let mut fish = tool("fish");
        fish.args(["--no-config", "-c"]);
        fish.arg("source $argv[1]; set -p PATH $argv[2]; complete -C $argv[3]");
        fish.arg(&file).arg(folder()).arg(line);
        fish.current_dir(&here).env("HOME", &home);
        fish.env("POOLGATE_CONFIG", &config);
        let told = finish(&mut fish, PATIENCE).ok().stdout;
        let word = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        told.lines().map(word).collect::<Vec<_>>()
    };
    assert_eq!(completed("poolgate drain "), ["vm1", "vm2"]);
    assert_eq!(completed("poolgate drain vm2"), ["vm2"]);
    assert_eq!(completed("poolgate drain --reason \"x y\" vm1"), ["vm1"]);
    assert_eq!(completed("poolgate drain --reason "), [""; 0]);
    assert_eq!(completed("poolgate move person01 --to "), ["vm1", "vm2"]);
    assert_eq!(
        completed("poolgate events --user=pers"),
        ["--user=person01"]
    );
    assert_eq!(completed("poolgate explain pers"), ["person01"]);
    assert_eq!(completed("poolgate explain health "), ["vm1", "vm2"]);
    assert_eq!(completed("poolgate evict "), [scene.id.as_str()]);
    assert_eq!(completed("poolgate cost --pool "), ["main"]);
    assert_eq!(completed("poolgate unco"), ["uncordon"]);
    assert_eq!(completed("poolgate completions z"), ["zsh"]);
    assert_eq!(completed("poolgate play vm"), ["vm-notes.txt"]);
    assert_eq!(completed("poolgate check --config vm"), ["vm-notes.txt"]);
    let _world = scene.end();
    assert_eq!(
        completed("poolgate explain --po"),
        ["--pool"],
        "without a gate"
    );
}

/// zsh tells what it would offer to a terminal only.
#[test]
fn zsh_completes_words_and_the_names_the_gate_knows() {
    let scene = Scene::new();
    scene.script("zsh", "_poolgate");
    let path = format!("{}:/usr/bin:/bin", folder().display());
    let config = scene.gate.config.display().to_string();
    let variables = [("POOLGATE_CONFIG", config.as_str()), ("HOME", "/nowhere")];
    let shell = ["env", &format!("PATH={path}"), "zsh", "-f"];
    let window = Window::open(&scene.world, (120, 30), &variables, &shell);
    let functions = scene.world.path("completions");
    let set_up = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt listambiguous beep promptsp; cd /usr/share; echo is-set-up",
        functions.display()
    );
    window.write(&set_up);
    window.press(&["Enter"]);
    window.wait("\nis-set-up");
    for (typed, offered) in [
        ("drain ", "vm1  vm2"),
        ("move person01 --to ", "vm1  vm2"),
        ("events --instance=", "vm1  vm2"),
        ("explain health ", "vm1  vm2"),
        ("explain ", "health    help      idle      person01"),
        ("explain pers", "explain person01"),
        ("cost --pool ", "cost --pool main"),
        ("evict ", scene.id.as_str()),
        ("completions z", "completions zsh"),
        ("unco", "poolgate uncordon"),
    ] {
        window.press(&["C-u"]);
        window.write("clear");
        window.press(&["Enter"]);
        window.wait_within(PATIENCE, "an empty screen", |screen| {
            screen.trim_end().ends_with(PROMPT) && screen.trim_start().starts_with(PROMPT)
        });
        window.write(&format!("poolgate {typed}"));
        window.press(&["Tab"]);
        window.wait(offered);
    }
    drop(window);
    drop(scene.end());
}
