//! What every ssh login asks for and no login changes: who may log in, how instances are trusted, which limits hold.
//!
//! Made from the config, and anew when that changes; logins that have begun keep theirs. Deliberately absent: the steps of a login (`login`) and the life of a connection (`front`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::ca::UserCa;
use super::client_env::ClientEnv;
use super::host_keys::{HostKeyError, InstanceKeys};
use super::login::{Plan, Waiting};
use super::policies::Policies;
use super::wire::packet::RekeyLimits;
use super::wire::transport::ClientSettings;
use crate::config::{
    AuthMethod, ClientAddressConfig, EmptyPrincipals, PasswordSource, PoolConfig, SshAuthConfig,
    SshConfig,
};
use crate::files::{FileFaults, Look};
use crate::identity::grant::Offered;
use crate::identity::{AuthorizedLine, KeyFinder, KeySources, KeysCommand};
use crate::net::proxy_header;
use crate::pool::{Answer, Health, Instance, InstanceId, Protocol};
use crate::shared_pool::SharedPool;
use crate::telemetry::metrics::Metrics;

pub(super) struct Gatekeeper {
    pub ca: UserCa,
    pub pool: SharedPool,
    pub login_grace: Duration,
    /// How long a login stands in line.
    pub queue_time: Duration,
    pub waiting: Waiting,
    pub metrics: Metrics,
    /// For a connect to an instance with its handshake.
    pub connect_timeout: Duration,
    /// Failed passwords and signatures on one connection.
    pub tries_max: u32,
    /// Keys offered on one connection.
    pub offers_max: u32,
    pub relays_passwords: bool,
    /// What every login begins with.
    pub plan: Plan,
    pub rekey: RekeyLimits,
    pub policies: Policies,
    keys: KeyFinder,
    instance_keys: InstanceKeys,
    /// What each pool's instances are told of people's addresses.
    client_addresses: BTreeMap<String, ClientAddressConfig>,
    /// Pools whose instances run hubs.
    with_hubs: BTreeSet<String>,
    /// Pools that a password wakes, for names that were proved so long ago at most.
    woken_by_password: BTreeMap<String, Duration>,
}

impl Gatekeeper {
    /// `before`: the one whose place it takes, and whose memory it shares.
    ///
    /// # Errors
    /// One line naming the file at fault.
    pub fn build(
        config: &SshConfig,
        pools: &BTreeMap<String, PoolConfig>,
        state_dir: &Path,
        pool: SharedPool,
        (metrics, faults): (&Metrics, &FileFaults),
        before: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let trusted = pools
            .iter()
            .map(|(name, pool)| (name.as_str(), &pool.instance_host_keys));
        Ok(Self {
            ca: UserCa::load(&config.user_ca)?,
            pool,
            login_grace: config.login_grace,
            queue_time: config.queue_time,
            waiting: before.map_or_else(Waiting::default, |before| before.waiting.clone()),
            metrics: metrics.clone(),
            connect_timeout: config.connect_timeout,
            tries_max: config.auth.max_tries,
            offers_max: config.auth.max_offers,
            relays_passwords: config.auth.password == PasswordSource::Instance,
            rekey: RekeyLimits {
                bytes: config.rekey_bytes,
                time: config.rekey_interval,
                ..RekeyLimits::default()
            },
            plan: plan(&config.auth),
            keys: KeyFinder::new(
                key_sources(&config.auth, metrics)?,
                before.map(|before| &before.keys),
                faults,
            )?,
            policies: Policies::new(pools, config.connect_timeout),
            instance_keys: match before {
                Some(before) => before.instance_keys.renew(trusted, faults)?,
                None => InstanceKeys::load(state_dir, trusted, faults)?,
            },
            client_addresses: pools
                .iter()
                .map(|(name, pool)| (name.clone(), pool.client_address.clone()))
                .collect(),
            with_hubs: pools
                .iter()
                .filter(|(_, pool)| pool.jupyter_port.is_some())
                .map(|(name, _)| name.clone())
                .collect(),
            woken_by_password: woken_by_password(pools),
        })
    }

