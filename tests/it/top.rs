//! `poolgate top` on a real terminal: tmux has it, types the keys and reads the screen, while people log in and the gate is
//! killed.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::dashboard::crowd::Scene as Crowd;
use crate::support::client::host;
use crate::support::proc::descendants;
use crate::support::window::{PROMPT, Window};
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World};

const PATIENCE: Duration = Duration::from_secs(30);
/// What is new on the gate is on the screen by then.
const SOON: Duration = Duration::from_secs(2);

impl Window {
    /// Starts the program in it.
    fn start_top(&self, gate: &Gate) {
        let line = format!(
            "clear; {} top -c {}",
            env!("CARGO_BIN_EXE_poolgate"),
            gate.config.display()
        );
        self.write(&line);
        self.press(&["Enter"]);
        self.wait("Machines");
    }

    /// The process of the program.
    fn top(&self) -> Pid {
        let shell: u32 = self.told("#{pane_pid}").parse().unwrap();
        let below = descendants(shell);
        Pid::from_raw(i32::try_from(*below.first().expect("top runs")).unwrap())
    }

    /// The shell has its terminal back as it was.
    #[track_caller]
    fn assert_clean(&self) {
        self.wait_within(PATIENCE, "the shell's prompt", |screen| {
            let last = screen.lines().rfind(|line| !line.is_empty());
            last.is_some_and(|line| line.starts_with(PROMPT))
        });
        assert_eq!(self.told("#{alternate_on} #{cursor_flag}"), "0 1");
        self.write("echo modes-$(stty -a | grep -c -e ' -icanon' -e ' -echo ')");
        self.press(&["Enter"]);
        self.wait("modes-0");
    }
}

fn state_of(gate: &Gate, name: &str) -> (String, String) {
    let rows = gate.instances();
    let row = rows.iter().find(|row| row["name"] == name).unwrap();
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    (text("admin_state"), text("reason"))
}

#[test]
fn a_pool_is_looked_at_and_ordered_about_on_a_terminal() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let mut gate = GateSetup::over(&sshds)
        .ssh("connect_timeout = \"20s\"")
        .start(&world);
    let window = Window::bash(&world, (80, 24), &[]);
    window.start_top(&gate);
    let screen = window.wait("2 ready");
    for name in ["vm1", "vm2", "Queue: nobody waits", "q quit"] {
        assert!(screen.contains(name), "{name}: {screen}");
    }
    somebody_comes(&world, &gate, &window);
    an_order_is_given(&gate, &window);
    the_window_changes(&window);
    the_gate_is_killed(&mut gate, &window);
    window.press(&["q"]);
    window.assert_clean();
    drop(window);
    gate.stop();
}

fn somebody_comes(world: &World, gate: &Gate, window: &Window) {
    let person = world.person(1);
    let mut ssh = gate.door(world).ssh(&person);
    ssh.args([&host(&person), "sleep 600"]);
    let staying = Running::start(&mut ssh);
    gate.wait_sessions(1);
    let began = Instant::now();
    window.wait_within(SOON, "the session", |screen| screen.contains("person01"));
    eprintln!("a session is shown after {:?}", began.elapsed());
    window.press(&["Tab", "Enter"]);
    let screen = window.wait("The next login of person01");
    assert!(screen.contains("Session of person01"), "{screen}");
    // What the list has no room for.
    assert!(screen.contains("from          127.0.0.1"), "{screen}");
    window.press(&["Escape"]);
    window.press(&["e"]);
    window.write("enough");
    window.press(&["Enter"]);
    window.wait("would be ended");
    window.press(&["n"]);
    window.wait("nothing was ordered");
    assert_eq!(gate.sessions().len(), 1, "a no is a no");
    drop(staying);
    window.wait_within(PATIENCE, "its end", |screen| screen.contains("Sessions 0"));
    window.press(&["BTab"]);
}

fn an_order_is_given(gate: &Gate, window: &Window) {
    window.press(&["/"]);
    window.write("vm2");
    window.press(&["Enter"]);
    window.wait("Machines 1 of 2");
    window.press(&["c"]);
    window.wait("Cordon main/vm2");
    window.press(&["Enter"]);
    window.wait("write why");
    window.write("kernel \u{e9}t\u{e9}");
    window.press(&["Enter"]);
    window.wait("would be cordoned");
    assert_eq!(state_of(gate, "vm2").0, "ready", "it is not given yet");
    window.press(&["y"]);
    window.wait("is cordoned");
    let (state, reason) = state_of(gate, "vm2");
    assert_eq!((&*state, &*reason), ("cordoned", "kernel \u{e9}t\u{e9}"));
    assert_eq!(state_of(gate, "vm1").0, "ready");
    window.press(&["Escape"]);
    let is_whole =
        |screen: &str| screen.contains("Machines 2") && screen.contains("1 ready, 1 cordoned");
    window.wait_within(SOON, "what became of the order", is_whole);
    window.wait("cordons it: kernel");
    // Text from a clipboard is no row of commands.
    window.press(&["u"]);
    window.run(&["set-buffer", "done\nq"]);
    window.run(&["paste-buffer", "-p"]);
    window.press(&["Enter"]);
    window.wait("would take people again");
    window.press(&["y"]);
    window.wait("takes people again");
    assert_eq!(state_of(gate, "vm2").0, "ready");
    window.press(&["Escape"]);
}

