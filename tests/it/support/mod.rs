//! What the tests share: a world of keys and folders, instances, the gate, clients, and ways to wait.

pub mod arm;
pub mod azure;
pub mod booted;
pub mod browser;
pub mod certificate;
pub mod client;
pub mod collector;
pub mod gate;
pub mod http;
pub mod hub;
pub mod hub_scene;
pub mod light;
pub mod machine;
pub mod operators;
pub mod people;
pub mod proc;
pub mod raw_hub;
pub mod sshd;
pub mod streams;
pub mod template;
pub mod visitor;
pub mod wait;
pub mod window;
pub mod world;

pub use client::Door;
pub use gate::{Gate, GateSetup};
pub use hub_scene::HubScene;
pub use people::Person;
pub use proc::{Finished, Running, finish, tool};
pub use sshd::{Logins, Sshd};
pub use wait::{free_port, wait_until};
pub use world::World;
