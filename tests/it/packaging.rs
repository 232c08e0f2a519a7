//! The Debian package, the systemd units and the container files, by `tests/packaging/run` on a throw-away copy of this machine.
//!
//! No systemd and no container engine runs there: `docs/packaging.md` says what that leaves untried.

use std::path::Path;
use std::time::Duration;

use crate::support::{finish, tool};

const PATIENT: Duration = Duration::from_secs(240);

#[test]
fn the_package_is_installed_used_removed_and_purged() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packaging/run");
    let mut run = tool(&run.display().to_string());
    run.env("POOLGATE", env!("CARGO_BIN_EXE_poolgate"));
    let told = finish(&mut run, PATIENT).ok();
    assert!(
        told.text().ends_with("packaging: as it should be"),
        "{told}"
    );
}
