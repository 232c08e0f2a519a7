//! What both front doors share between a listening socket and a login.

pub mod accept;
pub mod authorities;
pub mod bind;
pub mod client_tls;
pub mod current;
pub mod exchange;
pub mod expiry;
pub mod handover;
pub mod html;
pub mod inherited;
pub mod lanes;
pub mod penalties;
pub mod proxy_header;
pub mod proxy_protocol;
pub mod server_tls;
pub mod shutdown;
pub mod source;
pub mod trickle;
pub mod web_client;
pub mod web_tls;
