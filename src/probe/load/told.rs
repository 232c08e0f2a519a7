//! What an instance tells of itself, read line by line: the answer of `script.sh`, or an agent's word.
//!
//! An instance may be anybody's by the time it answers. Its text is bounded, lines that are not known are left out, and a
//! number that is none makes the whole answer void, because half an answer looks like an idle machine.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::pool::Measured;

/// A few hundred people and their jobs are some 20 KB.
pub(super) const ANSWER_MAX: usize = 64 * 1024;
/// Names of people, each counted once.
const PEOPLE_MAX: usize = 10_000;
/// Load averages of machines that still answer are below this times their cores.
const PERCENT_MAX: u32 = 10_000;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misread {
    #[error("its answer is longer than {ANSWER_MAX} bytes")]
    Long,
    #[error(
        "its answer was cut off; does a shell of its account print something else, or end early?"
    )]
    Cut,
    #[error("`{0}` is no number of its kind")]
    Number(&'static str),
    #[error("the agent said nothing that is known")]
    Agent,
}

/// Figures as they come, until all are there.
#[derive(Default)]
struct Told<'a> {
    load: Option<f64>,
    cores: Option<u32>,
    memory_total: Option<u64>,
    memory_available: Option<u64>,
    gpu_percent: Option<u32>,
    people: BTreeSet<&'a str>,
    kept: u32,
    is_reboot_pending: bool,
    closed: Option<&'static str>,
    is_whole: bool,
}

/// The answer of the script. `own`: the account it runs as, who is no person.
pub(super) fn read_script(answer: &[u8], own: &str, now: SystemTime) -> Result<Measured, Misread> {
    if answer.len() > ANSWER_MAX {
        return Err(Misread::Long);
    }
    let text = String::from_utf8_lossy(answer);
    let mut told = Told::default();
    // A shell may print something of its own first.
    let lines = text.lines().map(str::trim);
    for line in lines.skip_while(|line| *line != "poolgate-load=1") {
        if let Some((key, value)) = line.split_once('=') {
            told.take(key, value, own)?;
        }
    }
    match told.is_whole {
        true => Ok(told.measured(now)),
        false => Err(Misread::Cut),
    }
}

/// An agent's word, as HAProxy's `agent-check` has it: `75%` is how much of its work it wants, `drain`, `maint`, `down`,
/// `stopped` and `failed` that it wants nobody new.
pub(super) fn read_agent(answer: &[u8], now: SystemTime) -> Result<Measured, Misread> {
    let text = String::from_utf8_lossy(answer);
    let line = text.split(['\r', '\n', '#']).next().unwrap_or_default();
    let (mut load_percent, mut closed, mut is_known) = (0, None, false);
    for word in line.split([' ', '\t', ',']) {
        if let Some(wanted) = word.strip_suffix('%') {
            let wanted: u32 = wanted.parse().map_err(|_| Misread::Number("weight"))?;
            load_percent = 100_u32.saturating_sub(wanted);
            is_known = true;
        }
        match word {
            "up" | "ready" => is_known = true,
            "drain" | "maint" | "down" | "stopped" | "failed" => {
                (closed, is_known) = (Some("agent".into()), true);
            }
            _ => {}
        }
    }
    if !is_known {
        return Err(Misread::Agent);
    }
    Ok(Measured {
        taken: now,
        load_percent,
        cpu_percent: None,
        memory_percent: None,
        gpu_percent: None,
        people: 0,
        kept: 0,
        is_reboot_pending: false,
        closed,
    })
}

