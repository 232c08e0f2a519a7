//! Poolgate as a real process, between real clients and real instances: OpenSSH, PuTTY, dropbear, paramiko, asyncssh,
//! JupyterHub, Chromium. Run by `tests/run`, which installs those and makes the test accounts (tests/it/enter).
//!
//! Every test has a folder, keys, ports and processes of its own, waits for conditions and never for time to pass, asserts
//! that the gate saw what was done, and fails if anything is left behind. `docs/testing.md` has the map.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking; clippy sees no test in a plain function of this crate"
)]

mod support;

mod acme;
mod admin;
mod admin_login;
mod admin_tls;
mod api;
mod audit_tool;
mod azure_faults;
mod azure_life;
mod azure_resize;
mod azure_sdk;
mod browser;
mod certificates;
mod cli;
mod client_address;
mod clients;
mod completions;
mod config_faults;
mod dashboard;
mod demo;
mod deploy;
mod docs;
mod doctor;
mod factors;
mod fail2ban;
mod fleet_command;
mod floods;
mod forwarding;
mod h2_floods;
mod h2_frames;
mod handover_faults;
mod host_identity;
mod host_keys;
mod hostile;
mod hub_carry;
mod hub_class;
mod hub_day;
mod hub_pam;
mod hub_people;
mod hub_sharing;
mod hub_three;
mod instance_tls;
mod keep;
mod keys;
mod limits;
mod load;
mod logs;
mod many_channels;
mod monitoring;
mod notices;
mod offers;
mod oidc;
mod older_gates;
mod older_lines;
mod one_machine;
mod operators;
mod outage;
mod packaging;
mod passwords;
mod penalties;
mod policy;
mod programs;
mod proxied;
mod queue;
mod recording;
mod reload;
mod reload_faults;
mod reload_operators;
mod renewals;
mod resize;
mod restart;
mod rotation;
mod scanners;
mod smuggling;
mod spread;
mod start_faults;
mod state_faults;
mod systemd;
mod systemd_boots;
mod terminal;
mod tls_files;
mod top;
mod traces;
mod upgrade;
mod upgrade_channels;
mod upgrade_connects;
mod upgrade_operators;
mod upgrade_order;
mod waiting;
mod webhooks;
