//! Times answers with their reasons, and checks that what they show adds up.
//!
//! ```text
//! search_bench FOLDER QUERIES [N]      a working folder with index, graph and rules; JSON lines of queries; at most N
//! ```
//!
//! On one thread. Prints the time to open, resident memory, percentiles of a whole answer of 10 films and of its stages,
//! the largest difference between a score and the sum of what is shown, and how many comparisons of the first two films
//! name a change that turns them round (each is ranked again and must do so).
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use titlecard_engine::config::{Config, ConfigBuilder};
use titlecard_engine::eval::queries::read_queries;
use titlecard_engine::pipeline::{self, Workspace};
use titlecard_engine::search::Scores;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, queries, rest @ ..] = &arguments[..] else {
        return Err("see the head of this example".into());
    };
    titlecard_engine::set_threads(1)?;
    let most: usize = rest.first().map_or(Ok(1000), |n| n.parse())?;
    let workspace = Workspace::new(folder);
    let mut builder = ConfigBuilder::default();
    for file in [workspace.ranking(), workspace.settings()] {
        if file.exists() {
            builder = builder.file(&file)?;
        }
    }
    let config: Config = builder.build()?;
    let started = Instant::now();
    let engine = pipeline::open_engine(&workspace, &config)?;
    println!("opened in {:.0} ms, {}", started.elapsed().as_secs_f64() * 1e3, memory());
    let (Some(ranker), Some(knowledge)) = (engine.ranker(), engine.knowledge()) else {
        return Err("the folder has no graph or no rules".into());
    };
    let queries = read_queries(Path::new(queries))?;
    let texts: Vec<&str> = queries.iter().take(most).map(|query| query.text.as_str()).collect();
    let mut times: [Vec<Duration>; 6] = Default::default();
    let (mut worst, mut n_hits, mut n_turned, mut n_compared) = (0.0_f64, 0, 0, 0);
    let mut scores = Scores::default();
    let encoded = engine.index().encoded.as_ref();
    let wanted = engine.fusion().as_array().map(|weight| weight > 0.0);
    let only = |parts: &[usize]| std::array::from_fn(|part| wanted[part] && parts.contains(&part));
    for (at, text) in texts.iter().enumerate() {
        let mut time = |stage: usize, run: &mut dyn FnMut()| {
            let started = Instant::now();
            run();
            // The first answers read the index from disk.
            if at >= 20 {
                times[stage].push(started.elapsed());
            }
        };
        let mut answer = None;
        time(0, &mut || answer = engine.search(text, 10).ok());
        let mut understood = None;
        time(1, &mut || understood = Some(knowledge.understand(text)));
        let understood = understood.unwrap();
        time(2, &mut || {
            drop(engine.score_parts(text, Some(&understood), only(&[0, 1]), encoded, &mut scores));
        });
        time(3, &mut || {
            drop(engine.score_parts(text, Some(&understood), only(&[2, 3]), encoded, &mut scores));
        });
        let mut pool = None;
        time(4, &mut || pool = engine.pool(text, encoded, &mut scores).ok());
        let (pool, _) = pool.unwrap();
        time(5, &mut || drop(ranker.scores(&pool)));
        let Some(answer) = answer else { continue };
        for hit in &answer.hits {
            let shown = hit.reasons.as_ref().unwrap().sum();
            worst = worst.max((shown - hit.score).abs());
            n_hits += 1;
        }
        if at % 10 == 0 && answer.hits.len() > 1 {
            let (a, b) = (&answer.hits[0], &answer.hits[1]);
            let comparison = engine.compare(text, a.film_idx, b.film_idx)?.unwrap();
            worst = worst.max((comparison.sum() - comparison.difference).abs());
            n_compared += 1;
            if let Some(change) = &comparison.counterfactual {
                assert_eq!((change.place_before, change.place_after), (2, 1), "{text}");
                n_turned += 1;
            }
        }
    }
    let names =
        ["whole answer, with reasons", "understanding", "BM25", "encoder", "first stage and pool", "rules"];
    for (name, times) in names.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!("{name:28} p50 {:6.2} ms  p95 {:6.2} ms  p99 {:6.2} ms", at(50), at(95), at(99));
    }
    println!(
        "{} questions, {n_hits} films: largest difference of score and sum shown {worst:.1e}",
        texts.len()
    );
    println!("{n_turned} of {n_compared} pairs can be turned round by at most three facts; {}", memory());
    Ok(())
}

/// Memory held now and at most.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned();
    format!("resident {} (at most {})", of("VmRSS:"), of("VmHWM:"))
}
