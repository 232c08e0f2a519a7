//! What the tests stand on: a gate on a loopback port, browsers, and instances that answer by script.

mod browser;
mod gate;
mod instance;

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;

pub use browser::{Client, Reply};
pub use gate::{Gate, config, files, write_ended, write_named, write_pair};
pub use instance::{TestInstance, chunked};

pub const HTML: (&str, &str) = ("accept", "text/html");
pub type TestBody = BoxBody<Bytes, Infallible>;
