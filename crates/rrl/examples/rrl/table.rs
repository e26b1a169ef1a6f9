//! Tables, `.data` files and sparse rows from files.

use std::collections::BTreeSet;

use rrl::{Column, DiscretiseConfig, Literal, Rows, SparseBuilder, Table, Unseen, discretise, encode};

use crate::{Options, Outcome};

/// Inputs before discretisation.
pub(crate) enum Inputs {
    Table(Table),
    Sparse(Rows),
}

impl Inputs {
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Table(table) => Self::Table(table.select(rows)),
            Self::Sparse(sparse) => Self::Sparse(sparse.select(rows)),
        }
    }

    pub(crate) fn literals(&self, config: &DiscretiseConfig) -> Outcome<Vec<Literal>> {
        Ok(match self {
            Self::Table(table) => discretise(table, config)?.literals,
            Self::Sparse(rows) => {
                (0..rows.n_literals()).map(|at| Literal::new(format!("has {at}"))).collect()
            }
        })
    }

    pub(crate) fn rows(&self, literals: &[Literal]) -> Outcome<Rows> {
        Ok(match self {
            Self::Table(table) => encode(literals, table, Unseen::Ignore)?,
            Self::Sparse(rows) => rows.clone(),
        })
    }
}

/// Cells of one CSV line; quotes may hold commas, and a doubled quote is one.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut quoted, mut characters) = (false, line.chars().peekable());
    while let Some(character) = characters.next() {
        let cell = cells.last_mut().expect("never empty");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                cell.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Inputs, labels and class names in sorted order.
pub(crate) fn read(options: &Options) -> Outcome<(Inputs, Vec<usize>, Vec<String>)> {
    let text = std::fs::read_to_string(&options.table)?;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    if let Some(n_literals) = options.sparse {
        let mut rows = SparseBuilder::new(n_literals);
        let mut labels = Vec::new();
        for line in lines {
            let (class, ids) = line.split_once('\t').ok_or("a line without tab")?;
            labels.push(class.to_owned());
            rows.push(&ids.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?)?;
        }
        let (labels, names) = numbered(&labels);
        return Ok((Inputs::Sparse(rows.finish()), labels, names));
    }
    let (names, kinds, label): (Vec<String>, Option<Vec<String>>, usize) = if let Some(info) = &options.info {
        let info = std::fs::read_to_string(info)?;
        let pairs: Vec<(&str, &str)> =
            info.lines().filter_map(|line| line.trim().rsplit_once(char::is_whitespace)).collect();
        let ((_, position), columns) = pairs.split_last().ok_or("an empty .info file")?;
        let position: i64 = position.parse()?;
        let label = if position < 0 { columns.len() as i64 + position } else { position };
        let names = columns.iter().map(|(name, _)| name.trim().to_owned()).collect();
        (names, Some(columns.iter().map(|(_, kind)| (*kind).to_owned()).collect()), usize::try_from(label)?)
    } else {
        let names = cells(lines.next().ok_or("an empty file")?);
        let label = options.label.as_ref().ok_or("a CSV with header needs --label COLUMN")?;
        let at = names.iter().position(|name| name == label).ok_or(format!("no column {label}"))?;
        (names, None, at)
    };
    let rows: Vec<Vec<String>> = lines.map(cells).collect();
    if let Some(row) = rows.iter().position(|row| row.len() != names.len()) {
        return Err(format!("row {row} has {} cells, expected {}", rows[row].len(), names.len()).into());
    }
    let mut columns = Vec::new();
    for (at, name) in names.iter().enumerate().filter(|(at, _)| *at != label) {
        let number =
            |cell: &str| if cell == "?" || cell.is_empty() { Ok(f64::NAN) } else { cell.parse::<f64>() };
        let continuous = match &kinds {
            Some(kinds) => kinds[at] == "continuous",
            None => rows.iter().all(|row| number(&row[at]).is_ok()),
        };
        let column = if continuous {
            let values =
                rows.iter().map(|row| if row[at].contains('?') { Ok(f64::NAN) } else { number(&row[at]) });
            Column::Numbers(values.collect::<Result<_, _>>()?)
        } else {
            // A question mark is a category like any other.
            Column::Categories(rows.iter().map(|row| Some(row[at].clone())).collect())
        };
        columns.push((name.clone(), column));
    }
    let (labels, classes) = numbered(&rows.iter().map(|row| row[label].clone()).collect::<Vec<_>>());
    Ok((Inputs::Table(Table::new(columns)?), labels, classes))
}

fn numbered(labels: &[String]) -> (Vec<usize>, Vec<String>) {
    let names: Vec<String> = labels.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
    (labels.iter().map(|label| names.binary_search(label).expect("collected above")).collect(), names)
}
