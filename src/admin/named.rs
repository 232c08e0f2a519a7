//! Which instance is meant by a name that somebody typed: `NAME`, or `POOL/NAME` where several pools have one of that name.

use axum::http::StatusCode;

use super::problem::Problem;
use crate::pool::{InstanceId, InstanceView};

/// What fits a line of a terminal or two.
const CANDIDATES_MAX: usize = 10;

/// The instance, or a problem that lists what could have been meant.
pub(super) fn find(asked: &str, instances: &[InstanceView]) -> Result<InstanceId, Problem> {
    let (pool, name) = match asked.split_once('/') {
        Some((pool, name)) => (Some(pool), name),
        None => (None, asked),
    };
    let is_meant =
        |view: &&InstanceView| *view.name == *name && pool.is_none_or(|pool| *view.pool == *pool);
    let found: Vec<_> = instances.iter().filter(is_meant).collect();
    match found.as_slice() {
        [] => Err(unknown(asked, instances)),
        [view] => Ok(InstanceId {
            pool: view.pool.clone(),
            name: view.name.clone(),
        }),
        [.., last] => {
            let pools: Vec<_> = found.iter().map(|view| &*view.pool).collect();
            let detail = format!(
                "pools {} each have an instance named {name}: ask for {}/{name}",
                pools.join(", "),
                last.pool
            );
            let status = StatusCode::CONFLICT;
            Err(Problem { status, detail })
        }
    }
}

/// For a name that nothing has: those that resemble it, else the first few.
pub(super) fn unknown(asked: &str, instances: &[InstanceView]) -> Problem {
    let name = asked.rsplit('/').next().unwrap_or(asked);
    let resembles = |view: &&InstanceView| !name.is_empty() && view.name.contains(name);
    let mut candidates: Vec<_> = instances.iter().filter(resembles).collect();
    if candidates.is_empty() {
        candidates = instances.iter().collect();
    }
    let shown: Vec<_> = candidates
        .iter()
        .take(CANDIDATES_MAX)
        .map(|view| format!("{}/{}", view.pool, view.name))
        .collect();
    let there = match candidates.len().checked_sub(shown.len()) {
        _ if shown.is_empty() => "there is none at all".to_owned(),
        None | Some(0) => format!("there is {}", shown.join(", ")),
        Some(more) => format!("there is {} and {more} more", shown.join(", ")),
    };
    Problem {
        status: StatusCode::NOT_FOUND,
        detail: format!(
            "there is no instance named {asked:?}: {there}; `poolgate instances` lists them"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::views;
    use super::*;

    #[test]
    fn whoever_mistypes_is_told_what_there_is() {
        let names: Vec<_> = (1..=30).map(|at| format!("vm{at:02}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let instances = [views("gpu", &["a100", "vm01"]), views("main", &names)].concat();
        assert_eq!(find("a100", &instances).unwrap().to_string(), "gpu/a100");
        let found = find("gpu/vm01", &instances).unwrap();
        assert_eq!(found.to_string(), "gpu/vm01");
        let detail = |asked: &str| find(asked, &instances).unwrap_err().detail;
        assert_eq!(
            detail("vm01"),
            "pools gpu, main each have an instance named vm01: ask for main/vm01"
        );
        let many = detail("gpu/vm2");
        assert!(many.contains("main/vm20, main/vm21"), "{many}");
        let none = detail("x");
        assert!(
            none.contains(" and 22 more; `poolgate instances`"),
            "{none}"
        );
        let none = find("x", &[]).unwrap_err().detail;
        assert!(none.contains("there is none at all"), "{none}");
    }
}
