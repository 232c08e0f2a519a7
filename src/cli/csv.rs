//! Lists as CSV (RFC 4180), for spreadsheets and scripts: the same columns whatever is in the rows, named like the fields of the API.

use serde_json::Value;

use crate::admin::csv_line;

/// The head of a table with these columns.
pub(super) fn head(columns: &[&str]) -> String {
    csv_line(columns)
}

/// A line for each of these objects. A column is a field, or one within another as `measured.load_percent`.
pub(super) fn lines(columns: &[&str], rows: &[Value]) -> String {
    let line = |row: &Value| {
        let cells: Vec<_> = columns.iter().map(|column| cell(row, column)).collect();
        let cells: Vec<_> = cells.iter().map(String::as_str).collect();
        csv_line(&cells)
    };
    rows.iter().map(line).collect()
}

fn cell(row: &Value, column: &str) -> String {
    let found = column.split('.').try_fold(row, |at, name| at.get(name));
    found.map_or_else(String::new, text)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_has_a_cell_for_each_column_whatever_it_holds() {
        let columns = ["name", "by", "measured.load_percent", "reason"];
        let rows = [
            json!({ "name": "vm1", "by": ["ssh", "jupyter"], "measured": { "load_percent": 7 }, "more": 1 }),
            json!({ "name": "=cmd()", "by": [], "measured": null, "reason": "a, \"b\"" }),
        ];
        assert_eq!(head(&columns), "name,by,measured.load_percent,reason\r\n");
        assert_eq!(
            lines(&columns, &rows),
            "vm1,ssh jupyter,7,\r\n\"'=cmd()\",,,\"a, \"\"b\"\"\"\r\n"
        );
    }
}
