//! From what is written in the configuration to what the policy takes: the one place where the two meet.

use crate::config;
use crate::pool::PlacementPolicy;

use super::cost::Prices;
use super::policy_config::PolicyConfig;
use super::schedule::{Bounds, Days, Exception, Headroom, Phase, Reservation, Schedule, When};

impl PolicyConfig {
    pub fn of_pool(pool: &config::PoolConfig) -> Self {
        let scaling = &pool.scaling;
        Self {
            schedule: schedule(scaling, placement(pool.placement)),
            idle: scaling.idle,
            stabilise: scaling.stabilise,
            cool_down: scaling.cool_down,
            learned_seats_max: scaling.learned_seats_max,
            boot_estimate: scaling.boot_estimate,
            boot_timeout: scaling.boot_timeout,
            grow_max: scaling.grow_max,
            grow_hourly_max: scaling.grow_hourly_max,
            drain_max: scaling.drain_max,
            monthly_hours: scaling.monthly_hours,
            stale_after: scaling.stale_after,
        }
    }
}

impl Prices {
    pub fn of_pool(pool: &config::PoolConfig) -> Self {
        Self {
            regular: pool.scaling.price,
            spot: pool.scaling.spot_price,
        }
    }
}

fn schedule(scaling: &config::ScalingConfig, general: PlacementPolicy) -> Schedule {
    let base = Bounds {
        min: scaling.min,
        max: scaling.max,
        headroom: headroom(scaling.headroom),
        placement: general,
    };
    let phase = |phase: &config::PhaseConfig| Phase {
        name: phase.name.as_str().into(),
        days: phase
            .days
            .iter()
            .fold(Days::default(), |days, day| days.with(*day)),
        at: phase.at,
        bounds: Bounds {
            min: phase.min,
            max: phase.max,
            headroom: headroom(phase.headroom),
            placement: phase.placement.map_or(general, placement),
        },
    };
    let exception = |one: &config::ExceptionConfig| Exception {
        first: one.first,
        last: one.last,
        like: one.like,
    };
    let reservation = |one: &config::ReservationConfig| Reservation {
        seats: one.seats,
        when: match &one.at {
            config::ReservedAt::Once(at) => When::Once(*at),
            config::ReservedAt::Weekly(days, at) => {
                let days = days
                    .iter()
                    .fold(Days::default(), |days, day| days.with(*day));
                When::Weekly(days, *at)
            }
        },
        length: one.length,
    };
    Schedule {
        zone: scaling.time_zone.clone(),
        base,
        phases: scaling.phases.iter().map(phase).collect(),
        exceptions: scaling.exceptions.iter().map(exception).collect(),
        reservations: scaling.reservations.iter().map(reservation).collect(),
    }
}

fn headroom(headroom: config::Headroom) -> Headroom {
    match headroom {
        config::Headroom::Seats(seats) => Headroom::Seats(seats),
        config::Headroom::Percent(percent) => Headroom::Percent(percent),
    }
}

fn placement(placement: config::Placement) -> PlacementPolicy {
    match placement {
        config::Placement::Spread => PlacementPolicy::Spread,
        config::Placement::Pack => PlacementPolicy::Pack,
        config::Placement::Auto => PlacementPolicy::Auto,
    }
}
