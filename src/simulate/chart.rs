//! A run as a picture: people, seats paid for and people who wait, as SVG for a browser or as a line for a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use super::outcome::Sample;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 40.0;
const TERMINAL: usize = 72;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One panel a run, below each other.
pub fn svg(runs: &[(String, Vec<Sample>)]) -> String {
    let panels = f64::from(u32::try_from(runs.len()).unwrap_or(1));
    let height = HEIGHT * panels;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let most = runs.iter().flat_map(|(_, samples)| samples);
    let most = most.map(|sample| sample.seats.max(sample.people)).max();
    let most = f64::from(most.unwrap_or(1).max(1));
    let mut top = 0.0;
    for (name, samples) in runs {
        panel(&mut text, (name, samples), top, most);
        top += HEIGHT;
    }
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, (name, samples): (&str, &[Sample]), top: f64, most: f64) {
    let end = samples
        .last()
        .map_or(1.0, |last| last.at.as_secs_f64())
        .max(1.0);
    let x = |at: Duration| MARGIN + at.as_secs_f64() / end * (WIDTH - 2.0 * MARGIN);
    let y = |count: u32| top + HEIGHT - MARGIN - f64::from(count) / most * (HEIGHT - 2.0 * MARGIN);
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    let floor = y(0);
    let _ = writeln!(
        text,
        "<text x=\"{MARGIN}\" y=\"{}\">{name}: seats paid for (grey), people (blue), waiting (red); at most {most}</text>",
        top + MARGIN / 2.0
    );
    let mut area = format!("M{MARGIN:.1},{floor:.1}");
    let mut before = floor;
    for sample in samples {
        let (x, y) = (x(sample.at), y(sample.seats));
        let _ = write!(area, "L{x:.1},{before:.1}L{x:.1},{y:.1}");
        before = y;
    }
    let _ = writeln!(
        text,
        "<path d=\"{area}L{:.1},{floor:.1}Z\" fill=\"#ddd\"/>",
        WIDTH - MARGIN
    );
    let mut line = |count: fn(&Sample) -> u32, colour: &str| {
        let points = samples.iter().map(|one| (x(one.at), y(count(one))));
        let points = points.map(|(x, y)| format!("{x:.1},{y:.1}"));
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            text,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\"/>"
        );
    };
    line(|sample| sample.people, "#0a58ca");
    line(|sample| sample.waiting, "#d00");
}

/// What `count` was over the run, in as many bars as fit on a line.
pub fn bars(samples: &[Sample], count: impl Fn(&Sample) -> u32) -> String {
    let most = samples.iter().map(&count).max().unwrap_or(0).max(1);
    let size = samples.len().div_ceil(TERMINAL).max(1);
    let bar = |part: &[Sample]| {
        let highest = part.iter().map(&count).max().unwrap_or(0);
        let step = usize::try_from(u64::from(highest) * 7 / u64::from(most)).unwrap_or(0);
        match highest {
            0 => ' ',
            _ => BARS.get(step).copied().unwrap_or(' '),
        }
    };
    samples.chunks(size).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Sample> {
        let sample = |at: u64| Sample {
            at: Duration::from_secs(at),
            people: u32::try_from(at).unwrap(),
            waiting: 0,
            seats: 8,
        };
        (0..8).map(sample).collect()
    }

    #[test]
    fn bars_are_as_high_as_what_they_show() {
        assert_eq!(bars(&samples(), |sample| sample.people), " ▂▃▄▅▆▇█");
        assert_eq!(bars(&samples(), |sample| sample.waiting), "        ");
        assert_eq!(bars(&[], |sample| sample.people), "");
    }

    #[test]
    fn a_name_cannot_break_the_picture() {
        let picture = svg(&[("<b>&".to_owned(), samples())]);
        assert!(picture.contains("&lt;b>&amp;") && picture.ends_with("</svg>\n"));
    }
}
