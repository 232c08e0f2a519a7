//! How many lines each list gets of those that there are. Pure.

/// What a list wants: with fewer lines than `least` it says nothing, more than `most` it has no use for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    pub least: u16,
    pub most: u16,
}

/// Lines for each of them, in their order. First everybody gets the least, from the first on; then the one in front gets what
/// it wants, then the others; the last keeps what nobody wants.
pub fn share(lines: u16, wants: &[Want], front: usize) -> Vec<u16> {
    let mut left = lines;
    let mut given: Vec<u16> = Vec::new();
    for want in wants {
        let part = want.least.min(left);
        left = left.saturating_sub(part);
        given.push(part);
    }
    let order = std::iter::once(front).chain((0..wants.len()).filter(|at| *at != front));
    for at in order {
        if let (Some(want), Some(part)) = (wants.get(at), given.get_mut(at)) {
            let more = want.most.saturating_sub(*part).min(left);
            left = left.saturating_sub(more);
            *part = part.saturating_add(more);
        }
    }
    if let Some(last) = given.last_mut() {
        *last = last.saturating_add(left);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_front_gets_what_the_others_can_spare() {
        let want = |least, most| Want { least, most };
        let wants = [want(4, 52), want(4, 1002), want(1, 1), want(3, 90)];
        assert_eq!(share(20, &wants, 0), [12, 4, 1, 3]);
        assert_eq!(share(20, &wants, 1), [4, 12, 1, 3]);
        assert_eq!(share(6, &wants, 3), [4, 2, 0, 0]);
        let few = [want(4, 4), want(4, 5), want(1, 1), want(3, 3)];
        assert_eq!(share(30, &few, 0), [4, 5, 1, 20]);
        assert_eq!(share(9, &[], 0), [0; 0]);
    }
}
