//! Is the fake resource manager honest? Microsoft's own Python SDK reads it, and drives it through a life of its own.

use std::time::Duration;

use crate::support::arm::{Arm, GROUP, Mode, SET, SUBSCRIPTION};
use crate::support::client::{client_script, venv_python};
use crate::support::finish;

async fn driven(mode: Mode, word: &str) {
    let arm = Arm::start(mode).await;
    let base = format!("http://{}", arm.address);
    let word = word.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut python = venv_python();
        python.arg(client_script("azure_sdk.py"));
        python.args([&base, &word, SUBSCRIPTION, GROUP, SET]);
        finish(&mut python, Duration::from_secs(240)).ok()
    });
    let said = run.await.unwrap();
    assert_eq!(said.text(), "lived", "{said}");
    assert_eq!(
        arm.with(|state| (state.capacity, state.machines.len())),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_sdk_drives_a_uniform_set_of_the_fake() {
    driven(Mode::Uniform, "uniform").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_sdk_drives_a_flexible_set_of_the_fake() {
    driven(Mode::Flexible, "flexible").await;
}
