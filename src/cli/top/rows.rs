//! Makes rows of a picture: what each cell says, and how it is ordered. Pure; what the screen has no room for is cut there.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::super::table::span;
use super::looks::{Tone, tone_of};
use super::model::Model;
use super::order::Target;
use super::pane::{Cell, Pane, Row};
use crate::admin::InstanceState;
use crate::pool::{Decider, Health, InstanceId, InstanceView, SessionView, Stage, WaiterView};
use crate::telemetry::events::Event;

impl Model {
    /// The rows of a pane that are shown, in their order.
    pub fn rows(&self, pane: Pane) -> Vec<Row> {
        let choice = self.choices.of(pane);
        let picture = &self.picture;
        let rows = match pane {
            Pane::Machines => self.machines(),
            Pane::Sessions => {
                let only = self.machine_shown();
                let fits = |view: &&SessionView| {
                    only.as_deref()
                        .is_none_or(|only| key(&view.pool, &view.instance) == only)
                };
                let sessions = picture.sessions.iter().filter(fits);
                sessions.map(|view| self.session(view)).collect()
            }
            Pane::Queue => picture.waiters.iter().map(|one| self.waiter(one)).collect(),
            Pane::Events => self.events.iter().map(|one| self.event(one)).collect(),
        };
        choice.select(rows)
    }

    fn machines(&self) -> Vec<Row> {
        let instances = self.picture.instances.iter();
        instances.map(|view| self.machine(view)).collect()
    }

    /// The machine whose sessions alone are shown.
    pub fn machine_shown(&self) -> Option<String> {
        let chosen = self.is_of_machine.then(|| self.chosen(Pane::Machines));
        chosen.flatten().map(|row| row.key)
    }

    fn machine(&self, view: &InstanceView) -> Row {
        let state = InstanceState::of(view);
        let id = InstanceId {
            pool: view.pool.clone(),
            name: view.name.clone(),
        };
        let load = view.measured.as_ref().map(|told| told.load_percent);
        let percent = |load| Cell::number(format!("{load}%"), u64::from(load));
        let kernels = self.picture.kernels.get(&id).copied();
        let busy = |kernels: u32| Cell::number(kernels.to_string(), u64::from(kernels));
        let share = u64::from(view.load) * 1_000 / u64::from(view.capacity.max(1));
        Row {
            key: id.to_string(),
            cells: vec![
                Cell::text(self.place(&view.pool, &view.name)),
                Cell::of(state.name(), tone_of(state)),
                self.age(view.health_since),
                health(Some(view.services.ssh)),
                health(view.services.jupyter),
                Cell::number(format!("{}/{}", view.load, view.capacity), share),
                load.map_or_else(Cell::unknown, percent),
                kernels.map_or_else(Cell::unknown, busy),
                Cell::text(self.why(view)),
            ],
            target: Some(Target::Machine(id.to_string())),
        }
    }

    /// What its state does not say.
    fn why(&self, view: &InstanceView) -> String {
        let mut parts = Vec::new();
        if let Some(reason) = &view.reason {
            let by = match view.decided_by {
                Decider::Policy => "policy: ",
                Decider::Admin | Decider::Nobody => "",
            };
            parts.push(format!("{by}{}", self.looks.text(reason)));
        }
        if let Some(deadline) = view.deadline {
            parts.push(format!("sessions end at {}", self.clock(deadline)));
        }
        if let Some(keep) = &view.keep {
            let by = self.looks.text(&keep.by);
            parts.push(format!("kept until {} by {by}", self.clock(keep.until)));
        }
        if view.is_sealed {
            parts.push("about to be removed".to_owned());
        }
        if let Some(told) = &view.measured {
            let closed = told.closed.as_ref().map(|why| self.looks.text(why));
            parts.extend(closed.map(|why| format!("takes nobody: {why}")));
            if told.is_reboot_pending {
                parts.push("a reboot is pending".to_owned());
            }
        }
        parts.join("; ")
    }

