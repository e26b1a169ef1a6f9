//! Learns rules under several settings from lists written by `titlecard train ranker --dump`, and ranks others by
//! them.
//!
//! ```text
//! rank_bench TRAIN DEV|inner:N OUT.jsonl NAME [KEY=VALUE ...] [-- NAME [KEY=VALUE ...]] ...
//! ```
//!
//! Keys are settings of the table `[ranker]`, `seed`, and `share` (of the training questions). One JSON object a model goes to OUT: figures on DEV and the
//! rank of every question, for paired comparisons; its rules go to OUT.NAME.json.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use titlecard_engine::eval::metrics::KnownItemMetrics;
use titlecard_engine::rank::learn::{RankerConfig, learn};
use titlecard_engine::rank::training::{List, read_lists};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, dev, out, runs @ ..] = &arguments[..] else {
        return Err("see the head of this example".into());
    };
    let mut train = read_lists(Path::new(train))?;
    let dev = match dev.strip_prefix("inner:") {
        // Every so many questions of the training lists, to choose settings by.
        Some(n) => {
            let n: usize = n.parse()?;
            let (mut kept, mut held) = (Vec::new(), Vec::new());
            for (at, list) in train.into_iter().enumerate() {
                if at % n == 0 { held.push(list) } else { kept.push(list) }
            }
            train = kept;
            held
        }
        None => read_lists(Path::new(dev))?,
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(out)?;
    let first: Vec<f64> = dev.iter().map(|list| list.first_rank).collect();
    show(&mut file, "first stage", &first, "{}", 0.0)?;
    for run in runs.split(|word| word == "--") {
        let Some((name, settings)) = run.split_first() else { continue };
        let (mut table, mut seed, mut share) = (toml::Table::new(), 7, 1.0);
        for setting in settings {
            let (key, value) = setting.split_once('=').ok_or("settings are KEY=VALUE")?;
            match key {
                "seed" => seed = value.parse()?,
                "share" => share = value.parse::<f64>()?,
                _ => {
                    let parsed: toml::Table = toml::from_str(&format!("x = {value}"))?;
                    table.insert(key.to_owned(), parsed["x"].clone());
                }
            }
        }
        let config: RankerConfig = table.clone().try_into()?;
        let lists: &[List] = &train[..(train.len() as f64 * share) as usize];
        let started = Instant::now();
        let learned = learn(lists, &config, seed, &mut |_| std::ops::ControlFlow::Continue(()))?;
        let seconds = started.elapsed().as_secs_f64();
        let ranks: Vec<f64> =
            dev.iter().map(|list| list.rank_by(&learned.ranker.scores(&list.pool))).collect();
        let rules = learned.ranker.rules();
        let info = format!(
            "{{\"settings\": {:?}, \"rules\": {}, \"literals\": {}, \"loss\": {:.4}, \"questions\": {}}}",
            settings.join(" "),
            rules.rules().len(),
            rules.n_edges(),
            learned.curve.last().map_or(f64::NAN, |point| point.1),
            learned.n_lists
        );
        show(&mut file, name, &ranks, &info, seconds)?;
        std::fs::write(format!("{out}.{name}.json"), rules.to_json())?;
    }
    Ok(())
}

fn show(
    out: &mut impl Write,
    name: &str,
    ranks: &[f64],
    info: &str,
    seconds: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let metrics = KnownItemMetrics::from_ranks(ranks);
    let within = |k: f64| ranks.iter().filter(|&&rank| rank <= k).count() as f64 / ranks.len() as f64;
    println!(
        "{name:28} MRR {:.4} S@1 {:.3} S@10 {:.3} R@100 {:.3} R@1000 {:.3} {seconds:.0} s {info}",
        metrics.mrr,
        within(1.0),
        within(10.0),
        within(100.0),
        within(1000.0)
    );
    let ranks: Vec<String> = ranks.iter().map(f64::to_string).collect();
    writeln!(
        out,
        "{{\"name\": {name:?}, \"mrr\": {:.4}, \"info\": {info}, \"ranks\": [{}]}}",
        metrics.mrr,
        ranks.join(",")
    )?;
    Ok(())
}
