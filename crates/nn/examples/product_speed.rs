//! Speed of matrix products in the shapes of a language model, one thread: `cargo run --release -p nn
//! --example product_speed`.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::time::Instant;

use nn::skinny::{Precision, Weights};
use nn::{Operand, multiply_strided};

fn measure(name: &str, m: usize, k: usize, n: usize, flip: (bool, bool), accumulate: bool) {
    let (a, b) = (vec![0.5_f32; m * k], vec![0.25_f32; k * n]);
    let mut out = vec![0.0_f32; m * n];
    let left = if flip.0 { Operand::rows_of(&a, k, m).t() } else { Operand::rows_of(&a, m, k) };
    let right = if flip.1 { Operand::rows_of(&b, n, k).t() } else { Operand::rows_of(&b, k, n) };
    let mut best = f64::INFINITY;
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < 0.3 {
        let before = Instant::now();
        multiply_strided(left, right, &mut out, n, 1.0, accumulate);
        best = best.min(before.elapsed().as_secs_f64());
    }
    let speed = 2.0 * (m * n * k) as f64 / best / 1e9;
    println!("{name:34} {m:5} x {k:5} x {n:5} left {} right {} {speed:7.1} GFLOP/s", flip.0, flip.1);
}

fn main() {
    for flip in [(false, false), (false, true), (true, false), (true, true)] {
        measure("plain", 512, 512, 512, flip, false);
    }
    for block in [128, 256, 512, 1024, 2048] {
        measure("logits by token", block, 128, 256, (false, false), false);
        measure("logits by position", 256, 128, block, (false, true), false);
        measure("gradient of head", block, 256, 128, (false, false), true);
        measure("gradient of hidden", 256, block, 128, (true, false), true);
    }
    for (name, n_in, n_out) in [("14m", 128, 50_304), ("70m", 512, 2048), ("70m head", 512, 50_304)] {
        let rows = vec![0.5_f32; n_in * n_out];
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let weights = Weights::new(&rows, n_in, precision);
            for m in [1, 4, 8] {
                let (x, mut out) = (vec![0.5_f32; m * n_in], vec![0.0; m * n_out]);
                let mut best = f64::INFINITY;
                let started = Instant::now();
                while started.elapsed().as_secs_f64() < 0.2 {
                    let before = Instant::now();
                    weights.product(&x, &mut out);
                    best = best.min(before.elapsed().as_secs_f64());
                }
                let read = weights.size_bytes() as f64 / best / 1e9;
                println!("{name:10} {precision:?} {m} rows: {read:6.1} GB/s, {:.0} us", best * 1e6);
            }
        }
    }
}