    fn session(&self, view: &SessionView) -> Row {
        let user = self
            .looks
            .text(view.user.as_deref().unwrap_or("(nobody yet)"));
        let (stage, tone) = match view.stage {
            Stage::Provisional => ("provisional", Tone::New),
            Stage::Reserved => ("reserved", Tone::New),
            Stage::Live => ("live", Tone::Plain),
        };
        Row {
            key: view.id.to_string(),
            cells: vec![
                Cell::text(user.clone()),
                Cell::text(view.protocol.name()),
                Cell::text(self.place(&view.pool, &view.instance)),
                self.age(view.since),
                Cell::of(stage, tone),
                Cell::text(view.peer.to_string()),
                Cell::of(view.id.to_string(), Tone::Faint),
            ],
            target: Some(Target::Session { id: view.id, user }),
        }
    }

    fn waiter(&self, waiter: &WaiterView) -> Row {
        let by: Vec<_> = waiter.by.iter().map(|by| by.name()).collect();
        let place = u64::try_from(waiter.place).unwrap_or(u64::MAX);
        let there = match waiter.is_there {
            true => Cell::text("yes"),
            false => Cell::of("cut off", Tone::Faint),
        };
        Row {
            key: waiter_key(waiter),
            cells: vec![
                Cell::text(
                    self.looks
                        .text(waiter.user.as_deref().unwrap_or("(nobody yet)")),
                ),
                Cell::text(by.join(",")),
                Cell::text(self.looks.text(&waiter.pool)),
                Cell::number(waiter.place.to_string(), place),
                self.age(waiter.since),
                there,
                Cell::text(waiter.source.to_string()),
            ],
            target: None,
        }
    }

    fn event(&self, event: &Event) -> Row {
        let place = event.place();
        let at = event.time.duration_since(SystemTime::UNIX_EPOCH);
        let at = u64::try_from(at.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let kind = serde_json::to_value(event.kind).unwrap_or_default();
        Row {
            key: format!("{at}/{}", event.number),
            cells: vec![
                Cell::number(self.clock(event.time), at),
                Cell::text(self.looks.text(&place)),
                Cell::text(kind.as_str().unwrap_or("-")),
                Cell::text(self.looks.text(&event.text)),
            ],
            target: None,
        }
    }

    /// An instance by its name; with its pool where there are several.
    fn place(&self, pool: &str, name: &str) -> String {
        match self.picture.status.pools.len() {
            0 | 1 => self.looks.text(name),
            _ => self.looks.text(&format!("{pool}/{name}")),
        }
    }

    fn age(&self, since: SystemTime) -> Cell {
        let age = self.now.duration_since(since).unwrap_or(Duration::ZERO);
        Cell::number(span(age), age.as_secs())
    }

    /// The time of day by the clock of whoever looks; the date where it is another one.
    pub fn clock(&self, at: SystemTime) -> String {
        let zoned = |at: SystemTime| {
            let stamp = Timestamp::try_from(at).unwrap_or_default();
            stamp.to_zoned_datetime(self.zone.clone())
        };
        let (at, now) = (zoned(at), zoned(self.now));
        let format = match at.date() == now.date() {
            true => "%H:%M:%S",
            false => "%-d %b %H:%M",
        };
        at.strftime(format).to_string()
    }
}

/// As `POOL/NAME`.
fn key(pool: &str, name: &str) -> String {
    format!("{pool}/{name}")
}

pub fn waiter_key(waiter: &WaiterView) -> String {
    let user = waiter.user.as_deref().unwrap_or_default();
    format!("{}/{}/{user}", waiter.pool, waiter.source)
}

fn health(health: Option<Health>) -> Cell {
    let Some(health) = health else {
        return Cell::unknown();
    };
    let tone = match health {
        Health::Up => Tone::Plain,
        Health::Unknown => Tone::New,
        Health::NoLogins | Health::Down => Tone::Bad,
    };
    Cell::of(health.name(), tone)
}
