//! Commands to a scale set, each checked against a look before it is sent, and sent once.
//!
//! An answer that does not come leaves open whether the command was taken: it is not sent again here, and the next decision
//! is made on the next look. A machine that is already going is not told twice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::client::Reply;
use super::progress;
use super::sight::Sighted;
use super::wire::ScaleSet;
use super::{Call, ScaleSetView};
use crate::fleet::FleetFault;
use crate::fleet::control::{
    Answer, Chosen, FleetControl, Op, OpKind, OpState, Poll, Sight, state_by_sight,
};
use crate::fleet::looking::Published;
use crate::pool::{MachinePhase, Observed};
use crate::telemetry::metrics::Metrics;

/// Of single-machine commands that a Flexible set takes one by one.
const ONE_BY_ONE_MAX: usize = 20;

pub(super) struct AzureControl {
    pub view: Arc<ScaleSetView>,
    pub published: Arc<Published>,
    pub metrics: Metrics,
    /// `scaling.max`: whatever asks, the bill has a bound.
    pub capacity_max: u32,
}

impl FleetControl for AzureControl {
    fn observed(&self) -> Sight {
        self.published.sight.subscribe()
    }

    fn grow_to(&self, capacity: u32, version: &str) -> Answer<'_, Op> {
        let version = version.to_owned();
        Box::pin(async move { self.told("grow", self.grow(capacity, &version).await) })
    }

    fn remove(&self, chosen: &Chosen) -> Answer<'_, Op> {
        let chosen = chosen.clone();
        Box::pin(async move { self.told("remove", self.delete(&chosen).await) })
    }

    fn start(&self, chosen: &Chosen) -> Answer<'_, Op> {
        let chosen = chosen.clone();
        Box::pin(async move { self.told("start", self.power(OpKind::Start, &chosen).await) })
    }

    fn stop(&self, chosen: &Chosen) -> Answer<'_, Op> {
        let chosen = chosen.clone();
        Box::pin(async move { self.told("stop", self.power(OpKind::Stop, &chosen).await) })
    }

    fn poll(&self, op: &Op) -> Answer<'_, OpState> {
        let op = op.clone();
        Box::pin(async move { self.ask_after(&op).await })
    }
}

impl AzureControl {
    fn told(
        &self,
        command: &'static str,
        came_to: Result<Op, FleetFault>,
    ) -> Result<Op, FleetFault> {
        let pool = &self.view.pool;
        self.published.tell(pool, command, &came_to, &self.metrics);
        came_to
    }

    async fn grow(&self, capacity: u32, version: &str) -> Result<Op, FleetFault> {
        let refuse = |why: String| Err(FleetFault::Fatal(why));
        let seen = self.free_to_act()?;
        if capacity > self.capacity_max {
            let most = self.capacity_max;
            return refuse(format!(
                "{capacity} machines are more than scaling.max, which is {most}; raise it"
            ));
        }
        if version.is_empty() {
            return refuse("the scale set shows no etag, so growing could undo somebody's change; see whether something between the gate and Azure removes it".into());
        }
        let set = self.view.set().await?;
        let here = set.sku.capacity;
        if set.etag.as_deref() != Some(version) {
            let what =
                format!("the scale set has changed since it was seen: it holds {here} machines");
            return Err(FleetFault::Conflict(what));
        }
        if capacity <= here {
            return refuse(format!(
                "growing to {capacity} would not grow: the capacity is {here}; name the machines that are to go"
            ));
        }
        // A capacity that is too small would make Azure delete machines: what was seen to run must fit as well.
        let on = seen.machines.iter().filter(|one| one.phase.is_on()).count();
        if u32::try_from(on).unwrap_or(u32::MAX) > capacity {
            let what =
                format!("Azure says the set holds {here} machines, and lists {on} that are on");
            return Err(FleetFault::Conflict(what));
        }
        self.view.spend()?;
        let mut sku = json!({ "name": set.sku.name, "capacity": capacity });
        if let (Some(tier), Some(fields)) = (&set.sku.tier, sku.as_object_mut()) {
            fields.insert("tier".into(), json!(tier));
        }
        let body = json!({ "sku": sku });
        let reply = self.write(Call::Grow, "", Some(version), &body).await?;
        Ok(Op::grow(capacity, polls([&reply])))
    }