impl<'a> Told<'a> {
    fn take(&mut self, key: &str, value: &'a str, own: &str) -> Result<(), Misread> {
        match key {
            "loadavg" => {
                let load: f64 = parse(value, "loadavg")?;
                let is_load = load.is_finite() && (0.0..1e6).contains(&load);
                self.load = Some(load).filter(|_| is_load);
                self.load.ok_or(Misread::Number("loadavg"))?;
            }
            "cores" => self.cores = Some(parse(value, "cores")?),
            "memory_total_kib" => self.memory_total = Some(parse(value, "memory_total_kib")?),
            "memory_available_kib" => {
                self.memory_available = Some(parse(value, "memory_available_kib")?);
            }
            "gpu" => {
                let gpu = gpu(value)?;
                self.gpu_percent = self.gpu_percent.max(gpu);
            }
            "person" if is_name(value) && value != own && self.people.len() < PEOPLE_MAX => {
                self.people.insert(value);
            }
            "kept" => {
                let mut words = value.split(' ');
                let user = words.next().unwrap_or_default();
                let count: u32 = parse(words.nth(1).unwrap_or_default(), "kept")?;
                if user != own {
                    self.kept = self.kept.saturating_add(count);
                }
            }
            "nologin" => self.close("nologin"),
            "reboot" => self.is_reboot_pending = true,
            "drive" if value != "writable" => self.close("drive"),
            // Azure's: Freeze is over in seconds; the others end what runs.
            "event" if value != "Freeze" => self.close("event"),
            "end" => self.is_whole = true,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, why: &'static str) {
        self.closed.get_or_insert(why);
    }

    fn measured(self, now: SystemTime) -> Measured {
        let cores = f64::from(self.cores.unwrap_or(1).max(1));
        let cpu_percent = self.load.map(|load| percent_of(load, cores));
        let memory_percent = self.memory_total.zip(self.memory_available);
        let memory_percent = memory_percent.map(|(total, available)| {
            let used = total.saturating_sub(available);
            percent_of(used as f64, total.max(1) as f64)
        });
        let all = [cpu_percent, memory_percent, self.gpu_percent];
        Measured {
            taken: now,
            load_percent: all.into_iter().flatten().max().unwrap_or(0),
            cpu_percent,
            memory_percent,
            gpu_percent: self.gpu_percent,
            people: u32::try_from(self.people.len()).unwrap_or(u32::MAX),
            kept: self.kept,
            is_reboot_pending: self.is_reboot_pending,
            closed: self.closed.map(Into::into),
        }
    }
}

/// Busy in percent, memory used and memory in all; some cards tell `[N/A]` of one of them.
fn gpu(value: &str) -> Result<Option<u32>, Misread> {
    let mut words = value.split_whitespace().map(|word| match word {
        word if word.starts_with('[') => Ok(None),
        word => parse::<u32>(word, "gpu").map(Some),
    });
    let mut next = || words.next().unwrap_or(Ok(None));
    let (busy, used, total) = (next()?, next()?, next()?);
    let memory = used.zip(total.filter(|total| *total > 0));
    let memory = memory.map(|(used, total)| percent_of(used.into(), total.into()));
    Ok(busy.max(memory).map(|percent| percent.min(PERCENT_MAX)))
}

fn percent_of(part: f64, whole: f64) -> u32 {
    // Within bounds, so that the cast is exact enough.
    (part * 100.0 / whole).clamp(0.0, f64::from(PERCENT_MAX)) as u32
}

fn parse<T: std::str::FromStr>(value: &str, what: &'static str) -> Result<T, Misread> {
    // Rust's own parser takes a sign and, for fractions, words.
    let is_plain = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = value.parse().ok().filter(|_| is_plain);
    number.ok_or(Misread::Number(what))
}

fn is_name(value: &str) -> bool {
    !value.is_empty() && value.len() <= 64 && value.chars().all(|c| !c.is_control() && c != ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn script(lines: &str) -> Result<Measured, Misread> {
        let text = format!("motd\npoolgate-load=1\n{lines}\nend=1\n");
        read_script(text.as_bytes(), "gate", NOW)
    }

    #[test]
    fn the_busiest_part_of_a_machine_is_its_load() {
        let told = script(
            "loadavg=2.00\ncores=4\nmemory_total_kib=1000\nmemory_available_kib=250\n\
             gpu=10 300 1000\ngpu=[N/A] 900 1000\nperson=alice\nperson=bob\nperson=alice\nperson=gate\n\
             kept=alice tmux 2\nkept=bob job 3\nkept=gate job 9\nreboot=1\nsurprise=yes\nno line",
        )
        .unwrap();
        let parts = (told.cpu_percent, told.memory_percent, told.gpu_percent);
        assert_eq!(parts, (Some(50), Some(75), Some(90)));
        assert_eq!((told.load_percent, told.people, told.kept), (90, 2, 5));
        assert!(told.is_reboot_pending && told.closed.is_none());
        let idle = script("").unwrap();
        assert_eq!((idle.load_percent, idle.cpu_percent), (0, None));
    }

    #[test]
    fn what_closes_a_machine_is_told_apart() {
        for (line, why) in [
            ("nologin=1", Some("nologin")),
            ("drive=gone", Some("drive")),
            ("drive=unmounted", Some("drive")),
            ("drive=read-only", Some("drive")),
            ("drive=writable", None),
            ("event=Preempt", Some("event")),
            ("event=Reboot", Some("event")),
            ("event=Freeze", None),
        ] {
            assert_eq!(script(line).unwrap().closed.as_deref(), why, "{line}");
        }
    }

    #[test]
    fn half_an_answer_and_numbers_that_are_none_are_void() {
        let cut = read_script(b"poolgate-load=1\nloadavg=0.1\n", "gate", NOW);
        assert_eq!(cut, Err(Misread::Cut));
        assert_eq!(read_script(b"end=1\n", "gate", NOW), Err(Misread::Cut));
        let long = vec![b'\n'; ANSWER_MAX + 1];
        assert_eq!(read_script(&long, "gate", NOW), Err(Misread::Long));
        for line in [
            "loadavg=",
            "loadavg=nan",
            "loadavg=inf",
            "loadavg=-1",
            "loadavg=1e5",
            "loadavg=9999999",
            "cores=-1",
            "cores=4294967296",
            "cores= 4",
            "memory_total_kib=1.5",
            "memory_available_kib=x",
            "gpu=x 1 2",
            "kept=alice",
            "kept=alice tmux",
            "kept=alice tmux -1",
            "kept=a b c d",
        ] {
            assert!(matches!(script(line), Err(Misread::Number(_))), "{line}");
        }
        let strange =
            script("person=\x1b[2J\nperson=\ncores=0\nloadavg=3\n=\n==\nperson=a=b").unwrap();
        assert_eq!((strange.people, strange.cpu_percent), (1, Some(300)));
    }

    #[test]
    fn an_agents_words_are_those_of_haproxy() {
        let load = |text: &str| {
            read_agent(text.as_bytes(), NOW).map(|told| (told.load_percent, told.closed.is_some()))
        };
        assert_eq!(load("75%\n"), Ok((25, false)));
        assert_eq!(load("up 100%\r\n"), Ok((0, false)));
        assert_eq!(load("ready,256%\n"), Ok((0, false)));
        assert_eq!(load("drain\n"), Ok((0, true)));
        assert_eq!(load("maint 10%\n# x"), Ok((90, true)));
        assert_eq!(load("down # 75%\n"), Ok((0, true)));
        assert_eq!(load("maxconn:30 up"), Ok((0, false)));
        assert_eq!(load(""), Err(Misread::Agent));
        assert_eq!(load("hello"), Err(Misread::Agent));
        assert_eq!(load("-5%"), Err(Misread::Number("weight")));
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(0_u8..=255, 0..400)) {
            let whole = [b"poolgate-load=1\n", &bytes[..], b"\nend=1\n"].concat();
            if let Ok(told) = read_script(&whole, "gate", NOW) {
                proptest::prop_assert!(told.load_percent <= PERCENT_MAX);
            }
            drop(read_agent(&bytes, NOW));
        }
    }

    /// The script on the machine that runs the tests.
    #[test]
    fn the_script_runs_in_a_shell_and_is_understood() {
        let script = super::super::script_for(Some("/".as_ref()), None);
        let ran = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(&script)
            .output()
            .unwrap();
        let told = read_script(&ran.stdout, "gate", NOW);
        let told = told
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stdout)));
        assert!(
            told.cpu_percent.is_some() && told.memory_percent.is_some(),
            "{told:?}"
        );
        assert!(
            !String::from_utf8_lossy(&ran.stderr).contains("yntax"),
            "{ran:?}"
        );
    }
}
