//! The token that is shown at a gate's address. It comes out of a file: arguments are for everybody on the machine to read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use hyper::header::HeaderValue;
use zeroize::Zeroizing;

/// Longer than any token.
const FILE_BYTES_MAX: u64 = 4096;

/// No `Debug`: it is a secret.
pub(super) struct Token(Zeroizing<String>);

impl Token {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let cannot = || format!("cannot read the token in {shown}");
        let file = File::open(path).with_context(cannot)?;
        if file.metadata().with_context(cannot)?.mode() & 0o077 != 0 {
            bail!("{shown} can be read by others: run chmod 600 {shown}");
        }
        let mut text = Zeroizing::new(String::new());
        let mut file = file.take(FILE_BYTES_MAX);
        file.read_to_string(&mut text).with_context(cannot)?;
        // The whole of what was printed will do.
        let printed = text.lines().find_map(|line| line.strip_prefix("token: "));
        let token = printed.unwrap_or(&text).trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "{shown} holds no token: write into it what `poolgate token NAME --role ROLE` prints"
            );
        }
        Ok(Self(Zeroizing::new(token.to_owned())))
    }

    /// The value of `Authorization`.
    pub fn header(&self) -> anyhow::Result<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(value)
    }
}
