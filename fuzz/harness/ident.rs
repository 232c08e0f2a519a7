//! The identification line, by a server and by a client, however it is cut into packets.

use poolgate::ssh::wire::ident::{IdentReader, Step};

/// The first byte says how many bytes come at a time.
pub fn run(data: &[u8]) {
    let Some((chunk, data)) = data.split_first() else {
        return;
    };
    for reader in [IdentReader::of_client, IdentReader::of_server] {
        let whole = read(reader(), data, usize::MAX);
        let slowly = read(reader(), data, usize::from(*chunk).max(1));
        assert_eq!(whole, slowly, "what is read depends on how it came");
    }
}

/// The line, if there is one, and how many bytes were taken.
fn read(mut reader: IdentReader, data: &[u8], chunk: usize) -> Option<(String, usize)> {
    let mut taken = 0;
    let mut shown = chunk.min(data.len());
    loop {
        match reader.next(&data[taken..shown]) {
            Ok(Step::NeedMore) if shown == data.len() => return None,
            Ok(Step::NeedMore) => shown = shown.saturating_add(chunk).min(data.len()),
            Ok(Step::Preface { consumed }) => {
                assert!(consumed > 0 && taken + consumed <= shown);
                taken += consumed;
            }
            Ok(Step::Found { consumed, ident }) => {
                assert!(taken + consumed <= shown);
                let _ = (ident.software(), ident.client_kind());
                assert!(ident.as_bytes().len() <= 255, "RFC 4253 section 4.2");
                return Some((ident.as_str().to_owned(), taken + consumed));
            }
            Err(_) => return None,
        }
    }
}
