//! `poolgate check`: every fault of the configuration, then whether the files it names can be read, then the limits.
//!
//! It changes nothing, so it can run beside a gate at work, which it asks for the keys it has where a difference is wanted.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::args::{Output, ShowArgs};
use super::paint::Meaning;
use super::{Failure, client, plain, print};
use crate::admin::ConfigState;
use crate::app::named_files::{self, InUse, NamedFile};
use crate::config::{self, Config, FleetConfig, PoolConfig, RecordingConfig, show_size};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub show: ShowArgs,
    /// Also tell what would change if the gate at work read the file now
    #[arg(long)]
    pub diff: bool,
    /// Compare with this file in place of the gate at work
    #[arg(long, value_name = "FILE", requires = "diff")]
    pub against: Option<PathBuf>,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let file = config::file_to_read(args.show.gate.config.config.as_deref());
    let config = config::load(Some(&file))?;
    if args.diff {
        return diff(args, &config).await;
    }
    judge(args.show.output, &file, &config)
}

/// What is said of a configuration without faults.
#[derive(Debug, Serialize)]
struct Judged<'a> {
    file: &'a Path,
    warnings: Vec<String>,
    limits: Vec<String>,
}

/// The keys that differ, each with both values and when it would count.
async fn diff(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let before = match &args.against {
        Some(file) => config::load(Some(file))?.written,
        None => {
            let running: ConfigState = client::read(&args.show.gate, "/api/v1/config").await?;
            running.written
        }
    };
    let changes = before.changes_to(&config.written);
    let text = match args.show.output {
        Output::Json => print::json(&changes)?,
        Output::Table if changes.is_empty() => "nothing would change\n".to_owned(),
        Output::Table => changes
            .iter()
            .map(|change| plain::lines(&change.to_string()) + "\n")
            .collect(),
    };
    print::show(text.as_bytes())
}

fn judge(output: Output, file: &Path, config: &Config) -> Result<ExitCode, Failure> {
    let folders = recording_folders(config);
    let account = named_files::account_of(config);
    let mut faults = named_files::faults(config, account, &InUse::default());
    faults.extend(folders.iter().filter_map(RecordingFolder::fault));
    if !faults.is_empty() {
        let lines = faults.iter().map(|fault| config.written.located(fault));
        let lines: Vec<_> = lines.collect();
        if output == Output::Json {
            return Err(anyhow::anyhow!(lines.join("\n")).into());
        }
        lines.iter().for_each(|line| print::complain(line));
        return Ok(ExitCode::FAILURE);
    }
    let named = named_files::files_of(config);
    let mut warnings: Vec<String> = named.iter().filter_map(open_to_others).collect();
    warnings.extend(named.iter().filter_map(|file| file.closed_to(account)));
    warnings.extend(folders.iter().filter_map(RecordingFolder::warning));
    for (name, pool) in &config.pools {
        if let Some(why) = keeps_the_gate(pool) {
            warnings.push(format!("pools.{name}.fleet: {why}"));
        }
        warnings.extend(idle_scaling(config, name, pool));
    }
    let limits = config.limits_table();
    if output == Output::Json {
        let limits = limits.lines().map(|line| line.trim().to_owned()).collect();
        let judged = Judged {
            file,
            warnings,
            limits,
        };
        return print::show_json(&judged);
    }
    let warnings = warnings.iter().map(|line| {
        let word = Meaning::Watch.paint("warning");
        format!("{word}: {}\n", plain::line(line))
    });
    let warnings: String = warnings.collect();
    let file = plain::line(&file.display().to_string());
    let text = format!("{file}: no faults\n{warnings}\nLimits in force:\n{limits}");
    print::show(text.as_bytes())
}

/// Why a gate with this pool is refused an upgrade.
pub(super) fn keeps_the_gate(pool: &PoolConfig) -> Option<&'static str> {
    matches!(pool.fleet, FleetConfig::Process(_)).then_some(
        "its instances are processes of the gate and end with it, so `poolgate upgrade` is refused: for a new version, stop the gate, \
         which lets sessions end, and start it",
    )
}

/// What counts also where machines neither come nor go: how people are treated who are on one that drains, and what they may keep.
const COURTESIES: [&str; 6] = [
    "idle",
    "evict_after",
    "evict_notice",
    "evict_text",
    "keep_max",
    "time_zone",
];

/// How a pool should be resized that nobody can resize.
fn idle_scaling(config: &Config, name: &str, pool: &PoolConfig) -> Option<String> {
    let is_static = matches!(pool.fleet, FleetConfig::Static { .. });
    if !pool.scaling.is_written || !is_static {
        return None;
    }
    let section = format!("pools.{name}.scaling");
    let written = config.written.keys.keys().filter_map(|key| {
        let rest = key.strip_prefix(&section)?.strip_prefix('.')?;
        Some(rest.split(['.', '[']).next().unwrap_or(rest))
    });
    let written: BTreeSet<&str> = written.collect();
    let mut idle = written.iter().filter(|key| !COURTESIES.contains(key));
    let first = idle.next().copied();
    let idle = first.map(|first| idle.fold(first.to_owned(), |all, key| format!("{all}, {key}")));
    let what = match (idle, written.is_empty()) {
        (Some(idle), _) => format!("{idle} of it have no effect: remove them"),
        (None, true) => "the section has no effect: remove it".to_owned(),
        (None, false) => return None,
    };
    Some(format!(
        "{section}: provider = \"static\" has the machines of its list, no more and no fewer, and {what}; or write in [pools.{name}.fleet] who \
         makes and removes machines: provider = \"azure\" (docs/azure.md), or \"command\" with a program of yours (docs/fleet-command.md)"
    ))
}

