//! The front door as a whole, in one process: real TLS clients over both protocols, and instances that answer by script.

mod bodies;
mod hostile;
mod logins;
mod own_pages;
mod pins;
mod relogin;
mod support;
mod tls;
mod visits;
mod waiting;
mod websockets;
