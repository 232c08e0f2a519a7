//! Charts of a day as SVG: from minutes to the paths of lines and stacked areas, and the table that says the same in figures.
//! Pure.
//!
//! A drawing holds no text and no inline style: labels are the page's, so that they keep their size on every screen, and
//! colours are classes of the style sheet.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::history::{MINUTES, Minute, minute_of};
use super::words::Clock;

/// The drawing's own units; the page stretches it.
pub const WIDTH: u32 = 720;
pub const HEIGHT: u32 = 160;
/// Minutes that share a point: more points than pixels would say nothing.
const STEP: usize = 5;
const POINTS: usize = MINUTES / STEP;
/// Lines of the table: hours.
const HOURS: usize = 24;

/// What is drawn of a minute.
pub type Value = Box<dyn Fn(&Minute) -> Option<u32>>;

/// One line or area and what it is called.
pub struct Series {
    pub name: &'static str,
    /// Of the style sheet.
    pub class: &'static str,
    pub value: Value,
}

pub struct Plan {
    /// Of the elements.
    pub id: &'static str,
    pub title: &'static str,
    /// What is counted, as of a figure: `sessions`, `s`.
    pub unit: &'static str,
    pub series: Vec<Series>,
    /// Areas on top of one another, or lines.
    pub is_stacked: bool,
}

/// Ready for the page.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    pub id: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// Everything in a sentence, for whoever does not see it.
    pub summary: String,
    pub shapes: Vec<Shape>,
    /// From the top down.
    pub marks: Vec<String>,
    /// From left to right.
    pub times: Vec<String>,
    pub rows: Vec<Row>,
    pub is_empty: bool,
}

#[derive(Clone, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub class: &'static str,
    pub path: String,
    pub is_area: bool,
    pub latest: String,
}

/// An hour of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub machine: String,
    pub clock: String,
    pub values: Vec<String>,
}

pub fn draw(plan: &Plan, minutes: &[Minute], clock: &Clock) -> Chart {
    let newest = minute_of(clock.now);
    let points: Vec<Vec<Option<u32>>> = plan
        .series
        .iter()
        .map(|series| sample(minutes, newest, POINTS, STEP, &series.value))
        .collect();
    let levels = if plan.is_stacked {
        stack(&points)
    } else {
        points.clone()
    };
    let highest = levels.iter().flatten().flatten().max().copied();
    let top = nice(highest.unwrap_or(0));
    let mut shapes = Vec::new();
    let mut floor: Option<&Vec<Option<u32>>> = None;
    for (series, level) in plan.series.iter().zip(&levels) {
        let path = match plan.is_stacked {
            true => area(level, floor, top),
            false => line(level, top),
        };
        floor = Some(level);
        let own = points.get(shapes.len()).and_then(|own| own.last());
        shapes.push(Shape {
            name: series.name,
            class: series.class,
            path,
            is_area: plan.is_stacked,
            latest: own.copied().flatten().map_or("–".to_owned(), figure),
        });
    }
    Chart {
        id: plan.id,
        title: plan.title,
        unit: plan.unit,
        summary: summary(plan, &points),
        shapes,
        marks: [top, top / 2, 0].map(figure).to_vec(),
        times: times(clock),
        rows: rows(plan, minutes, newest, clock),
        is_empty: highest.is_none(),
    }
}

/// The most of each span, the oldest first; `None` where nothing was seen.
fn sample(
    minutes: &[Minute],
    newest: u64,
    points: usize,
    step: usize,
    value: &Value,
) -> Vec<Option<u32>> {
    let mut sampled = vec![None; points];
    for one in minutes {
        let age = usize::try_from(newest.saturating_sub(one.minute)).unwrap_or(usize::MAX);
        let Some(at) = points.checked_sub(1 + age / step) else {
            continue;
        };
        if let Some(most) = sampled.get_mut(at) {
            *most = (*most).max(value(one));
        }
    }
    sampled
}

fn stack(points: &[Vec<Option<u32>>]) -> Vec<Vec<Option<u32>>> {
    let mut sums: Vec<Option<u32>> = vec![None; POINTS];
    let mut levels = Vec::new();
    for series in points {
        for (sum, value) in sums.iter_mut().zip(series) {
            *sum = match (*sum, *value) {
                (Some(sum), Some(value)) => Some(sum.saturating_add(value)),
                (sum, value) => sum.or(value),
            };
        }
        levels.push(sums.clone());
    }
    levels
}

