//! Tables: rows under capital headers, without lines, that fit the terminal.
//! What a cell says is the commands' to know; here it is only cut where there is no room.

use comfy_table::{Attribute, Cell, ColumnConstraint, Row, Table, Width, presets};

use crate::terminal;

/// The space after a column.
const GAP: u16 = 2;
/// No cell is cut below this: less says nothing.
const NARROWEST: u16 = 10;

/// A column by its header, and what becomes of it where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// It stays as it is: ids that people copy, and short words.
    Whole(&'static str),
    /// Its cells are cut, the widest column first.
    Text(&'static str),
    /// It is left out when cutting the others is not enough; the last one first.
    Extra(&'static str),
}

impl Column {
    fn header(self) -> &'static str {
        match self {
            Self::Whole(header) | Self::Text(header) | Self::Extra(header) => header,
        }
    }
}

impl From<&'static str> for Column {
    fn from(header: &'static str) -> Self {
        Self::Text(header)
    }
}

/// Rows under capital headers, fitted to the terminal; whole where the standard output is none.
pub(crate) fn table<C: Copy + Into<Column>>(columns: &[C], rows: Vec<Vec<Cell>>) -> String {
    let columns: Vec<Column> = columns.iter().map(|column| (*column).into()).collect();
    fitted(&columns, rows, terminal::width())
}

fn fitted(columns: &[Column], rows: Vec<Vec<Cell>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    // Colours are always written here; the stream drops them where they don't belong. The space around them has none, so
    // that it can be cut off at the end of a line.
    table.load_style(presets::NOTHING).enforce_styling();
    let headers = columns.iter().map(|column| Cell::new(column.header()).add_attribute(Attribute::Dim));
    table.set_header(one_line(headers));
    table.style_text_only();
    table.add_rows(rows.into_iter().map(one_line));
    let natural = table.column_max_content_widths();
    let widths = width.and_then(|width| shrunk(columns, &natural, width));
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP));
        match widths.as_ref().and_then(|widths| widths.get(place)) {
            Some(Some(width)) => {
                // Cut at the last character that has room, not after the last word that has: no cell has this character.
                column.set_delimiter('\0');
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width.saturating_add(GAP))));
            }
            Some(None) => {
                column.set_constraint(ColumnConstraint::Hidden);
            }
            None => {}
        }
    }
    table.trim_fmt()
}

fn one_line(cells: impl IntoIterator<Item = Cell>) -> Row {
    let mut row = Row::from(cells.into_iter().collect::<Vec<_>>());
    row.max_height(1);
    row
}

/// How wide each column becomes, none for one that is left out; nothing where all of them fit as they are.
fn shrunk(columns: &[Column], natural: &[u16], width: u16) -> Option<Vec<Option<u16>>> {
    let mut widths: Vec<Option<u16>> = natural.iter().copied().map(Some).collect();
    let is_too_wide = |widths: &[Option<u16>]| total(widths) > u32::from(width);
    if !is_too_wide(&widths) {
        return None;
    }
    loop {
        while is_too_wide(&widths) {
            let texts = columns.iter().zip(&mut widths).filter(|(column, _)| matches!(column, Column::Text(_)));
            let widest = texts.filter_map(|(_, width)| width.as_mut()).max();
            match widest {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        let extra = columns
            .iter()
            .zip(&widths)
            .rposition(|(column, width)| matches!(column, Column::Extra(_)) && width.is_some());
        match extra {
            Some(place) if is_too_wide(&widths) => {
                // What was cut in vain has room again.
                for ((width, natural), column) in widths.iter_mut().zip(natural).zip(columns) {
                    if matches!(column, Column::Text(_)) {
                        *width = Some(*natural);
                    }
                }
                widths[place] = None;
            }
            _ => return Some(widths),
        }
    }
}

/// All columns that are shown, with the gaps between them.
fn total(widths: &[Option<u16>]) -> u32 {
    let shown = widths.iter().flatten();
    let gaps = shown.clone().count().saturating_sub(1);
    shown.map(|width| u32::from(*width)).sum::<u32>() + u32::from(GAP) * u32::try_from(gaps).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use comfy_table::Color;

    use super::Column::{Extra, Text, Whole};
    use super::*;

    fn runs(width: Option<u16>) -> Vec<String> {
        let columns = [Whole("RUN"), Text("JOB"), Whole("STATE"), Extra("ATTEMPT"), Extra("TOOK"), Text("ERROR")];
        let cells = ["run_01J00000000000000000000000", "purchase-confirmation", "✗ dead", "4 of 4", "12 ms"];
        let mut row: Vec<Cell> = cells.iter().map(|cell| Cell::new(cell).fg(Color::Red)).collect();
        row.push(Cell::new("transient: the mail server closed the connection before it said anything"));
        let text = fitted(&columns, vec![row], width);
        text.lines().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_table_is_whole_where_nothing_bounds_it() {
        let whole = runs(None);
        assert_eq!(whole.len(), 2);
        assert!(whole[1].ends_with("before it said anything"), "{whole:#?}");
        assert_eq!(runs(Some(400)), whole);
    }

    #[test]
    fn long_texts_are_cut_and_ids_never() {
        for width in [80, 100, 120] {
            let lines = runs(Some(width));
            assert_eq!(lines.len(), 2, "{lines:#?}");
            assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)), "{width}: {lines:#?}");
            assert!(lines[1].starts_with("run_01J00000000000000000000000  purchase"), "{lines:#?}");
            assert!(lines[1].ends_with('…'), "{lines:#?}");
            assert_eq!(lines[1].chars().count(), usize::from(width), "no room is wasted: {lines:#?}");
        }
    }

    #[test]
    fn what_is_not_needed_is_left_out_before_words_become_unreadable() {
        let narrow = runs(Some(70));
        assert!(narrow[0].contains("ERROR") && !narrow[0].contains("TOOK"), "{narrow:#?}");
        assert!(narrow.iter().all(|line| line.chars().count() <= 70), "{narrow:#?}");
        assert!(runs(Some(80))[0].contains("TOOK"));
    }

    #[test]
    fn what_can_not_fit_is_still_shown() {
        let lines = runs(Some(20));
        assert!(lines[1].contains("run_01J00000000000000000000000"), "{lines:#?}");
    }
}
