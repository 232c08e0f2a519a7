//! Every page of the operators over pools of every kind, in Chromium from a telephone's width to a wide screen: nothing is cut
//! off, no word of the navigation is broken, and whoever cannot see or use a mouse is served too.
//!
//! `pools` has who is there. In process, since pools that sleep, wake and freeze are quickest told so.

mod pools;

use std::sync::Arc;

use poolgate::admin::{AdminSide, AdminState, bind_socket};
use poolgate::files::FileFaults;
use poolgate::shared_pool::SharedPool;
use poolgate::state::Folder;
use poolgate::telemetry::audit::AuditLog;
use poolgate::telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PICTURES;
use super::crowd::bridge;
use crate::support::World;
use crate::support::browser::{Browser, axe};

#[test]
fn every_page_fits_every_screen() {
    let world = World::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let audit = AuditLog::open(None).unwrap();
    let state = AdminState {
        folder: Some(Folder::new(world.folder("state"))),
        ask_idle: Arc::new(pools::idle),
        ..AdminState::new(
            SharedPool::new(1),
            (Metrics::new(), FileFaults::default()),
            audit,
        )
    };
    pools::write_day(&world.path("state"));
    state.config.set(Arc::new(pools::refused()));
    let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
    let socket = world.path("admin.sock");
    let seats = runtime.block_on(async {
        tasks.spawn(state.pool.clone().publish_changes(ending.clone()));
        let side = AdminSide::begin(state.clone(), &tasks, ending.clone());
        tasks.spawn(side.serve_socket(bind_socket(&socket).unwrap(), ending.clone()));
        let seats = pools::fill(&state);
        let mut snapshots = state.pool.subscribe();
        let all = snapshots.wait_for(|snapshot| snapshot.sessions.len() == seats.len());
        all.await.unwrap();
        seats
    });
    let base = format!("http://127.0.0.1:{}", bridge(socket));
    let browser = Browser::start(&world, "chromium_gallery.py", &[&base, &axe()], PICTURES);
    let facts = browser.finish(&[
        ("first-pool", "main"),
        ("too-wide", "[]"),
        ("cut-off", "[]"),
        ("broken-words", "[]"),
        ("unseen-focus", "[]"),
        ("axe", "[]"),
        ("console", "[]"),
    ]);
    eprintln!("{facts:#?}");
    drop(seats);
    ending.cancel();
    tasks.close();
    runtime.block_on(tasks.wait());
}
