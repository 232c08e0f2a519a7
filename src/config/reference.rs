//! `config/poolgate.toml` taken apart: the text of each key, for every paper that tells of them.
//!
//! Only that file's own layout is understood: a comment before keys or a table tells of them, a line that begins with `#` and no blank
//! is a key left at its default. Used by the manual page, and by the page of the documentation, without the rest of the program.

/// A table of the file, or what stands before the first one.
#[derive(Debug, Default)]
pub struct Section {
    /// Empty for what stands before the first table.
    pub name: String,
    pub text: Vec<String>,
    pub entries: Vec<Entry>,
}

/// Keys that are told about together, and what is told.
#[derive(Debug, Default)]
pub struct Entry {
    /// Each with its default, or an example.
    pub keys: Vec<(String, String)>,
    pub text: String,
}

/// The sections in the order of the file.
pub fn sections(source: &str) -> Vec<Section> {
    let mut reader = Reader::default();
    for line in source.lines() {
        reader.take(line);
    }
    reader.close_section();
    reader.sections
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    section: Section,
    keys: Vec<(String, String)>,
    text: Vec<String>,
    is_in_list: bool,
}

impl Reader {
    fn take(&mut self, line: &str) {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if self.is_in_list {
            // The rest of a value that stands on several lines.
            if let Some((_, value)) = self.keys.last_mut() {
                value.push(' ');
                value.push_str(bare.trim());
            }
            self.is_in_list = bare != "]";
        } else if let Some(text) = line.strip_prefix("# ") {
            if !self.keys.is_empty() {
                self.close_entry();
            }
            self.text.push(text.to_owned());
        } else if bare.starts_with('[') {
            let text = std::mem::take(&mut self.text);
            self.close_section();
            self.section.name = bare.trim_matches(['[', ']']).to_owned();
            self.section.text.extend(joined(&text));
        } else if let Some((key, value)) = bare.split_once(" = ") {
            let value = without_remark(value);
            self.is_in_list = value == "[";
            self.keys.push((key.to_owned(), value.to_owned()));
        } else if line.is_empty() {
            self.take_blank();
        }
    }

    fn take_blank(&mut self) {
        let is_introduction = self.keys.is_empty() && self.section.entries.is_empty();
        match is_introduction && !self.text.is_empty() {
            true => {
                let text = std::mem::take(&mut self.text);
                self.section.text.extend(joined(&text));
            }
            false => self.close_entry(),
        }
    }

    fn close_entry(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        let text = std::mem::take(&mut self.text).join(" ");
        if !keys.is_empty() {
            self.section.entries.push(Entry { keys, text });
        }
    }

    fn close_section(&mut self) {
        self.close_entry();
        self.sections.push(std::mem::take(&mut self.section));
    }
}

fn joined(text: &[String]) -> Option<String> {
    (!text.is_empty()).then(|| text.join(" "))
}

/// A value without the remark behind it.
fn without_remark(value: &str) -> &str {
    let mut is_quoted = false;
    for (at, letter) in value.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '#' if !is_quoted => return value.get(..at).unwrap_or(value).trim_end(),
            _ => {}
        }
    }
    value
}
