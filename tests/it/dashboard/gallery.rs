//! Every page of the operators over pools of every kind, in Chromium from a telephone's width to a wide screen: nothing is cut
//! off, no word of the navigation is broken, and whoever cannot see or use a mouse is served too.
//!
//! `pools` has who is there. In process, since pools that sleep, wake and freeze are quickest told so.

mod pools;

use std::sync::Arc;

use poolgate::admin::AdminState;
use poolgate::state::Folder;

use super::PICTURES;
use super::side::{self, Side};
use crate::support::World;
use crate::support::browser::{Browser, axe};

#[test]
fn every_page_fits_every_screen() {
    let world = World::new();
    let state = AdminState {
        folder: Some(Folder::new(world.folder("state"))),
        ask_idle: Arc::new(pools::idle),
        ..side::empty()
    };
    pools::write_day(&world.path("state"));
    state.config.set(Arc::new(pools::refused()));
    let side = Side::start(&world, &state, pools::fill);
    let browser = Browser::start(
        &world,
        "chromium_gallery.py",
        &[&side.base, &axe()],
        PICTURES,
    );
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
    side.end();
}