fn the_window_changes(window: &Window) {
    for (columns, lines) in [(200_u16, 60_u16), (30, 8), (80, 24)] {
        let (wide, high) = (columns.to_string(), lines.to_string());
        window.run(&["resize-window", "-x", &wide, "-y", &high]);
        let last = match columns < 40 {
            true => "make this window larger",
            false => "q quit",
        };
        let is_whole = |screen: &str| {
            let drawn: Vec<_> = screen.lines().collect();
            let is_there = drawn.iter().any(|line| line.contains(last));
            // The line below a list's name goes through the whole window.
            let rules = drawn.iter().map(|line| line.chars().count()).max();
            is_there && (columns < 40 || rules == Some(usize::from(columns)))
        };
        window.wait_within(PATIENCE, "the new size", is_whole);
    }
}

fn the_gate_is_killed(gate: &mut Gate, window: &Window) {
    gate.kill_9();
    let screen = window.wait("the gate does not answer, trying again");
    assert!(screen.contains("vm1") && screen.contains("vm2"), "{screen}");
    gate.start_again(2);
    window.wait_within(PATIENCE, "the gate again", |screen| {
        screen.contains("2 ready") && !screen.contains("does not answer")
    });
    gate.cli(&["cordon", "vm1", "--reason", "told by the new one"])
        .ok();
    window.wait("told by the new one");
}

#[test]
fn a_terminal_is_left_as_it_was_and_asked_for_no_more_than_it_has() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    gate.cli(&["cordon", "vm1", "--reason", "na\u{ef}ve \u{202e}txt"])
        .ok();
    let plain = [("NO_COLOR", "1"), ("LC_ALL", "C"), ("LANG", "C")];
    let window = Window::bash(&world, (80, 24), &plain);
    window.start_top(&gate);
    let screen = window.wait("na?ve <U+202E>txt");
    assert!(screen.is_ascii(), "{screen}");
    let colours = window.run(&["capture-pane", "-p", "-e"]).stdout;
    for part in colours.split('\u{1b}').skip(1) {
        let sequence = part.split('m').next().unwrap_or_default();
        let numbers = sequence.trim_start_matches('[').split(';');
        for number in numbers.filter_map(|one| one.parse::<u16>().ok()) {
            assert!(
                !(30..=49).contains(&number) || number == 39 || number == 49,
                "{part:?}"
            );
        }
    }
    for end in [Signal::SIGTERM, Signal::SIGHUP] {
        kill(window.top(), end).unwrap();
        window.assert_clean();
        window.start_top(&gate);
    }
    window.press(&["C-c"]);
    window.assert_clean();
    drop(window);

    let nowhere = gate.cli(&["top"]);
    assert_eq!(nowhere.code(), Some(1), "{nowhere}");
    for words in ["is none", "poolgate status", "poolgate events --follow"] {
        assert!(nowhere.stderr.contains(words), "{nowhere}");
    }
    gate.stop();
}

/// What looking costs, with a thousand people on fifty machines.
#[test]
fn a_thousand_sessions_are_looked_at_for_little() {
    let crowd = Crowd::new();
    let people = crowd.crowd();
    crowd.gate.wait_sessions(people.len());
    let seconds = std::env::var_os("POOLGATE_TOP_SECONDS");
    let seconds = seconds.map_or(5, |seconds| seconds.to_str().unwrap().parse().unwrap());
    let idle = || Duration::ZERO;
    let (alone, _) = shares_of_a_core(seconds, || crowd.gate.cpu_time(), idle);
    let window = Window::bash(&crowd.world, (200, 60), &[]);
    window.start_top(&crowd.gate);
    window.wait(&format!("Sessions {}", people.len()));
    window.wait("50 ready");
    let top = window.top();
    let (looked_at, own) = shares_of_a_core(seconds, || crowd.gate.cpu_time(), || cpu_time_of(top));
    eprintln!("of a core: the gate alone {alone:.2} %, looked at {looked_at:.2} %; top {own:.2} %");
    assert!(
        own < 25.0 && looked_at - alone < 25.0,
        "looking keeps a core busy"
    );
    // A list that is longer than the screen.
    window.press(&["Tab", "s", "G"]);
    window.wait("person0999");
    window.press(&["/"]);
    window.write("person0123");
    window.wait("Sessions 1 of 1000");
    window.press(&["Enter", "q"]);
    window.assert_clean();
    drop(people);
    drop(window);
    crowd.gate.stop();
}

/// What two processes use, in percent of a core, over a while.
fn shares_of_a_core(
    seconds: u64,
    one: impl Fn() -> Duration,
    other: impl Fn() -> Duration,
) -> (f64, f64) {
    let (began, before) = (Instant::now(), (one(), other()));
    std::thread::sleep(Duration::from_secs(seconds));
    let share = |now: Duration, before: Duration| {
        (now - before).as_secs_f64() * 100.0 / began.elapsed().as_secs_f64()
    };
    (share(one(), before.0), share(other(), before.1))
}

fn cpu_time_of(process: Pid) -> Duration {
    let clock = nix::time::clock_getcpuclockid(process).unwrap();
    clock.now().unwrap().into()
}
