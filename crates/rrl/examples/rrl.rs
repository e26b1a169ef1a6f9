//! Learns rules from a table and shows them.
//!
//! ```text
//! rrl fit  TABLE [--info FILE | --label COLUMN] [options]   train; F1 of each fold, then the rules
//! rrl plot RESULTS.jsonl OUT.svg                            size against F1 of printed results
//! ```
//! `TABLE` is a `.data` file with its `.info` file (one `name continuous|discrete` a line, then
//! `LABEL_POS n`), any CSV with a header (`--label`), or with `--sparse N` lines of `class TAB ids`.
//! Run without arguments for all options.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use rrl::{
    Column, Dataset, DiscretiseConfig, Literal, Objective, Rows, RrlConfig, RrlModel, SparseBuilder, Table, Targets,
    Unseen, discretise, encode, fit, macro_f1,
};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: rrl fit TABLE [options]
       rrl plot RESULTS.jsonl OUT.svg
  --info FILE        column types and label of a .data file without header
  --label COLUMN     label column of a CSV with header
  --sparse N         TABLE holds lines of `class TAB literal ids`, ids below N
  --folds FILE       CSV `original_row,shuffled_pos,test_fold`: a model a fold, tested on it
  --fold K           only this fold
  --inner            test on a fifth of each training fold instead of the test fold, to choose settings
  --set KEY=JSON     a training setting, such as --set nodes=[256]; may be repeated
  --cut KEY=JSON     a setting of the discretisation, such as --cut n_cuts=30
  --show FORM        print the rules of the last model: text, json, markdown or none (default text)
  --name TEXT        name in the printed results
  --progress         loss of each epoch on stderr";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("fit") => fit_table(&Options::parse(&arguments[1..])?),
        Some("plot") if arguments.len() == 3 => {
            let results = std::fs::read_to_string(&arguments[1])?;
            std::fs::write(&arguments[2], plot(&results)?)?;
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

#[derive(Default)]
struct Options {
    table: String,
    info: Option<String>,
    label: Option<String>,
    sparse: Option<usize>,
    folds: Option<String>,
    fold: Option<usize>,
    inner: bool,
    training: Vec<(String, Value)>,
    cuts: Vec<(String, Value)>,
    show: String,
    name: Option<String>,
    progress: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self { show: "text".to_owned(), ..Self::default() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or(format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--info" => options.info = Some(value()?),
                "--label" => options.label = Some(value()?),
                "--sparse" => options.sparse = Some(value()?.parse()?),
                "--folds" => options.folds = Some(value()?),
                "--fold" => options.fold = Some(value()?.parse()?),
                "--inner" => options.inner = true,
                "--set" => options.training.push(setting(&value()?)?),
                "--cut" => options.cuts.push(setting(&value()?)?),
                "--show" => options.show = value()?,
                "--name" => options.name = Some(value()?),
                "--progress" => options.progress = true,
                table if !table.starts_with("--") && options.table.is_empty() => table.clone_into(&mut options.table),
                unknown => return Err(format!("unknown argument {unknown}\n{USAGE}").into()),
            }
        }
        if options.table.is_empty() {
            return Err(USAGE.into());
        }
        Ok(options)
    }
}