/// A round figure not below the highest, whose half is whole.
fn nice(highest: u32) -> u32 {
    let mut unit: u32 = 1;
    loop {
        for factor in [2, 4, 6, 8, 10] {
            let top = unit.saturating_mul(factor);
            if top >= highest || top == u32::MAX {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// Where a point's span begins; it ends where the next one's does.
fn x_of(at: usize) -> f64 {
    at as f64 / POINTS as f64 * f64::from(WIDTH)
}

fn y_of(value: u32, top: u32) -> f64 {
    let share = f64::from(value) / f64::from(top.max(1));
    f64::from(HEIGHT) * (1.0 - share.min(1.0))
}

/// Spans without a gap, each with where it begins.
fn runs<T: Copy>(points: impl Iterator<Item = Option<T>>) -> Vec<(usize, Vec<T>)> {
    let mut runs: Vec<(usize, Vec<T>)> = Vec::new();
    let mut is_open = false;
    for (at, value) in points.enumerate() {
        match (value, runs.last_mut()) {
            (Some(value), Some((_, run))) if is_open => run.push(value),
            (Some(value), _) => runs.push((at, vec![value])),
            (None, _) => {}
        }
        is_open = value.is_some();
    }
    runs
}

/// Steps: what is counted stays until it changes. Where nothing was seen the line is broken.
fn line(level: &[Option<u32>], top: u32) -> String {
    let mut path = String::new();
    for (begin, run) in runs(level.iter().copied()) {
        forth(&mut path, begin, &run, top);
    }
    path
}

/// What lies between a level and the one below it.
fn area(level: &[Option<u32>], floor: Option<&Vec<Option<u32>>>, top: u32) -> String {
    let mut path = String::new();
    let below = |at: usize| floor.and_then(|floor| floor.get(at).copied().flatten());
    let both = level.iter().enumerate();
    let both = both.map(|(at, value)| Some(((*value)?, below(at).unwrap_or(0))));
    for (begin, run) in runs(both) {
        if run.iter().all(|(value, below)| value == below) {
            continue;
        }
        let (values, floors): (Vec<u32>, Vec<u32>) = run.into_iter().unzip();
        forth(&mut path, begin, &values, top);
        back(&mut path, begin, &floors, top);
        path.push('Z');
    }
    path
}

/// From left to right.
fn forth(path: &mut String, begin: usize, run: &[u32], top: u32) {
    let mut before = None;
    for (at, value) in run.iter().enumerate() {
        let (x, y) = (x_of(begin + at), y_of(*value, top));
        // Writing to a String does not fail.
        let _ = match before {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some(before) if before == *value => Ok(()),
            Some(_) => write!(path, "H{x:.1}V{y:.1}"),
        };
        before = Some(*value);
    }
    let _ = write!(path, "H{:.1}", x_of(begin + run.len()));
}

/// On from the end of `forth`, from right to left.
fn back(path: &mut String, begin: usize, run: &[u32], top: u32) {
    let mut before = None;
    for (at, value) in run.iter().enumerate().rev() {
        let (x, y) = (x_of(begin + at + 1), y_of(*value, top));
        let _ = match before {
            None => write!(path, "V{y:.1}"),
            Some(before) if before == *value => Ok(()),
            Some(_) => write!(path, "H{x:.1}V{y:.1}"),
        };
        before = Some(*value);
    }
    let _ = write!(path, "H{:.1}", x_of(begin));
}

fn times(clock: &Clock) -> Vec<String> {
    let hours = [24, 18, 12, 6, 0];
    let at = |hours: u64| clock.now.checked_sub(Duration::from_secs(hours * 3600));
    hours
        .iter()
        .map(|hours| at(*hours).map_or_else(String::new, |at| clock.short(at)))
        .collect()
}

fn rows(plan: &Plan, minutes: &[Minute], newest: u64, clock: &Clock) -> Vec<Row> {
    let hourly: Vec<_> = plan
        .series
        .iter()
        .map(|series| sample(minutes, newest, HOURS, MINUTES / HOURS, &series.value))
        .collect();
    let row = |at: usize| {
        let values: Vec<_> = hourly
            .iter()
            .map(|series| series.get(at).copied().flatten())
            .collect();
        if values.iter().all(Option::is_none) {
            return None;
        }
        let ago = Duration::from_secs(3600 * (HOURS - at) as u64);
        let begins = clock.now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        let ends = begins + Duration::from_secs(3600);
        Some(Row {
            machine: clock.moment(begins).machine,
            clock: format!("{}–{}", clock.short(begins), clock.short(ends)),
            values: values
                .into_iter()
                .map(|value| value.map_or("–".to_owned(), figure))
                .collect(),
        })
    };
    (0..HOURS).rev().filter_map(row).collect()
}

fn summary(plan: &Plan, points: &[Vec<Option<u32>>]) -> String {
    let told = plan
        .series
        .iter()
        .zip(points)
        .filter_map(|(series, points)| {
            let most = points.iter().flatten().max()?;
            let latest = points.last().copied().flatten();
            let latest = latest.map_or("nothing seen now".to_owned(), |now| {
                format!("{} now", figure(now))
            });
            Some(format!(
                "{}: {latest}, at most {}",
                series.name,
                figure(*most)
            ))
        });
    let told: Vec<_> = told.collect();
    match told.is_empty() {
        true => "Nothing has been seen yet.".to_owned(),
        false => format!("The last 24 hours. {}.", told.join("; ")),
    }
}

fn figure(value: u32) -> String {
    super::words::count(u64::from(value))
}

#[cfg(test)]
#[path = "chart/tests.rs"]
mod tests;
