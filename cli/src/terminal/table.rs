//! Tables in plain text.

/// The alignment of a column's cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Returns the rows under their headings. Each column is as wide as its widest cell; no line ends in spaces.
pub fn table<const N: usize>(columns: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let length = |text: &str| text.chars().count();
    let width = |column: usize| rows.iter().map(move |row| length(&row[column])).max();
    let widths: [usize; N] =
        std::array::from_fn(|at| width(at).unwrap_or(0).max(length(columns[at].0)));
    let heading = columns.map(|(name, _)| name.to_owned());
    let mut out = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells = row.iter().zip(widths).zip(columns).map(|((cell, width), (_, align))| {
            let pad = " ".repeat(width - length(cell));
            match align {
                Align::Left => format!("{cell}{pad}"),
                Align::Right => format!("{pad}{cell}"),
            }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
