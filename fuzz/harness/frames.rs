//! The reading along of HTTP/2 that ends floods of frames which carry nothing: against a plain count over the whole input.

use std::time::Instant;

use poolgate::https::frames::FrameWatch;

/// What a client has at once.
const BUDGET: usize = 2000;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
/// Floods are made by saying the same again, up to here.
const LONGEST: usize = 96 * 1024;

/// The first byte: how the bytes are cut. The second: how often, in 64s, what follows is said.
pub fn run(data: &[u8]) {
    let Some((&[cut, times], said)) = data.split_first_chunk::<2>() else {
        return;
    };
    let times = (1 + usize::from(times) * 64).min(LONGEST / said.len().max(1));
    let bytes = [PREFACE, &said.repeat(times)].concat();
    let spent = spent(&bytes);
    for step in [usize::from(cut).max(1), bytes.len()] {
        // Time stands still: what is spent does not come back.
        let now = Instant::now();
        let mut watch = FrameWatch::new(now);
        let ended = bytes.chunks(step).position(|part| watch.feed(part, now));
        assert_eq!(
            ended,
            spent.map(|at| at / step),
            "cut by {step}, the budget ends at byte {spent:?}"
        );
    }
}

/// The last byte of the head of the first frame for which nothing is left.
fn spent(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut idle) = (PREFACE.len(), 0);
    while let Some(head) = bytes.get(at..at.checked_add(HEAD)?) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let carries = match head[3] {
            0 => length > 0 || head[4] & 1 == 1,
            1 | 8 => true,
            _ => false,
        };
        idle += usize::from(!carries);
        if idle > BUDGET {
            return Some(at + HEAD - 1);
        }
        at += HEAD + length;
    }
    None
}
