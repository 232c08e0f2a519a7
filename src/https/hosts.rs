//! Which pool a request is for: the one that its host name belongs to.
//!
//! A pin of another pool is void here. Browsers never send one, as cookies with the `__Host-` prefix stay with their host;
//! whoever copies one by hand gains nothing.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use crate::config::PoolHosts;

pub struct Hosts {
    by_name: HashMap<String, Arc<str>>,
    default: Arc<str>,
}

impl Hosts {
    pub fn new(config: &PoolHosts) -> Self {
        let named = config.pools.iter();
        Self {
            by_name: named
                .map(|(host, pool)| (host.clone(), Arc::from(pool.as_str())))
                .collect(),
            default: Arc::from(config.default.as_str()),
        }
    }

    /// `host` as a validated request has it, with or without a port.
    pub fn pool(&self, host: &HeaderValue) -> &Arc<str> {
        if self.by_name.is_empty() {
            return &self.default;
        }
        let host = host.to_str().unwrap_or_default();
        let name = host.split(':').next().unwrap_or_default();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.by_name.get(&name).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_chooses_its_pool_and_all_others_the_default_one() {
        let hosts = Hosts::new(&PoolHosts {
            pools: [("gpu.pool.example".to_owned(), "gpu".to_owned())].into(),
            default: "main".to_owned(),
        });
        for (host, pool) in [
            ("gpu.pool.example", "gpu"),
            ("GPU.pool.example:8443", "gpu"),
            ("gpu.pool.example.:443", "gpu"),
            ("pool.example", "main"),
            ("gpu.pool.example.evil", "main"),
            ("xgpu.pool.example", "main"),
            ("[::1]:8443", "main"),
        ] {
            let host = HeaderValue::from_static(host);
            assert_eq!(&**hosts.pool(&host), pool, "{host:?}");
        }
    }
}
