//! The machines of a process fleet while it runs: which there are, and the commands that add, end, start and stop them.
//!
//! A machine keeps its place while it is off, and its number comes free when it is removed: the next one under that number
//! gets a new generation. One task owns it all, so commands are carried out one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Machine as Process, Recipe, supervise};
use crate::fleet::control::state_by_sight;
use crate::fleet::{Answer, Chosen, FleetControl, FleetFault, Op, OpKind, OpState, Sight};
use crate::pool::{Instance, Machine, MachinePhase, Observed};

/// Local processes beyond this are a mistake in whoever asks.
const MACHINES_MAX: u32 = 1000;

/// A look is not believed for ever, so there is a new one.
const SEEN_AGAIN: Duration = Duration::from_secs(10);

pub(super) type Orders = mpsc::Receiver<Order>;

/// A command on its way to the crew.
pub(super) struct Order {
    what: What,
    reply: oneshot::Sender<Result<Op, FleetFault>>,
}

enum What {
    GrowTo { capacity: u32, version: String },
    Change(OpKind, Chosen),
}

/// The controller's end.
pub(super) struct ProcessControl {
    orders: mpsc::Sender<Order>,
    sight: Sight,
}

impl ProcessControl {
    pub fn new(orders: mpsc::Sender<Order>, sight: Sight) -> Self {
        Self { orders, sight }
    }

    fn order(&self, what: What) -> Answer<'_, Op> {
        let over = || FleetFault::Transient("the fleet of local processes is not running".into());
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let order = Order { what, reply };
            self.orders.send(order).await.map_err(|_| over())?;
            answer.await.map_err(|_| over())?
        })
    }
}

impl FleetControl for ProcessControl {
    fn observed(&self) -> Sight {
        self.sight.clone()
    }

    fn grow_to(&self, capacity: u32, version: &str) -> Answer<'_, Op> {
        let version = version.to_owned();
        self.order(What::GrowTo { capacity, version })
    }

    fn remove(&self, chosen: &Chosen) -> Answer<'_, Op> {
        self.order(What::Change(OpKind::Remove, chosen.clone()))
    }

    fn start(&self, chosen: &Chosen) -> Answer<'_, Op> {
        self.order(What::Change(OpKind::Start, chosen.clone()))
    }

    fn stop(&self, chosen: &Chosen) -> Answer<'_, Op> {
        self.order(What::Change(OpKind::Stop, chosen.clone()))
    }

    fn poll(&self, op: &Op) -> Answer<'_, OpState> {
        let state = state_by_sight(op, self.sight.borrow().as_deref());
        Box::pin(std::future::ready(Ok(state)))
    }
}

pub(super) struct Crew {
    recipe: Recipe,
    members: BTreeMap<u32, Member>,
    /// Of the next machine that takes over a number.
    next_generation: u64,
    changes: u64,
    is_listed: bool,
    sight: watch::Sender<Option<Arc<Observed>>>,
}

struct Member {
    process: Process,
    phase: MachinePhase,
    created: SystemTime,
    stop: CancellationToken,
}

impl Member {
    fn new(process: Process) -> Self {
        Self {
            process,
            phase: MachinePhase::Running,
            created: SystemTime::now(),
            stop: CancellationToken::new(),
        }
    }

    fn machine(&self) -> Machine {
        let instance = &self.process.instance;
        Machine {
            id: instance.id.clone(),
            generation: instance.generation,
            phase: self.phase,
            created: self.created,
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            address: Some(instance.address.clone()),
        }
    }
}

impl Crew {
    pub fn new(
        recipe: Recipe,
        processes: Vec<(u32, Process)>,
        sight: watch::Sender<Option<Arc<Observed>>>,
    ) -> Self {
        let member = |(number, process)| (number, Member::new(process));
        Self {
            recipe,
            members: processes.into_iter().map(member).collect(),
            next_generation: 1,
            changes: 0,
            is_listed: false,
            sight,
        }
    }

