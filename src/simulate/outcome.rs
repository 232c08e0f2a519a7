//! What a run came to: what people had of the pool, and what the pool cost.

use std::time::Duration;

use serde::Serialize;

/// How one mind fared with one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    pub mind: String,
    pub machine_hours: f64,
    /// Of `machine_hours`, with somebody on the machine.
    pub used_hours: f64,
    pub idle_hours: f64,
    pub booting_hours: f64,
    pub cost: f64,
    pub machines_max: u32,
    /// Logins that got in.
    pub logins: usize,
    /// Logins that came while a machine was up and waited.
    pub waited: usize,
    pub wait_p50_s: f64,
    pub wait_p95_s: f64,
    pub wait_max_s: f64,
    /// Logins that came while no machine was up.
    pub cold: usize,
    pub cold_max_s: f64,
    /// Logins that were given up.
    pub refusals: u32,
    /// Sessions ended by a removal.
    pub kills: u32,
    /// Sessions ended by the cloud: eviction.
    pub losses: u32,
    /// Orders to the cloud.
    pub writes: u32,
}

/// One moment of a run, for the chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub at: Duration,
    pub people: u32,
    pub waiting: u32,
    /// Seats of the machines that are paid for.
    pub seats: u32,
}

/// A wait, and whether a machine was up when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub length: Duration,
    pub is_cold: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub score: Score,
    pub samples: Vec<Sample>,
    /// What was done and why, with the time.
    pub story: Vec<(Duration, String)>,
    /// What must never be and was.
    pub violations: Vec<String>,
    /// Plans that lint refused to let be carried out.
    pub refused_plans: u32,
    /// Steps of the world.
    pub events: u64,
    /// Machine time and people's shares as CSV.
    pub costs_csv: String,
    pub(super) waits: Vec<Wait>,
}

impl Outcome {
    pub(super) fn count_waits(&mut self) {
        let warm = self.waits.iter().filter(|wait| !wait.is_cold);
        let mut warm: Vec<f64> = warm.map(|wait| wait.length.as_secs_f64()).collect();
        warm.sort_by(f64::total_cmp);
        let cold = self.waits.iter().filter(|wait| wait.is_cold);
        let score = &mut self.score;
        score.logins = self.waits.len();
        score.waited = warm.iter().filter(|wait| **wait > 0.5).count();
        score.wait_p50_s = percentile(&warm, 50);
        score.wait_p95_s = percentile(&warm, 95);
        score.wait_max_s = warm.last().copied().unwrap_or(0.0);
        score.cold = cold.clone().count();
        score.cold_max_s = cold
            .map(|wait| wait.length.as_secs_f64())
            .fold(0.0, f64::max);
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0.0)
}