/// A secret that is not only its owner's.
fn open_to_others(file: &NamedFile) -> Option<String> {
    let (key, path) = (&file.key, file.path.display());
    let warning = || format!("{key}: others may read {path}; chmod 600 {path}");
    file.is_open_to_others().then(warning)
}

/// Where terminals are recorded; the gate makes the folder if it is not there.
struct RecordingFolder<'a> {
    key: String,
    config: &'a RecordingConfig,
}

impl RecordingFolder<'_> {
    /// Why nothing could be recorded in it.
    fn fault(&self) -> Option<String> {
        let (key, path) = (&self.key, self.config.folder.display());
        let wrong = match self.nearest() {
            Ok((at, found)) if !found.is_dir() => {
                format!("{} is no folder; name another", at.display())
            }
            Ok((at, found))
                if at == self.config.folder && found.permissions().mode() & 0o077 != 0 =>
            {
                format!("others may enter {path}; chmod 700 {path}")
            }
            Ok((at, _)) if nix::unistd::access(at, nix::unistd::AccessFlags::W_OK).is_err() => {
                format!(
                    "{} cannot be written to; name another, or give it to the gate's account",
                    at.display()
                )
            }
            Ok(_) => return None,
            Err(error) => format!("{path} cannot be looked at: {error}; name another"),
        };
        Some(format!("{key}: {wrong}"))
    }

    /// It would refuse every recording as long as this is so.
    fn warning(&self) -> Option<String> {
        let (at, _) = self.nearest().ok()?;
        let disk = nix::sys::statvfs::statvfs(at).ok()?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        let min = self.config.free_min;
        (free < min).then(|| {
            format!(
                "{}: {} has {} free, less than free_min ({})",
                self.key,
                at.display(),
                // As people count, not to the byte.
                show_size(free & !((1 << 20) - 1)),
                show_size(min)
            )
        })
    }

    /// The folder itself, or the one above it that is there.
    fn nearest(&self) -> io::Result<(&Path, Metadata)> {
        let mut missing = io::ErrorKind::NotFound.into();
        for at in self.config.folder.ancestors() {
            match std::fs::metadata(at) {
                Ok(found) => return Ok((at, found)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
                Err(error) => return Err(error),
            }
        }
        Err(missing)
    }
}

fn recording_folders(config: &Config) -> Vec<RecordingFolder<'_>> {
    let mut folders = Vec::new();
    for (name, pool) in &config.pools {
        if let Some(config) = &pool.recording {
            let key = format!("pools.{name}.recording.folder");
            folders.push(RecordingFolder { key, config });
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_folder_for_recordings_must_be_the_gates_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        std::fs::create_dir(folder.path().join("open")).unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path().join("open"), open).unwrap();
        let look = |name: &str, free_min: &str| {
            let text = format!(
                "[ssh]\nlisten = [\"127.0.0.1:2222\"]\nhost_keys = [\"key\"]\nuser_ca = \"ca\"\n\
                 [pools.main.recording]\nenabled = true\nfolder = \"{name}\"\nfree_min = \"{free_min}\"\n\
                 [pools.main.fleet]\nprovider = \"static\"\ninstances = [{{ name = \"vm1\", address = \"10.0.0.4\" }}]\n"
            );
            let file = folder.path().join("x.toml");
            let config = config::parse(&file, &text, HashMap::new()).unwrap();
            let folders = recording_folders(&config);
            (folders[0].fault(), folders[0].warning())
        };
        assert_eq!(look("not/there/yet", "0 B"), (None, None));
        let (fault, _) = look("open", "0 B");
        let fault = fault.unwrap();
        assert!(fault.starts_with("pools.main.recording.folder: ") && fault.contains("chmod 700"));
        for name in ["file", "file/below"] {
            assert!(look(name, "0 B").0.is_some(), "{name}");
        }
        let (fault, warning) = look("not/there/yet", "1048576 GiB");
        assert_eq!(fault, None);
        assert!(
            warning
                .unwrap()
                .contains("less than free_min (1048576 GiB)")
        );
    }

    #[test]
    fn scaling_that_no_fleet_can_follow_is_told_of() {
        let warning = |provider: &str, scaling: &str| {
            let text = format!(
                "[ssh]\nlisten = [\"127.0.0.1:2222\"]\nhost_keys = [\"key\"]\nuser_ca = \"ca\"\n\
                 [pools.main.fleet]\nprovider = {provider}\n{scaling}\n"
            );
            let config = config::parse(Path::new("x.toml"), &text, HashMap::new()).unwrap();
            idle_scaling(&config, "main", &config.pools["main"])
        };
        let list = "\"static\"\ninstances = [{ name = \"vm1\", address = \"10.0.0.4\" }]";
        let both = "[pools.main.scaling]\nmin = 1\nkeep_max = \"2h\"\nmax = 4\n\
                    [[pools.main.scaling.phases]]\nname = \"day\"\nat = \"07:00\"";
        let told = warning(list, both).unwrap();
        assert!(told.starts_with("pools.main.scaling: "), "{told}");
        assert!(told.contains("max, min, phases of it have no"), "{told}");
        assert!(told.contains("provider = \"azure\""), "{told}");
        let empty = warning(list, "[pools.main.scaling]").unwrap();
        assert!(empty.contains("the section has no effect"), "{empty}");
        assert_eq!(warning(list, ""), None);
        let courtesy = "[pools.main.scaling]\nkeep_max = \"2h\"";
        assert_eq!(warning(list, courtesy), None);
        let program = "\"command\"\ncommand = [\"/bin/true\"]";
        assert_eq!(warning(program, both), None);
    }
}