    pub async fn run(
        mut self,
        mut orders: Orders,
        listing: watch::Sender<Vec<Instance>>,
        shutdown: CancellationToken,
    ) {
        let mut running = JoinSet::new();
        for (number, member) in &mut self.members {
            spawn(&mut running, *number, member, &shutdown);
        }
        loop {
            self.publish(&listing);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(SEEN_AGAIN) => {}
                Some(ended) = running.join_next() => {
                    if let Ok(number) = ended {
                        self.settle(number);
                    }
                }
                Some(Order { what, reply }) = orders.recv() => {
                    let answer = match what {
                        What::GrowTo { capacity, version } => self.grow(capacity, &version, &mut running, &shutdown),
                        What::Change(kind, chosen) => self.change(kind, &chosen, &mut running, &shutdown),
                    };
                    // Whoever asked may have gone; what was done shows in the next look.
                    let _ = reply.send(answer);
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    fn grow(
        &mut self,
        capacity: u32,
        version: &str,
        running: &mut JoinSet<u32>,
        shutdown: &CancellationToken,
    ) -> Result<Op, FleetFault> {
        let here = self.capacity();
        if version != self.changes.to_string() {
            let what = format!("the fleet of local processes changed since {version:?} was seen");
            return Err(FleetFault::Conflict(what));
        }
        if capacity < here {
            return Err(FleetFault::Fatal(format!(
                "growing to {capacity} would lower the capacity, which is {here}: remove chosen machines"
            )));
        }
        if capacity > MACHINES_MAX {
            let what = format!(
                "{capacity} local processes are more than {MACHINES_MAX}; lower scaling.max"
            );
            return Err(FleetFault::Fatal(what));
        }
        let mut held = Vec::new();
        for number in (1..=MACHINES_MAX)
            .filter(|number| !self.members.contains_key(number))
            .take(usize::try_from(capacity - here).unwrap_or(usize::MAX))
            .collect::<Vec<_>>()
        {
            let made = self.recipe.machine(number, self.next_generation, &mut held);
            let process = made.map_err(|error| FleetFault::Transient(error.to_string()))?;
            let mut member = Member::new(process);
            spawn(running, number, &mut member, shutdown);
            self.members.insert(number, member);
            self.next_generation += 1;
            self.changes += 1;
        }
        Ok(Op::grow(capacity, Vec::new()))
    }

    fn change(
        &mut self,
        kind: OpKind,
        chosen: &Chosen,
        running: &mut JoinSet<u32>,
        shutdown: &CancellationToken,
    ) -> Result<Op, FleetFault> {
        let machines: Vec<_> = self.members.values().map(Member::machine).collect();
        let meant: Vec<_> = chosen
            .among(&machines)?
            .iter()
            .map(|one| one.id.clone())
            .collect();
        let members = self.members.iter_mut();
        for (number, member) in members.filter(|(_, one)| meant.contains(&one.process.instance.id))
        {
            let is_off = member.phase == MachinePhase::Deallocated;
            match kind {
                OpKind::Start if is_off => spawn(running, *number, member, shutdown),
                OpKind::Stop if member.phase == MachinePhase::Running => {
                    member.phase = MachinePhase::Stopping;
                    member.stop.cancel();
                }
                OpKind::Remove if is_off => {
                    // Nothing runs that could end later: this task only reports the number back.
                    member.phase = MachinePhase::Deleting;
                    running.spawn(std::future::ready(*number));
                }
                OpKind::Remove => {
                    member.phase = MachinePhase::Deleting;
                    member.stop.cancel();
                }
                OpKind::Start | OpKind::Stop | OpKind::Grow => {}
            }
        }
        self.changes += 1;
        Ok(Op::on(kind, chosen, Vec::new()))
    }

    /// The process of this number has ended because it was told to.
    fn settle(&mut self, number: u32) {
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        match member.phase {
            MachinePhase::Deleting => drop(self.members.remove(&number)),
            _ => member.phase = MachinePhase::Deallocated,
        }
        self.changes += 1;
    }

    fn capacity(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    fn publish(&mut self, listing: &watch::Sender<Vec<Instance>>) {
        let on = self.members.values().filter(|member| member.phase.is_on());
        let on: Vec<_> = on.map(|member| member.process.instance.clone()).collect();
        let is_first = !std::mem::replace(&mut self.is_listed, true);
        listing.send_if_modified(|listed| {
            let is_new = is_first || *listed != on;
            *listed = on;
            is_new
        });
        // Last: whoever sees it finds the listing done.
        self.sight.send_replace(Some(Arc::new(Observed {
            capacity: self.capacity(),
            version: self.changes.to_string(),
            machines: self.members.values().map(Member::machine).collect(),
            hindrances: Vec::new(),
            at: SystemTime::now(),
        })));
    }
}

fn spawn(
    running: &mut JoinSet<u32>,
    number: u32,
    member: &mut Member,
    shutdown: &CancellationToken,
) {
    member.phase = MachinePhase::Running;
    member.stop = shutdown.child_token();
    let (process, stop) = (member.process.clone(), member.stop.clone());
    running.spawn(async move {
        supervise(process, stop).await;
        number
    });
}
