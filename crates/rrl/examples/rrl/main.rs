//! Learns rules from a table and shows them.
//!
//! ```text
//! rrl fit  TABLE [--info FILE | --label COLUMN] [options]   train; F1 of each fold, then the rules
//! rrl plot RESULTS.jsonl OUT.svg                            size against F1 of printed results
//! rrl speed TABLE [options]                                 rows a second of training and inference
//! rrl sparse N_ROWS N_LITERALS N_ONES N_NODES               one epoch over random sparse rows
//! ```
//! `TABLE` is a `.data` file with its `.info` file (one `name continuous|discrete` a line, then
//! `LABEL_POS n`), any CSV with a header (`--label`), or with `--sparse N` lines of `class TAB ids`.
//! Run without arguments for all options.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod plot;
mod speed;
mod table;

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use rrl::{Dataset, DiscretiseConfig, Objective, RrlConfig, RrlModel, Targets, fit, macro_f1};
use serde_json::{Value, json};

use crate::table::{Inputs, read};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: rrl fit TABLE [options]
       rrl plot RESULTS.jsonl OUT.svg
       rrl speed TABLE [options]
       rrl sparse N_ROWS N_LITERALS N_ONES N_NODES
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
            std::fs::write(&arguments[2], plot::plot(&results)?)?;
            Ok(())
        }
        Some("speed") => speed::speed(&Options::parse(&arguments[1..])?),
        Some("sparse") if arguments.len() == 5 => {
            let numbers: Vec<usize> =
                arguments[1..].iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            speed::sparse(numbers[0], numbers[1], numbers[2], numbers[3])
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
                table if !table.starts_with("--") && options.table.is_empty() => {
                    table.clone_into(&mut options.table);
                }
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
pub(crate) fn with_settings<T: serde::Serialize + serde::de::DeserializeOwned>(
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

/// A fold with its training and test rows.
type Split = (usize, Vec<usize>, Vec<usize>);

/// Training and test rows of each fold, both in the shuffled order of the fold file.
fn splits(options: &Options, n_rows: usize) -> Outcome<Vec<Split>> {
    let Some(path) = &options.folds else {
        let all: Vec<usize> = (0..n_rows).collect();
        return Ok(vec![(0, all.clone(), all)]);
    };
    let mut order = Vec::new();
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        let numbers: Vec<usize> =
            line.split(',').map(|cell| cell.trim().parse()).collect::<Result<_, _>>()?;
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
                let (test, train): (Vec<_>, Vec<_>) =
                    train.into_iter().enumerate().partition(|(at, _)| at % 5 == 0);
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
