//! Papers that keep up with the code: every crate has its reason, every metric its line, every room its place on the map.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ARCHITECTURE_LINES_MAX: usize = 150;

/// What the rules compare.
#[derive(Clone)]
pub struct Papers {
    pub cargo: String,
    pub dependencies: String,
    pub metrics: String,
    pub metrics_source: String,
    pub architecture: String,
    pub lib: String,
    pub changelog: String,
    /// File names in `docs/decisions`.
    pub decisions: Vec<String>,
}

pub fn read() -> Papers {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| {
        fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let decisions = fs::read_dir(root.join("docs/decisions")).expect("docs/decisions");
    let mut decisions: Vec<String> = decisions
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    decisions.sort();
    Papers {
        cargo: text("Cargo.toml"),
        dependencies: text("docs/dependencies.md"),
        metrics: text("docs/metrics.md"),
        metrics_source: [
            "metrics.rs",
            "metrics/ledger.rs",
            "metrics/process.rs",
            "metrics/seen.rs",
            "metrics/timing.rs",
        ]
        .map(|file| text(&format!("src/telemetry/{file}")))
        .concat(),
        architecture: text("ARCHITECTURE.md"),
        lib: text("src/lib.rs"),
        changelog: text("CHANGELOG.md"),
        decisions,
    }
}

pub fn faults(papers: &Papers) -> Vec<String> {
    let mut faults = Vec::new();
    compare(
        &mut faults,
        &crates(&papers.cargo),
        &papers.dependencies,
        |name| format!("`{name}`"),
        "docs/dependencies.md: no reason for the crate",
    );
    compare(
        &mut faults,
        &metrics(&papers.metrics_source),
        &papers.metrics,
        |name| format!("`poolgate_{name}"),
        "docs/metrics.md: not a word about the metric",
    );
    compare(
        &mut faults,
        &rooms(&papers.lib),
        &papers.architecture,
        |name| format!("`{name}"),
        "ARCHITECTURE.md: not on the code map: the room",
    );
    let lines = papers.architecture.lines().count();
    if lines > ARCHITECTURE_LINES_MAX {
        faults.push(format!("ARCHITECTURE.md: {lines} lines, at most {ARCHITECTURE_LINES_MAX}; details belong beside the code"));
    }
    if !papers.changelog.contains("## Unreleased") {
        faults.push(
            "CHANGELOG.md: no section `## Unreleased`; write there what changes for people".into(),
        );
    }
    let numbers = papers
        .decisions
        .iter()
        .map(|name| name.split('-').next().unwrap_or_default());
    for (index, number) in numbers.enumerate() {
        if number != format!("{:04}", index + 1) {
            faults.push(format!(
                "docs/decisions: {:04} expected, found {number}; number decisions without a gap",
                index + 1
            ));
        }
    }
    if papers.decisions.is_empty() {
        faults.push("docs/decisions: empty; one page for each decision".into());
    }
    faults
}

fn compare(
    faults: &mut Vec<String>,
    names: &[String],
    paper: &str,
    mark: impl Fn(&str) -> String,
    fault: &str,
) {
    if names.is_empty() {
        faults.push(format!(
            "{fault} ...: found none at all, so this rule is blind"
        ));
    }
    let missing = names.iter().filter(|name| !paper.contains(&mark(name)));
    faults.extend(missing.map(|name| format!("{fault} {name}")));
}

/// Names in `[dependencies]` and `[dev-dependencies]`.
fn crates(cargo: &str) -> Vec<String> {
    let mut is_inside = false;
    let mut names = Vec::new();
    for line in cargo.lines() {
        if line.starts_with('[') {
            is_inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| is_inside) {
            names.push(name.trim().to_owned());
        }
    }
    names
}

/// The first argument of every `register("name", ...)`.
fn metrics(source: &str) -> Vec<String> {
    let calls = source.split("register(").skip(1);
    let names: BTreeSet<String> = calls
        .filter_map(|call| call.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect();
    names.into_iter().collect()
}

fn rooms(lib: &str) -> Vec<String> {
    let lines = lib.lines().filter_map(|line| line.strip_prefix("pub mod "));
    lines
        .filter_map(|line| line.split_once(';'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn papers_that_fell_behind_are_found() {
    let good = Papers {
        cargo: "[package]\nname = \"x\"\n[dependencies]\naa = \"1\"\n[dev-dependencies]\nbb = { version = \"1\" }\n".into(),
        dependencies: "`aa` for this, `bb` for that".into(),
        metrics: "`poolgate_logins_total`".into(),
        metrics_source: "to.register(\"logins\", \"help\", x); to.register(\n  \"logins\",".into(),
        architecture: "`pool` is the core".into(),
        lib: "//! x\npub mod pool; // pure\n".into(),
        changelog: "## Unreleased".into(),
        decisions: vec!["0001-a.md".into(), "0002-b.md".into()],
    };
    assert_eq!(faults(&good), [] as [String; 0]);
    let spoil: [fn(&mut Papers); 9] = [
        |papers| papers.dependencies = "`aa`".into(),
        |papers| papers.cargo = String::new(),
        |papers| papers.metrics = String::new(),
        |papers| papers.metrics_source = String::new(),
        |papers| papers.architecture = String::new(),
        |papers| papers.architecture = "`pool`\n".repeat(151),
        |papers| papers.changelog = String::new(),
        |papers| papers.decisions = vec!["0002-b.md".into()],
        |papers| papers.decisions.clear(),
    ];
    for (index, spoil) in spoil.iter().enumerate() {
        let mut papers = good.clone();
        spoil(&mut papers);
        assert_eq!(faults(&papers).len(), 1, "spoilt paper {index}");
    }
}
