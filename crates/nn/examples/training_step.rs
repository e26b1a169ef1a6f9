//! Times one training step of the title regressor's net and prints JSON; `benchmarks/nn/training_step.py`
//! runs it beside PyTorch.
//!
//! `training_step BATCH DIM THREADS REPEATS` → `{"batch":…,"median_ms":…,"gflops":…}`

use std::time::Instant;

use nn::{Activation, Loss, Matrix, Mlp, MlpConfig, Optimizer, Workspace};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let &[batch, dim, threads, repeats] = numbers.as_slice() else {
        return Err("usage: training_step BATCH DIM THREADS REPEATS".into());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let sizes = vec![dim, 1024, 512, 256, 512, dim];
    // Forward, gradient of the weights, gradient of the inputs (not for the first layer): 2 operations
    // a weight and row each.
    let weights: usize = sizes.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let operations = (6 * weights - 2 * sizes[0] * sizes[1]) * batch;
    let config = MlpConfig {
        sizes,
        activation: Activation::Relu,
        dropout: vec![0.2, 0.2, 0.2, 0.0],
        residual_io: false,
        seed: 1,
    };
    let mut net = Mlp::new(&config)?;
    let mut optimizer = Optimizer::sgd(&net, 0.01, 0.0, 1e-4);
    let values = |k: usize| (0..batch * dim).map(|at| ((at * k % 997) as f32 - 498.0) / 498.0).collect();
    let input = Matrix::from_vec(batch, dim, values(31));
    let target = Matrix::from_vec(batch, dim, values(17));
    let mut workspace = Workspace::new(&net, batch);
    let mut gradient = Matrix::zeros(batch, dim);
    let mut times = Vec::with_capacity(repeats);
    // Inside the pool: a step is a few dozen parallel passes, and entering it for each costs more than
    // some of them.
    pool.install(|| {
        for step in 0..repeats + 3 {
            let started = Instant::now();
            let predicted = net.forward_train(&input, step as u64, &mut workspace);
            Loss::L1.value_and_grad(predicted, &target, &mut gradient);
            net.backward(&gradient, &mut workspace);
            optimizer.step(&mut net, workspace.gradients());
            // The first steps touch fresh memory.
            if step >= 3 {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    });
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let gflops = operations as f64 / median / 1e6;
    let line = format!(
        "{{\"batch\":{batch},\"threads\":{threads},\"median_ms\":{median:.3},\"gflops\":{gflops:.1}}}"
    );
    std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes())?;
    Ok(())
}
