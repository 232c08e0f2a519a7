//! The documentation, as a reader would use it: its commands typed one after the other on a throw-away copy of this machine
//! (tests/docs/machine, tests/docs/walk), the site built, and every `poolgate ...` in the text a command that exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use poolgate::cli::args::Args;

use crate::support::browser::Browser;
use crate::support::client::venv_python;
use crate::support::{World, finish, tool};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// For a page, with the one it goes on from.
const PATIENT: Duration = Duration::from_secs(180);

#[track_caller]
fn walk(page: &str) {
    tool("unshare");
    let mut machine = Command::new(Path::new(ROOT).join("tests/docs/machine"));
    machine
        .env("POOLGATE", env!("CARGO_BIN_EXE_poolgate"))
        .env("SOURCE", ROOT)
        .args(["python3", "poolgate/tests/docs/walk"])
        .arg(format!("poolgate/docs/{page}"));
    let told = finish(&mut machine, PATIENT).ok();
    assert!(told.text().ends_with("as the page says"), "{told}");
}

#[test]
fn the_tutorial_makes_a_pool() {
    walk("tutorial.md");
}

#[test]
fn a_pool_can_be_added() {
    walk("how-to/add-a-pool.md");
}

#[test]
fn placement_can_be_tuned() {
    walk("how-to/tune-placement.md");
}

#[test]
fn a_week_can_be_planned() {
    walk("how-to/schedules.md");
}

#[test]
fn machines_can_be_patched() {
    walk("how-to/drain-for-patching.md");
}

#[test]
fn a_gate_can_be_recovered() {
    walk("how-to/recover.md");
}

#[test]
fn operators_can_be_let_in() {
    walk("how-to/let-operators-in.md");
}

#[test]
fn programs_can_ask() {
    walk("api.md");
}

#[test]
fn upgrade_works_as_written() {
    walk("how-to/upgrade.md");
}

/// Pages with commands that are run, but not by a test above, and commands that nobody runs and nobody says why.
#[test]
fn no_command_is_left_out() {
    let walked = fs::read_to_string(Path::new(ROOT).join("tests/it/docs.rs")).unwrap();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(Path::new(ROOT).join("docs"));
        if let Ok(name) = name
            && text.contains("\n```console\n")
        {
            let test = format!("walk(\"{}\")", name.display());
            assert!(walked.contains(&test), "no test of {}", page.display());
        }
    }
    let mut faults = tool("python3");
    faults
        .current_dir(ROOT)
        .args(["tests/docs/walk", "--faults"]);
    finish(faults.args(pages()), PATIENT).ok();
}

#[test]
fn every_command_in_the_text_exists() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for page in pages() {
        for line in fs::read_to_string(&page).unwrap().lines() {
            for words in line.split('`').skip(1).step_by(2).filter_map(command) {
                seen += 1;
                if let Err(error) = Args::try_parse_from(&words)
                    && !is_only_named(&error)
                {
                    let why = error.to_string();
                    let why = why.lines().next().unwrap_or_default().to_owned();
                    faults.push(format!("{}: `{}`: {why}", page.display(), words.join(" ")));
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} commands found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_site_builds_and_fits_a_telephone() {
    let site = tempfile::tempdir().unwrap();
    let mut build = venv_python();
    build
        .current_dir(ROOT)
        .args(["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"])
        .arg(site.path());
    finish(&mut build, PATIENT).ok();
    for page in [
        "index.html",
        "tutorial/index.html",
        "configuration/index.html",
    ] {
        let text = fs::read_to_string(site.path().join(page)).unwrap();
        assert!(text.contains("Poolgate"), "{page}");
        assert!(!text.contains("src=\"http"), "{page}: from elsewhere");
    }
    let world = World::new();
    let site = site.path().to_str().unwrap();
    let browser = Browser::start(&world, "chromium_site.py", &[site], "site");
    browser.finish(&[("too-wide", "[]"), ("missing", "[]"), ("elsewhere", "[]")]);
}

/// What people read: the papers at the top, `docs` and those of `deploy`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let mut folders = vec![root.join("docs"), root.join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "md" => pages.push(path),
                _ => {}
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// A help text, or a command that is named without what it is to work on.
fn is_only_named(error: &clap::Error) -> bool {
    let is_named = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument | ErrorKind::InvalidValue
    );
    is_named || !error.use_stderr()
}

/// The words of a `poolgate ...` in the text that can be typed as it stands; not those with choices or parts left out.
fn command(code: &str) -> Option<Vec<String>> {
    let is_whole = !code.contains(['|', '[', ']', '\u{2026}', '&', '>']) && !code.contains("...");
    let words = code.strip_prefix("poolgate ").filter(|_| is_whole)?;
    let mut parsed = vec!["poolgate".to_owned()];
    for (at, part) in words.split('"').enumerate() {
        match at % 2 {
            0 => parsed.extend(part.split_whitespace().map(str::to_owned)),
            _ => parsed.push(part.to_owned()),
        }
    }
    Some(parsed)
}
