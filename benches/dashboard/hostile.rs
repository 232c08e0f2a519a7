//! Of the tests' hostile parties, the ones that a crowd is made of.

#[path = "../../tests/it/hostile/client.rs"]
pub mod client;
#[path = "../../tests/it/hostile/instance.rs"]
pub mod instance;
