//! Tables in plain text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The alignment of a column's cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// What stands between two columns.
const GAP: &str = "  ";

/// Returns the rows under their headings. Each column is as wide as its widest cell; no line ends in spaces.
pub fn table<const N: usize>(columns: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let widths = widths(&columns, rows);
    let heading = columns.map(|(name, _)| name.to_owned());
    let mut out = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells = row.iter().zip(widths).zip(columns).map(|((cell, width), (_, align))| {
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Left => format!("{cell}{pad}"),
                Align::Right => format!("{pad}{cell}"),
            }
        });
        out.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        out.push('\n');
    }
    out
}

/// Cuts cells, so that the table of the rows takes `width` at most. `least` is how narrow each column may become; `None`
/// if its cells must stay whole. Returns `None` if that isn't enough.
pub fn fitted<const N: usize>(
    columns: [(&str, Align); N],
    least: [Option<usize>; N],
    mut rows: Vec<[String; N]>,
    width: usize,
) -> Option<Vec<[String; N]>> {
    let mut widths = widths(&columns, &rows);
    let gaps = GAP.len() * N.saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        // A heading stays whole.
        let may_shrink = |at: &usize| {
            let least = least[*at].map(|least| least.max(columns[*at].0.width()));
            least.is_some_and(|least| widths[*at] > least)
        };
        let widest = (0..N).filter(may_shrink).max_by_key(|at| widths[*at])?;
        widths[widest] -= 1;
    }
    for row in &mut rows {
        for (cell, width) in row.iter_mut().zip(widths) {
            *cell = cut(cell, width);
        }
    }
    Some(rows)
}

/// Returns the text, or its beginning if a terminal needs more than `width` columns for it.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let needs = c.width().unwrap_or(0);
        let fits = needs <= left;
        left = left.saturating_sub(needs);
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{kept}…")
}

/// Returns the width of each column.
fn widths<const N: usize>(columns: &[(&str, Align); N], rows: &[[String; N]]) -> [usize; N] {
    let widest = |column: usize| rows.iter().map(move |row| row[column].width()).max();
    std::array::from_fn(|at| widest(at).unwrap_or(0).max(columns[at].0.width()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::Align::{Left as L, Right as R};
    use super::*;

    fn rows() -> Vec<[String; 3]> {
        let row = |name: &str, count: &str, id: &str| [name, count, id].map(str::to_owned);
        vec![row("東京都の注文", "1", "abc"), row("orders", "12345", "def")]
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let columns = [("NAME", L), ("COUNT", R), ("ID", L)];
        expect![[r#"
            NAME          COUNT  ID
            東京都の注文      1  abc
            orders        12345  def
        "#]]
        .assert_eq(&table(columns, &rows()));
    }

    #[test]
    fn a_table_is_cut_to_a_width_where_it_may_be() {
        let columns = [("NAME", L), ("COUNT", R), ("ID", L)];
        let least = [Some(4), None, None];
        let fitted = |width| fitted(columns, least, rows(), width);
        assert_eq!(fitted(24), Some(rows()), "it fits");
        for width in [16, 17, 18] {
            let table = table(columns, &fitted(width).expect("it fits"));
            assert!(table.lines().all(|line| line.width() <= width), "{width}:\n{table}");
        }
        expect![[r#"
            NAME    COUNT  ID
            東京…       1  abc
            orders  12345  def
        "#]]
        .assert_eq(&table(columns, &fitted(18).expect("it fits")));
        assert_eq!(fitted(15), None, "NAME would have 3");
    }

    #[test]
    fn a_text_is_cut_between_characters_and_never_wider_than_asked() {
        assert_eq!(cut("orders", 6), "orders");
        assert_eq!(cut("orders", 5), "orde…");
        assert_eq!(cut("東京都", 5), "東京…");
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!(cut("東京都", 1), "…");
    }
}