    /// Files of operators that are to be looked at from time to time.
    pub fn followed(&self) -> Vec<Arc<dyn Look>> {
        let mut all = self.keys.followed();
        all.extend(self.instance_keys.followed());
        all
    }

    /// People have another way to this pool, by browser.
    pub fn has_web(&self, pool: &str) -> bool {
        self.with_hubs.contains(pool)
    }

    /// Whether a password for this name wakes the pool, though it proves nothing yet; noted as a try.
    pub fn may_wake(&self, pool: &str, user: &str) -> bool {
        let within = self.woken_by_password.get(pool);
        within.is_some_and(|within| self.pool.may_wake(pool, user, *within))
    }

    /// What is said on a connection to an instance before anything else: whose it is, where the pool asks for that.
    pub fn first_bytes(&self, pool: &str, client: SocketAddr, gate: SocketAddr) -> Option<Vec<u8>> {
        let wanted = self.client_addresses.get(pool)?;
        wanted
            .proxy_v2
            .then(|| proxy_header::on_behalf_of(client, gate))
    }

    /// The variable with the person's address, where the pool asks for one.
    pub fn client_env(&self, pool: &str, client: IpAddr) -> Option<ClientEnv> {
        let wanted = self.client_addresses.get(pool)?;
        let name = wanted.env.as_deref()?;
        Some(ClientEnv::new(name, client))
    }

    pub async fn find_key(&self, offered: &Offered, client: IpAddr) -> Option<AuthorizedLine> {
        let now = SystemTime::now();
        self.keys.authorize(offered, client, now).await
    }

    /// Where keys of this name are looked for, in words.
    pub async fn looked_for_keys(&self, user: &str, offered: &[String]) -> String {
        self.keys.looked(user, offered).await
    }

    /// A failed dial counts as a failed probe: the next login need not find out again.
    pub fn report_unreachable(&self, id: &InstanceId, fault: &impl std::fmt::Display) {
        let answer = Answer::new(Health::Down, format!("a login: {fault}"));
        self.pool.observe(id, Protocol::Ssh, answer);
    }

    pub fn client_settings(&self, instance: &Instance) -> Arc<ClientSettings> {
        Arc::new(ClientSettings {
            host_key_algorithms: self.instance_keys.wanted_algorithms(instance),
            rekey: self.rekey,
            ..ClientSettings::default()
        })
    }

    /// To be asked only of a key whose signature over the exchange was verified.
    pub fn check_instance_key(
        &self,
        instance: &Instance,
        host_key: &[u8],
    ) -> Result<(), HostKeyError> {
        self.instance_keys
            .check(instance, host_key, SystemTime::now())
    }
}

fn woken_by_password(pools: &BTreeMap<String, PoolConfig>) -> BTreeMap<String, Duration> {
    pools
        .iter()
        .filter(|(_, pool)| pool.is_resized())
        .filter_map(|(name, pool)| Some((name.clone(), pool.scaling.wake_by_password?)))
        .collect()
}

/// What a login must come through.
fn plan(config: &SshAuthConfig) -> Plan {
    if !config.methods.is_empty() {
        return Plan::new(config.methods.clone());
    }
    match config.password {
        PasswordSource::Instance => Plan::any_of(&AuthMethod::ALL),
        PasswordSource::Off => Plan::any_of(&[AuthMethod::PublicKey]),
    }
}

fn key_sources(config: &SshAuthConfig, metrics: &Metrics) -> anyhow::Result<KeySources> {
    let command = config.authorized_keys_command.as_ref();
    let command =
        command.map(|command| KeysCommand::new(&command.words, &command.user, metrics.clone()));
    Ok(KeySources {
        authorized_keys: config.authorized_keys.clone(),
        trusted_user_ca_keys: config.trusted_user_ca_keys.clone(),
        authorized_principals: config.authorized_principals.clone(),
        unnamed_is_anybodys: config.empty_principals == EmptyPrincipals::Anybody,
        revoked_keys: config.revoked_keys.clone(),
        command: command.transpose()?,
    })
}
