//! Output: tables, text and JSON from one value.
//!
//! A command makes a [`View`]: the JSON value, what people read, and the names. The global
//! options choose which of them is printed. Tables have no borders; columns are as wide as
//! their widest cell; nothing is told by colour alone; control characters from outside are
//! escaped. Pure but for writing to the given writer. Implements interfaces.md §5 (`-o`,
//! `--columns`, `--sort`, `--ascii`, colours).

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::Failure;

/// What a piece of text means; colours follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
    Strong,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// One JSON value
    Json,
    /// One JSON value a line
    Jsonl,
    /// Names only, one a line
    Name,
}

/// How output looks, resolved from options, environment and terminal.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) format: Format,
    /// Errors are JSON too.
    pub(crate) json: bool,
    pub(crate) headers: bool,
    pub(crate) color: bool,
    pub(crate) ascii: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) sort: Option<String>,
}

impl Look {
    /// A table without colours: what a pipe gets.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self {
            format: Format::Table,
            json: false,
            headers: true,
            color: false,
            ascii: false,
            columns: Vec::new(),
            sort: None,
        }
    }

    /// The text in the colour of its meaning, if there are colours.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "1;31",
            Style::Dim => "2",
            Style::Strong => "1",
            Style::Plain => return text.to_owned(),
        };
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// One of two drawings: for terminals with and without UTF-8.
    pub(crate) const fn pick(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }

    /// The form for people, whatever was asked for: with more columns if that was.
    pub(crate) fn for_people(&self) -> Format {
        if self.wide() {
            Format::Wide
        } else {
            Format::Table
        }
    }

    pub(crate) fn wide(&self) -> bool {
        self.format == Format::Wide
    }
}

/// The text without control characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(style: Style, text: impl AsRef<str>) -> Self {
        Self {
            text: clean(text.as_ref()),
            style,
        }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self::new(Style::Plain, value.to_string())
    }
}

/// `-` for what has no value.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> Cell {
    value.map_or_else(|| Cell::new(Style::Dim, "-"), Cell::from)
}

#[derive(Clone, Debug)]
struct Column {
    name: &'static str,
    wide_only: bool,
    right: bool,
}

/// Rows under named columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Columns by name; `+NAME` only in wide output, `NAME>` with its values to the right.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        let column = |spec: &&'static str| {
            let name = spec.strip_prefix('+').unwrap_or(spec);
            Column {
                wide_only: spec.starts_with('+'),
                right: name.ends_with('>'),
                name: name.strip_suffix('>').unwrap_or(name),
            }
        };
        Self {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, one cell for every column, wide or not.
    ///
    /// # Panics
    ///
    /// If the number of cells is not that of the columns: a mistake of the caller.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "one cell for each column");
        self.rows.push(cells);
    }

    fn index_of(&self, name: &str) -> Result<usize, Failure> {
        self.columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let known: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
                let mut failure = Failure::usage(format!("there is no column \"{name}\""));
                failure.near = vswitch_api::text::nearest(name, known.iter().copied())
                    .map(|near| (name.to_owned(), near.to_lowercase()));
                failure.fact("known", known.join(", "))
            })
    }

    /// The table as text.
    ///
    /// # Errors
    ///
    /// `--columns` or `--sort` names no column of this table.
    fn text(&self, look: &Look) -> Result<String, Failure> {
        let shown: Vec<usize> = if look.columns.is_empty() {
            (0..self.columns.len())
                .filter(|&n| look.wide() || !self.columns[n].wide_only)
                .collect()
        } else {
            look.columns
                .iter()
                .map(|name| self.index_of(name))
                .collect::<Result<_, _>>()?
        };
        let mut rows: Vec<&Vec<Cell>> = self.rows.iter().collect();
        if let Some(name) = &look.sort {
            let by = self.index_of(name)?;
            rows.sort_by(|a, b| sort_key(&a[by].text).cmp(&sort_key(&b[by].text)));
        }
        let headers = look.headers.then(|| {
            self.columns
                .iter()
                .map(|column| Cell::new(Style::Strong, column.name))
                .collect::<Vec<_>>()
        });
        let lines: Vec<&Vec<Cell>> = headers.iter().chain(rows).collect();
        let widths: Vec<usize> = shown
            .iter()
            .map(|&n| {
                lines
                    .iter()
                    .map(|line| line[n].text.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in lines {
            push_line(&mut text, line, &shown, &widths, &self.columns, look);
        }
        Ok(text)
    }
}

fn push_line(
    text: &mut String,
    line: &[Cell],
    shown: &[usize],
    widths: &[usize],
    columns: &[Column],
    look: &Look,
) {
    let start = text.len();
    for (&n, &width) in shown.iter().zip(widths) {
        if text.len() > start {
            text.push_str("  ");
        }
        let pad = " ".repeat(width - line[n].text.chars().count());
        let painted = look.paint(line[n].style, &line[n].text);
        if columns[n].right {
            text.push_str(&pad);
            text.push_str(&painted);
        } else {
            text.push_str(&painted);
            text.push_str(&pad);
        }
    }
    text.truncate(text.trim_end_matches(' ').len().max(start));
    text.push('\n');
}

/// Numbers by value and before words, so that 9 comes before 10.
fn sort_key(text: &str) -> (Option<std::cmp::Reverse<u64>>, u64, String) {
    match text.parse::<u64>() {
        Ok(number) => (None, number, String::new()),
        Err(_) => (Some(std::cmp::Reverse(0)), 0, text.to_lowercase()),
    }
}

/// Two columns without headings: one object in detail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts(Vec<(String, Cell)>);

impl Facts {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Cell>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds the fact if there is one.
    pub(crate) fn maybe<T: Into<Cell>>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The facts, indented below a heading.
    pub(crate) fn text(&self, look: &Look, indent: &str) -> String {
        let width = self
            .0
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (name, cell) in &self.0 {
            let pad = " ".repeat(width - name.chars().count());
            let value = look.paint(cell.style, &cell.text);
            text.push_str(
                format!("{indent}{}{pad}  {value}", look.paint(Style::Dim, name)).trim_end(),
            );
            text.push('\n');
        }
        text
    }
}

/// What people read of a view.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Table(Table),
    /// Lines that end with a line end.
    Text(String),
}

/// One answer in all its forms.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) json: Value,
    pub(crate) body: Body,
    pub(crate) names: Vec<String>,
}

