//! Rows a second of training and inference, and a run over many sparse rows.

use std::ops::ControlFlow;
use std::time::Instant;

use rrl::{Dataset, DiscretiseConfig, Literal, Objective, Penalty, RrlConfig, SparseBuilder, Targets, fit};
use serde_json::json;

use crate::table::read;
use crate::{Options, Outcome, with_settings};

/// Passes over the table for one measurement: the scheduler counts busy time by ticks.
const PASSES: usize = 60;

/// Training: the best of five epochs of steps, as `fit` runs them. Inference: the trained list scores the
/// encoded rows, best of many passes.
pub(crate) fn speed(options: &Options) -> Outcome<()> {
    let config = with_settings(&RrlConfig::default(), &options.training)?;
    let cuts = with_settings(&DiscretiseConfig::default(), &options.cuts)?;
    let (inputs, labels, classes) = read(options)?;
    let literals = inputs.literals(&cuts)?;
    let data = Dataset {
        rows: inputs.rows(&literals)?,
        targets: Targets::Classes { labels, names: classes },
        literals,
        linear: None,
    };
    let n_rows = data.rows.n_rows();
    let config = RrlConfig { epochs: 6, ..config };
    let (mut last, mut last_busy) = (Instant::now(), busy_seconds());
    let (mut epochs, mut busy) = (Vec::new(), Vec::new());
    let model = fit(&data, Objective::Classify, &config, |progress| {
        if progress.epoch_done {
            epochs.push(last.elapsed().as_secs_f64());
            busy.push(busy_seconds() - last_busy);
            (last, last_busy) = (Instant::now(), busy_seconds());
        }
        ControlFlow::Continue(())
    })?;
    // The first epoch holds the preparation.
    let least = |seconds: &[f64]| seconds[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let (mut pass, mut busy_pass) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..4 {
        let start_busy = busy_seconds();
        for _ in 0..PASSES {
            let start = Instant::now();
            let scores = model.scores(&data.rows, None)?;
            pass = pass.min(start.elapsed().as_secs_f64());
            std::hint::black_box(scores);
        }
        busy_pass = busy_pass.min((busy_seconds() - start_busy) / PASSES as f64);
    }
    let result = json!({
        "name": options.name.as_deref().unwrap_or(&options.table),
        "nodes": config.nodes,
        "activation": config.activation,
        "threads": config.n_threads,
        "literals": data.literals.len(),
        "batch": config.batch_size,
        "train_rows_per_second": n_rows as f64 / least(&epochs),
        "train_rows_per_busy_second": n_rows as f64 / least(&busy),
        "inference_rows_per_second": n_rows as f64 / pass,
        "inference_rows_per_busy_second": n_rows as f64 / busy_pass,
        "rules": model.rules().n_scored(),
    });
    println!("{result}");
    Ok(())
}

/// Seconds the threads of this process have run on a core; on a machine shared with others that is less than
/// passes.
fn busy_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return f64::NAN };
    let of_thread = |entry: std::fs::DirEntry| {
        let schedule = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        schedule.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
    };
    threads.flatten().map(of_thread).sum::<f64>() / 1e9
}

/// One epoch over random sparse rows whose class depends on their literals; prints time and peak memory.
pub(crate) fn sparse(n_rows: usize, n_literals: usize, n_ones: usize, n_nodes: usize) -> Outcome<()> {
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((u128::from(state) * below as u128) >> 64) as usize
    };
    let start = Instant::now();
    let mut rows = SparseBuilder::new(n_literals);
    let mut labels = Vec::with_capacity(n_rows);
    let mut holding = Vec::new();
    for _ in 0..n_rows {
        holding.clear();
        // The square of an even draw: some literals are much more frequent than others.
        holding.extend((0..n_ones).map(|_| {
            let share = draw(1 << 30) as f64 / f64::from(1 << 30);
            (share * share * n_literals as f64) as u32
        }));
        rows.push(&holding)?;
        labels.push(usize::from(holding.iter().any(|&literal| literal % 1000 == 7)));
    }
    let data = Dataset {
        rows: rows.finish(),
        literals: (0..n_literals).map(|at| Literal::new(format!("x{at}"))).collect(),
        targets: Targets::Classes { labels, names: vec!["no".to_owned(), "yes".to_owned()] },
        linear: None,
    };
    let made = start.elapsed().as_secs_f64();
    let config = RrlConfig {
        nodes: vec![n_nodes],
        epochs: 1,
        batch_size: 256,
        penalty: Penalty { squares: 1e-7, ..Penalty::default() },
        ..RrlConfig::default()
    };
    let start = Instant::now();
    let mut losses = Vec::new();
    let model = fit(&data, Objective::Classify, &config, |progress| {
        losses.push(progress.loss);
        ControlFlow::Continue(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
    let result = json!({
        "rows": n_rows, "literals": n_literals, "ones_a_row": n_ones, "nodes_a_kind": n_nodes,
        "seconds_making_rows": made, "seconds": seconds, "rows_per_second": n_rows as f64 / seconds,
        "peak_memory": peak, "first_loss": losses.first(), "epoch_loss": losses.last(),
        "rules": model.rules().n_scored(),
    });
    println!("{result}");
    Ok(())
}