fn setting(text: &str) -> Outcome<(String, Value)> {
    let (key, value) = text.split_once('=').ok_or(format!("{text} is not KEY=JSON"))?;
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

/// A default with some keys replaced.
fn with_settings<T: serde::Serialize + serde::de::DeserializeOwned>(
    default: &T,
    settings: &[(String, Value)],
) -> Outcome<T> {
    let mut value = serde_json::to_value(default)?;
    for (key, setting) in settings {
        let known = value.get_mut(key).ok_or(format!("unknown setting {key}"))?;
        known.clone_from(setting);
    }
    Ok(serde_json::from_value(value)?)
}

/// Inputs before discretisation.
enum Inputs {
    Table(Table),
    Sparse(Rows),
}

impl Inputs {
    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Table(table) => Self::Table(table.select(rows)),
            Self::Sparse(sparse) => Self::Sparse(sparse.select(rows)),
        }
    }

    fn literals(&self, config: &DiscretiseConfig) -> Outcome<Vec<Literal>> {
        Ok(match self {
            Self::Table(table) => discretise(table, config)?.literals,
            Self::Sparse(rows) => (0..rows.n_literals()).map(|at| Literal::new(format!("has {at}"))).collect(),
        })
    }

    fn rows(&self, literals: &[Literal]) -> Outcome<Rows> {
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
fn read(options: &Options) -> Outcome<(Inputs, Vec<usize>, Vec<String>)> {
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
        let number = |cell: &str| if cell == "?" || cell.is_empty() { Ok(f64::NAN) } else { cell.parse::<f64>() };
        let continuous = match &kinds {
            Some(kinds) => kinds[at] == "continuous",
            None => rows.iter().all(|row| number(&row[at]).is_ok()),
        };
        let column = if continuous {
            let values = rows.iter().map(|row| if row[at].contains('?') { Ok(f64::NAN) } else { number(&row[at]) });
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

/// Training and test rows of each fold, both in the shuffled order of the fold file.
fn splits(options: &Options, n_rows: usize) -> Outcome<Vec<(usize, Vec<usize>, Vec<usize>)>> {
    let Some(path) = &options.folds else {
        let all: Vec<usize> = (0..n_rows).collect();
        return Ok(vec![(0, all.clone(), all)]);
    };
    let mut order = Vec::new();
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        let numbers: Vec<usize> = line.split(',').map(|cell| cell.trim().parse()).collect::<Result<_, _>>()?;
        let [row, place, fold] = numbers[..] else { return Err("a fold line without three numbers".into()) };
        order.push((place, row, fold));
    }
    if order.len() != n_rows {
        return Err(format!("the folds are of {} rows, the table has {n_rows}", order.len()).into());
    }
    order.sort_unstable();
    let n_folds = order.iter().map(|entry| entry.2).max().unwrap_or(0) + 1;
    Ok((0..n_folds)
        .filter(|&fold| options.fold.is_none_or(|only| only == fold))
        .map(|fold| {
            let rows = |test: bool| -> Vec<usize> {
                order.iter().filter(|entry| (entry.2 == fold) == test).map(|entry| entry.1).collect()
            };
            let (train, test) = (rows(false), rows(true));
            if options.inner {
                let (test, train): (Vec<_>, Vec<_>) = train.into_iter().enumerate().partition(|(at, _)| at % 5 == 0);
                let rows = |pairs: Vec<(usize, usize)>| pairs.into_iter().map(|(_, row)| row).collect();
                return (fold, rows(train), rows(test));
            }
            (fold, train, test)
        })
        .collect())
}

fn fit_table(options: &Options) -> Outcome<()> {
    let config = with_settings(&RrlConfig::default(), &options.training)?;
    let cuts = with_settings(&DiscretiseConfig::default(), &options.cuts)?;
    let (inputs, labels, classes) = read(options)?;
    let mut last = None;
    for (fold, train, test) in splits(options, labels.len())? {
        let of = |rows: &[usize]| -> Vec<usize> { rows.iter().map(|&row| labels[row]).collect() };
        let train_inputs = inputs.select(&train);
        let literals = train_inputs.literals(&cuts)?;
        let data = Dataset {
            rows: train_inputs.rows(&literals)?,
            targets: Targets::Classes { labels: of(&train), names: classes.clone() },
            literals,
            linear: None,
        };
        let start = Instant::now();
        let model = fit(&data, Objective::Classify, &config, |progress| {
            if options.progress && progress.epoch_done {
                eprintln!("epoch {}: loss {:.5}, best {:?}", progress.epoch, progress.loss, progress.best);
            }
            ControlFlow::Continue(())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let f1 = |inputs: &Inputs, rows: &[usize]| -> Outcome<f64> {
            let scores = model.scores(&inputs.rows(&data.literals)?, None)?;
            Ok(macro_f1(&of(rows), &model.classify(&scores)))
        };
        let pruned = model.rules().pruned(&data.rows)?;
        let result = json!({
            "name": options.name.as_deref().unwrap_or(&options.table),
            "fold": fold,
            "f1": f1(&inputs.select(&test), &test)?,
            "train_f1": f1(&train_inputs, &train)?,
            "rules": pruned.n_scored(),
            "edges": pruned.n_edges(),
            "log_edges": (pruned.n_edges().max(1) as f64).ln(),
            "rules_kept": model.rules().n_scored(),
            "literals": data.literals.len(),
            "seconds": seconds,
            "rows_per_second": (train.len() * config.epochs) as f64 / seconds,
        });
        println!("{result}");
        last = Some((model, data));
    }
    if let Some((model, data)) = last {
        show(options, &model, &data)?;
    }
    Ok(())
}

fn show(options: &Options, model: &RrlModel, data: &Dataset) -> Outcome<()> {
    match options.show.as_str() {
        "text" => print!("{}", model.rules()),
        "json" => println!("{}", model.to_json()),
        "markdown" => {
            let statistics = model.rules().statistics(&data.rows, &data.targets)?;
            print!("{}", model.rules().to_markdown(Some(&statistics)));
        }
        "none" => {}
        other => return Err(format!("unknown form {other}\n{USAGE}").into()),
    }
    Ok(())
}

/// Mean macro F1 against the logarithm of the size, a line for each name, points ordered by size.
///
/// Results of one name are grouped by `setting` if given, else all are one point.
fn plot(results: &str) -> Outcome<String> {
    let [width, height, left, right, top, bottom]: [f64; 6] =
        [760.0, 460.0, 60.0, 170.0, 20.0, 50.0];
    let mut groups: std::collections::BTreeMap<(String, String), Vec<(f64, f64)>> = std::collections::BTreeMap::new();
    for line in results.lines().filter(|line| line.starts_with('{')) {
        let value: Value = serde_json::from_str(line)?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| value[key].as_f64().ok_or(format!("a result without {key}"));
        groups.entry((text("name"), text("setting"))).or_default().push((number("edges")?, number("f1")?));
    }
    let mut lines: std::collections::BTreeMap<String, Vec<(f64, f64)>> = std::collections::BTreeMap::new();
    for ((name, _), points) in groups {
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        lines.entry(name).or_default().push((mean(|point| point.0).max(1.0).ln(), 100.0 * mean(|point| point.1)));
    }
    let all: Vec<(f64, f64)> = lines.values().flatten().copied().collect();
    if all.is_empty() {
        return Err("no results to plot".into());
    }
    let most = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    let least = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
    let (x_end, y_start) = (most(|point| point.0).ceil().max(1.0), (least(|point| point.1) / 10.0).floor() * 10.0);
    let x = |value: f64| left + value / x_end * (width - left - right);
    let y = |value: f64| top + (100.0 - value) / (100.0 - y_start).max(1.0) * (height - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for tick in 0..=x_end as usize {
        let at = x(tick as f64);
        svg += &format!(
            "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>\n",
            height - bottom, height - bottom + 16.0
        );
    }
    let mut tick = y_start;
    while tick <= 100.0 {
        let at = y(tick);
        svg += &format!(
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>\n",
            width - right, left - 6.0, at + 4.0
        );
        tick += 10.0;
    }
    svg += &format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">ln(edges)</text>\n<text x=\"16\" y=\"{:.1}\" transform=\"rotate(-90 16 {:.1})\" text-anchor=\"middle\">macro F1, %</text>\n",
        (left + width - right) / 2.0, height - 12.0, (top + height - bottom) / 2.0, (top + height - bottom) / 2.0
    );
    // Dashes tell the lines apart without colour; names stand at their ends, moved apart.
    let dashes = ["", "6 3", "2 2", "8 3 2 3", "12 4"];
    let colours = ["#1b6ca8", "#c1440e", "#2e7d32", "#6a3d9a", "#8d6e00", "#333333", "#00838f", "#ad1457"];
    let mut ends = Vec::new();
    for (at, (name, points)) in lines.iter_mut().enumerate() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let path: Vec<String> = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let colour = colours[at % colours.len()];
        svg += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{}\"/>\n",
            path.join(" "), dashes[at % dashes.len()]
        );
        for (a, b) in points.iter() {
            svg += &format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>\n", x(*a), y(*b));
        }
        if let Some(end) = points.last() {
            ends.push((y(end.1), name.clone(), colour));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = top;
    for (at, name, colour) in ends {
        free = free.max(at) + 14.0;
        svg += &format!("<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>\n", width - right + 10.0, free - 10.0);
    }
    Ok(svg + "</svg>\n")
}