    async fn delete(&self, chosen: &Chosen) -> Result<Op, FleetFault> {
        let (_, meant) = self.meant(chosen).await?;
        if let Some(kept) = meant.iter().find(|one| one.machine.is_protected) {
            let what = format!(
                "{} is protected from scale-in; lift the protection first",
                kept.machine.id
            );
            return Err(FleetFault::Fatal(what));
        }
        self.view.spend()?;
        let reply = self.write(Call::Delete, "", None, &ids(&meant)).await?;
        Ok(Op::on(OpKind::Remove, chosen, polls([&reply])))
    }

    async fn power(&self, kind: OpKind, chosen: &Chosen) -> Result<Op, FleetFault> {
        let (set, meant) = self.meant(chosen).await?;
        let (many, one) = match kind {
            OpKind::Start => (Call::StartMany, Call::StartOne),
            _ => (Call::StopMany, Call::StopOne),
        };
        if !set.is_flexible() {
            self.view.spend()?;
            let reply = self.write(many, "", None, &ids(&meant)).await?;
            return Ok(Op::on(kind, chosen, polls([&reply])));
        }
        self.view.spend()?;
        let mut replies = Vec::new();
        let mut taken = Vec::new();
        for single in meant.iter().take(ONE_BY_ONE_MAX) {
            match self.write(one, &single.handle, None, &Value::Null).await {
                Ok(reply) => replies.push(reply),
                // Those before were taken, and whoever asked must know of them; the rest is decided on anew.
                Err(_) if !replies.is_empty() => break,
                Err(fault) => return Err(fault),
            }
            taken.push((&single.machine).into());
        }
        let taken = Chosen::new(taken).unwrap_or_else(|| chosen.clone());
        Ok(Op::on(kind, &taken, polls(&replies)))
    }

    async fn write(
        &self,
        call: Call,
        item: &str,
        if_match: Option<&str>,
        body: &Value,
    ) -> Result<Reply, FleetFault> {
        let written = self.view.client.change(call, item, if_match, body).await;
        self.view.heed(&written);
        written
    }

    /// The chosen machines as they are at this moment, by a look of its own: ids are given again.
    async fn meant(&self, chosen: &Chosen) -> Result<(ScaleSet, Vec<Sighted>), FleetFault> {
        self.free_to_act()?;
        let (set, all) = self.view.machines().await?;
        let machines: Vec<_> = all.iter().map(|one| one.machine.clone()).collect();
        let meant = chosen.among(&machines)?;
        if let Some(going) = meant.iter().find(|one| one.phase == MachinePhase::Deleting) {
            return Err(FleetFault::Conflict(format!(
                "{} is being deleted already",
                going.id
            )));
        }
        let is_meant = |one: &Sighted| meant.iter().any(|machine| machine.id == one.machine.id);
        let meant = all.iter().filter(|one| is_meant(one)).cloned().collect();
        Ok((set, meant))
    }

    /// The last look, if it shows nothing that works against us.
    fn free_to_act(&self) -> Result<Arc<Observed>, FleetFault> {
        let seen = self.published.last()?;
        match seen.hindrances.first() {
            Some(hindrance) => Err(FleetFault::Fatal(hindrance.clone())),
            None => Ok(seen),
        }
    }

    async fn ask_after(&self, op: &Op) -> Result<OpState, FleetFault> {
        let by_sight = || state_by_sight(op, self.published.sight.borrow().as_deref());
        if op.polls.is_empty() {
            return Ok(by_sight());
        }
        let mut states = Vec::new();
        for Poll { url, by } in &op.polls {
            match self.view.client.follow(url).await {
                Ok(reply) => states.push(progress::state(*by, &reply)),
                // Azure forgets operations after some hours.
                Err(FleetFault::NotFound(_)) => states.push(by_sight()),
                Err(fault) => return Err(fault),
            }
        }
        let state = progress::together(states);
        if !matches!(state, OpState::Running { .. }) {
            self.published.expect_change();
        }
        Ok(state)
    }
}

fn ids(meant: &[Sighted]) -> Value {
    let ids: Vec<_> = meant.iter().map(|one| one.handle.as_str()).collect();
    json!({ "instanceIds": ids })
}

fn polls<'a>(replies: impl IntoIterator<Item = &'a Reply>) -> Vec<Poll> {
    replies.into_iter().filter_map(Reply::poll).collect()
}