impl View {
    /// A table of the items of a list.
    ///
    /// # Panics
    ///
    /// If `items` cannot be JSON: the reply types always can.
    pub(crate) fn table(items: &impl serde::Serialize, table: Table, names: Vec<String>) -> Self {
        Self {
            json: to_json(items),
            body: Body::Table(table),
            names,
        }
    }

    /// A text about one value.
    ///
    /// # Panics
    ///
    /// As [`View::table`].
    pub(crate) fn text(value: &impl serde::Serialize, text: String, names: Vec<String>) -> Self {
        Self {
            json: to_json(value),
            body: Body::Text(text),
            names,
        }
    }

    /// The bytes that the look asks for.
    ///
    /// # Errors
    ///
    /// `--columns` or `--sort` names no column.
    pub(crate) fn print(&self, look: &Look) -> Result<String, Failure> {
        match look.format {
            Format::Table | Format::Wide => match &self.body {
                Body::Table(table) => table.text(look),
                Body::Text(text) => Ok(text.clone()),
            },
            Format::Json => Ok(format!("{:#}\n", self.json)),
            Format::Jsonl => Ok(match &self.json {
                Value::Array(items) => items.iter().map(|item| format!("{item}\n")).collect(),
                value => format!("{value}\n"),
            }),
            Format::Name => Ok(self
                .names
                .iter()
                .map(|name| format!("{}\n", clean(name)))
                .collect()),
        }
    }
}

/// The JSON of a reply type.
///
/// # Panics
///
/// Never for the reply types: they are plain structs with text keys.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("reply types are plain data")
}

/// Writes and flushes: a reader sees each answer whole.
pub(crate) fn write_out(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["NAME", "FRAMES>", "+MAC"]);
        table.row(vec!["b".into(), 10.into(), "m1".into()]);
        table.row(vec![
            Cell::new(Style::Good, "a-long"),
            9.into(),
            "m2".into(),
        ]);
        table
    }

    #[test]
    fn columns_fit_and_no_line_ends_in_spaces() {
        let text = sample().text(&Look::plain()).unwrap();
        assert_eq!(text, "NAME    FRAMES\nb           10\na-long       9\n");
    }

    #[test]
    fn wide_adds_columns_and_sort_knows_numbers() {
        let look = Look {
            format: Format::Wide,
            sort: Some("frames".into()),
            ..Look::plain()
        };
        assert_eq!(
            sample().text(&look).unwrap(),
            "NAME    FRAMES  MAC\na-long       9  m2\nb           10  m1\n"
        );
    }

    #[test]
    fn columns_are_chosen_by_name_and_a_wrong_name_is_told() {
        let look = Look {
            headers: false,
            columns: vec!["mac".into(), "name".into()],
            ..Look::plain()
        };
        assert_eq!(sample().text(&look).unwrap(), "m1  b\nm2  a-long\n");
        let look = Look {
            columns: vec!["frame".into()],
            ..Look::plain()
        };
        let failure = sample().text(&look).unwrap_err();
        assert_eq!(failure.what, "there is no column \"frame\"");
        assert_eq!(failure.near.as_ref().unwrap().1, "frames");
    }

    #[test]
    fn colour_does_not_change_the_alignment() {
        let look = Look {
            color: true,
            headers: false,
            ..Look::plain()
        };
        assert_eq!(
            sample().text(&look).unwrap(),
            "b       10\n\u{1b}[32ma-long\u{1b}[0m   9\n"
        );
    }

    #[test]
    fn each_format_comes_from_the_same_value() {
        let view = View::table(
            &serde_json::json!([{"name": "b"}, {"name": "a"}]),
            sample(),
            vec!["b".into(), "a".into()],
        );
        let print = |format| {
            view.print(&Look {
                format,
                ..Look::plain()
            })
            .unwrap()
        };
        assert_eq!(print(Format::Jsonl), "{\"name\":\"b\"}\n{\"name\":\"a\"}\n");
        assert_eq!(print(Format::Name), "b\na\n");
        assert_eq!(
            serde_json::from_str::<Value>(&print(Format::Json)).unwrap(),
            view.json
        );
    }
}
