//! The two texts that metrics are asked for in: OpenMetrics, and Prometheus's own of before (version 0.0.4), which most
//! other programs read.
//!
//! They differ in how a counter's family is called, in the kinds `info` and `unknown`, and in the mark at the end.

use std::collections::HashMap;

/// Which text a scrape wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// By the request's `Accept`; who does not ask for OpenMetrics may not know it.
    pub fn of_accept(accept: Option<&str>) -> Self {
        match accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Prometheus's text of the same metrics.
pub(super) fn to_prometheus(open_metrics: &str) -> String {
    let mut kinds = HashMap::new();
    for line in open_metrics.lines() {
        if let Some((name, kind)) = described(line, "# TYPE ") {
            kinds.insert(name, kind);
        }
    }
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let said = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|what| described(line, what).map(|said| (what, said)));
        match said {
            Some((what, (name, rest))) => {
                let kind = kinds.get(name).copied().unwrap_or("untyped");
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                let rest = if what == "# TYPE " { kind } else { rest };
                text.extend([what, name, suffix, " ", rest, "\n"]);
            }
            None => text.extend([line, "\n"]),
        }
    }
    text
}

fn described<'a>(line: &'a str, what: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(what)?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_renamed_as_its_samples_are() {
        let open = "# HELP a Logins.\n# TYPE a counter\na_total{x=\"# TYPE b\"} 1\n# HELP b The version.\n\
                    # TYPE b info\nb_info{version=\"1\"} 1\n# HELP c_seconds Time.\n# TYPE c_seconds gauge\n\
                    # UNIT c_seconds seconds\nc_seconds 2\n# EOF\n";
        let text = "# HELP a_total Logins.\n# TYPE a_total counter\na_total{x=\"# TYPE b\"} 1\n\
                    # HELP b_info The version.\n# TYPE b_info gauge\nb_info{version=\"1\"} 1\n\
                    # HELP c_seconds Time.\n# TYPE c_seconds gauge\nc_seconds 2\n";
        assert_eq!(to_prometheus(open), text);
    }

    #[test]
    fn who_does_not_ask_for_open_metrics_gets_the_text_of_before() {
        let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        assert_eq!(Format::of_accept(Some(asked)), Format::OpenMetrics);
        assert_eq!(Format::of_accept(Some("*/*")), Format::Prometheus);
        assert_eq!(Format::of_accept(None), Format::Prometheus);
    }
}
