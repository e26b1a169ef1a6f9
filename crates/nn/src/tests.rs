//! Golden values of PyTorch and numeric gradients for every hand-written backward pass.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::mlp::Gradients;
use crate::{Activation, AdamConfig, Loss, Matrix, Mlp, MlpConfig, NnError, Optimizer, Workspace};

#[derive(Deserialize)]
struct Golden {
    sizes: Vec<usize>,
    batch: usize,
    temperature: f32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    activation: String,
    skip: bool,
    parameters: BTreeMap<String, Vec<f32>>,
    input: Vec<f32>,
    target: Vec<f32>,
    output: Vec<f32>,
    losses: BTreeMap<String, GoldenLoss>,
    optimizers: BTreeMap<String, BTreeMap<String, Vec<f32>>>,
}

#[derive(Deserialize)]
struct GoldenLoss {
    value: f32,
    gradients: BTreeMap<String, Vec<f32>>,
}

/// Expected values: PyTorch (fixtures/golden/mlp.py).
fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../fixtures/golden/mlp.json")).unwrap()
}

fn config(golden: &Golden, case: &Case) -> MlpConfig {
    let activation = match case.activation.as_str() {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        other => panic!("unknown activation {other}"),
    };
    let dropout = vec![0.0; golden.sizes.len() - 2];
    MlpConfig { sizes: golden.sizes.clone(), activation, dropout, residual_io: case.skip, seed: 0 }
}

/// Name and values of every parameter (or gradient), named as in PyTorch.
fn named(net: &Mlp, gradients: Option<&Gradients>) -> BTreeMap<String, Vec<f32>> {
    let (layers, skip) = match gradients {
        Some(gradients) => (&gradients.layers, &gradients.skip),
        None => (&net.layers, &net.skip),
    };
    let mut all = BTreeMap::new();
    for (at, layer) in layers.iter().enumerate() {
        all.insert(format!("layers.{at}.weight"), layer.weight.as_slice().to_vec());
        all.insert(format!("layers.{at}.bias"), layer.bias.clone());
    }
    if let Some(skip) = skip {
        all.insert("skip.weight".to_owned(), skip.weight.as_slice().to_vec());
    }
    all
}

fn load(golden: &Golden, case: &Case) -> Mlp {
    let mut net = Mlp::new(&config(golden, case)).unwrap();
    for (at, layer) in net.layers.iter_mut().enumerate() {
        layer.weight.as_mut_slice().copy_from_slice(&case.parameters[&format!("layers.{at}.weight")]);
        layer.bias.copy_from_slice(&case.parameters[&format!("layers.{at}.bias")]);
    }
    if let Some(skip) = &mut net.skip {
        skip.weight.as_mut_slice().copy_from_slice(&case.parameters["skip.weight"]);
    }
    net
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{what}[{at}]: {a} here, {b} in PyTorch");
    }
}

fn input_and_target(golden: &Golden, case: &Case) -> (Matrix, Matrix) {
    (
        Matrix::from_vec(golden.batch, golden.sizes[0], case.input.clone()),
        Matrix::from_vec(golden.batch, golden.sizes[golden.sizes.len() - 1], case.target.clone()),
    )
}

#[test]
fn outputs_losses_and_gradients_match_pytorch() {
    let golden = golden();
    for case in &golden.cases {
        let net = load(&golden, case);
        let (input, target) = input_and_target(&golden, case);
        assert_close("output", net.forward(&input).as_slice(), &case.output);
        assert_eq!(case.losses.len(), 4);
        for (name, expected) in &case.losses {
            let loss = match name.as_str() {
                "l1" => Loss::L1,
                "mse" => Loss::Mse,
                "cosine" => Loss::Cosine,
                "contrastive" => Loss::InBatchContrastive { temperature: golden.temperature },
                other => panic!("unknown loss {other}"),
            };
            let mut workspace = Workspace::new(&net, golden.batch);
            let predicted = net.forward_train(&input, 0, &mut workspace).clone();
            let mut gradient = Matrix::zeros(golden.batch, target.cols());
            let value = loss.value_and_grad(&predicted, &target, &mut gradient);
            net.backward(&gradient, &mut workspace);
            assert_close(name, &[value], &[expected.value]);
            for (parameter, found) in named(&net, Some(workspace.gradients())) {
                assert_close(&format!("{name} {parameter}"), &found, &expected.gradients[&parameter]);
            }
        }
    }
}

#[test]
fn three_steps_of_every_optimiser_match_pytorch() {
    let golden = golden();
    for case in &golden.cases {
        assert_eq!(case.optimizers.len(), 4);
        for (name, expected) in &case.optimizers {
            let mut net = load(&golden, case);
            let adam = |weight_decay, decoupled| AdamConfig {
                learning_rate: 0.01,
                weight_decay,
                decoupled,
                ..AdamConfig::default()
            };
            let mut optimizer = match name.as_str() {
                "sgd" => Optimizer::sgd(&net, 0.1, 0.0, 0.01),
                "sgd_momentum" => Optimizer::sgd(&net, 0.05, 0.9, 0.01),
                "adam" => Optimizer::adam(&net, adam(0.02, false)),
                "adam_w" => Optimizer::adam(&net, adam(0.1, true)),
                other => panic!("unknown optimiser {other}"),
            };
            let (input, target) = input_and_target(&golden, case);
            let mut workspace = Workspace::new(&net, golden.batch);
            let mut gradient = Matrix::zeros(golden.batch, target.cols());
            for step in 0..3 {
                let predicted = net.forward_train(&input, step, &mut workspace);
                Loss::Mse.value_and_grad(predicted, &target, &mut gradient);
                net.backward(&gradient, &mut workspace);
                optimizer.step(&mut net, workspace.gradients());
            }
            for (parameter, found) in named(&net, None) {
                assert_close(&format!("{name} {parameter}"), &found, &expected[&parameter]);
            }
        }
    }
}

fn value_at(net: &Mlp, input: &Matrix, target: &Matrix, loss: Loss) -> f64 {
    let mut workspace = Workspace::new(net, input.rows());
    let predicted = net.forward_train(input, 77, &mut workspace).clone();
    let mut gradient = Matrix::zeros(target.rows(), target.cols());
    f64::from(loss.value_and_grad(&predicted, target, &mut gradient))
}

/// The same dropout mask on both sides of the difference: it depends on the step's seed alone.
#[test]
fn gradients_through_dropout_are_those_of_the_masked_net() {
    let config = MlpConfig {
        sizes: vec![5, 8, 7, 4],
        activation: Activation::Tanh,
        dropout: vec![0.4, 0.25],
        residual_io: true,
        seed: 5,
    };
    let mut net = Mlp::new(&config).unwrap();
    // With a skip the last layer begins at zero; other values make every path carry a gradient.
    for (at, value) in net.layers[2].weight.as_mut_slice().iter_mut().enumerate() {
        *value = ((at * 37 % 23) as f32 - 11.0) / 20.0;
    }
    let values =
        |n: usize, k: usize| (0..n).map(|at| ((at * k % 19) as f32 - 9.0) / 9.0).collect::<Vec<f32>>();
    let input = Matrix::from_vec(6, 5, values(30, 7));
    let target = Matrix::from_vec(6, 4, values(24, 5));
    for loss in [Loss::Mse, Loss::Cosine, Loss::InBatchContrastive { temperature: 0.3 }] {
        let mut workspace = Workspace::new(&net, 6);
        let predicted = net.forward_train(&input, 77, &mut workspace).clone();
        let mut gradient = Matrix::zeros(6, 4);
        loss.value_and_grad(&predicted, &target, &mut gradient);
        net.backward(&gradient, &mut workspace);
        let n_dropped = workspace.gradients().layers[0].bias.iter().filter(|x| **x == 0.0).count();
        assert!(n_dropped < 8, "not everything is dropped");
        let h = 3e-3;
        for layer in 0..3 {
            for at in [0, 3, 11, 17] {
                let mut moved = net.clone();
                moved.layers[layer].weight.as_mut_slice()[at] += h;
                let plus = value_at(&moved, &input, &target, loss);
                moved.layers[layer].weight.as_mut_slice()[at] -= 2.0 * h;
                let minus = value_at(&moved, &input, &target, loss);
                let numeric = (plus - minus) / (2.0 * f64::from(h));
                let own = f64::from(workspace.gradients().layers[layer].weight.as_slice()[at]);
                assert!(
                    (numeric - own).abs() < 2e-3 * (1.0 + own.abs()),
                    "{loss:?} {layer} {at}: {numeric}, {own}"
                );
            }
        }
    }
}

#[test]
fn rows_without_direction_have_no_gradient() {
    let predicted = Matrix::from_rows(&[&[0.0, 0.0], &[1.0, 0.0]]);
    let target = Matrix::from_rows(&[&[1.0, 0.0], &[0.0, 0.0]]);
    let mut gradient = Matrix::from_rows(&[&[9.0, 9.0], &[9.0, 9.0]]);
    assert_eq!(Loss::Cosine.value_and_grad(&predicted, &target, &mut gradient), 1.0);
    assert_eq!(gradient.as_slice(), [0.0; 4]);
    let loss = Loss::InBatchContrastive { temperature: 0.1 };
    assert!(loss.value_and_grad(&predicted, &target, &mut gradient).is_finite());
    assert_eq!(gradient.row(0), [0.0; 2]);
}

/// Two rows with the very same target: neither is a wrong answer for the other.
#[test]
fn equal_targets_do_not_compete() {
    let predicted = Matrix::from_rows(&[&[1.0, 0.0], &[1.0, 0.0]]);
    let target = Matrix::from_rows(&[&[1.0, 0.0], &[1.0, 0.0]]);
    let mut gradient = Matrix::zeros(2, 2);
    let loss = Loss::InBatchContrastive { temperature: 0.05 };
    assert_eq!(loss.value_and_grad(&predicted, &target, &mut gradient), 0.0);
}

#[test]
fn the_number_of_threads_does_not_change_a_training() {
    let config = MlpConfig {
        sizes: vec![20, 64, 33, 20],
        activation: Activation::Relu,
        dropout: vec![0.2, 0.0],
        residual_io: true,
        seed: 9,
    };
    let input = Matrix::from_vec(300, 20, (0..6000).map(|i| ((i * 31 % 101) as f32 - 50.0) / 50.0).collect());
    let target = Matrix::from_vec(300, 20, (0..6000).map(|i| ((i * 17 % 89) as f32 - 44.0) / 44.0).collect());
    let train = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut net = Mlp::new(&config).unwrap();
            let mut optimizer = Optimizer::adam(&net, AdamConfig::default());
            let mut workspace = Workspace::new(&net, 300);
            let mut gradient = Matrix::zeros(300, 20);
            for step in 0..5 {
                let predicted = net.forward_train(&input, step, &mut workspace);
                Loss::InBatchContrastive { temperature: 0.1 }.value_and_grad(
                    predicted,
                    &target,
                    &mut gradient,
                );
                net.backward(&gradient, &mut workspace);
                workspace.gradients_mut().clip(1.0);
                optimizer.step(&mut net, workspace.gradients());
            }
            net
        })
    };
    let one = train(1);
    assert_eq!(one, train(2));
    assert_eq!(one, train(5));
}

#[test]
fn saved_weights_load_and_misfits_are_named() {
    let config = MlpConfig {
        sizes: vec![3, 4, 2],
        activation: Activation::Relu,
        dropout: vec![0.1],
        residual_io: true,
        seed: 2,
    };
    let net = Mlp::new(&config).unwrap();
    let bytes = net.to_safetensors(&[("by", "test")]).unwrap();
    assert_eq!(Mlp::from_safetensors(&config, &bytes).unwrap(), net);
    assert_eq!(crate::safetensors_metadata(&bytes).unwrap()["by"], "test");
    let wider = MlpConfig { sizes: vec![3, 5, 2], ..config.clone() };
    let error = Mlp::from_safetensors(&wider, &bytes).unwrap_err();
    assert_eq!(error.to_string(), "tensor `layers.0.weight` has shape [4, 3], expected [5, 3]");
    let deeper = MlpConfig { sizes: vec![3, 4, 2, 2], dropout: vec![0.1; 2], ..config.clone() };
    assert!(Mlp::from_safetensors(&deeper, &bytes).is_err());
    for length in [0, 7, 8, 60, bytes.len() - 1] {
        assert!(
            matches!(Mlp::from_safetensors(&config, &bytes[..length]), Err(NnError::File(_))),
            "{length}"
        );
    }
}

#[test]
fn a_restored_optimiser_goes_on_as_if_never_stopped() {
    let config = MlpConfig {
        sizes: vec![4, 6, 3],
        activation: Activation::Relu,
        dropout: vec![0.0],
        residual_io: false,
        seed: 4,
    };
    let input = Matrix::from_vec(2, 4, vec![0.1, -0.4, 0.7, 0.2, -0.9, 0.3, 0.5, 1.0]);
    let target = Matrix::from_vec(2, 3, vec![1.0, 0.0, -1.0, 0.5, 0.5, 0.2]);
    let step = |net: &mut Mlp, optimizer: &mut Optimizer| {
        let mut workspace = Workspace::new(net, 2);
        let mut gradient = Matrix::zeros(2, 3);
        let predicted = net.forward_train(&input, 0, &mut workspace);
        Loss::Mse.value_and_grad(predicted, &target, &mut gradient);
        net.backward(&gradient, &mut workspace);
        optimizer.step(net, workspace.gradients());
    };
    let mut net = Mlp::new(&config).unwrap();
    let mut optimizer = Optimizer::adam(&net, AdamConfig::default());
    step(&mut net, &mut optimizer);
    let (state, mut copy) = (optimizer.state_bytes(), net.clone());
    let mut restored = Optimizer::adam(&copy, AdamConfig::default());
    restored.load_state(&state).unwrap();
    step(&mut net, &mut optimizer);
    step(&mut copy, &mut restored);
    assert_eq!(net, copy);
    assert!(matches!(restored.load_state(&state[1..]), Err(NnError::State { .. })));
}

#[test]
fn shapes_that_make_no_net_are_refused() {
    let config = |sizes: &[usize], dropout: &[f32]| MlpConfig {
        sizes: sizes.to_vec(),
        activation: Activation::Relu,
        dropout: dropout.to_vec(),
        residual_io: false,
        seed: 0,
    };
    assert!(matches!(Mlp::new(&config(&[3], &[])), Err(NnError::Sizes { .. })));
    assert!(matches!(Mlp::new(&config(&[3, 0, 2], &[0.0])), Err(NnError::Sizes { .. })));
    assert!(matches!(Mlp::new(&config(&[3, 2, 2], &[])), Err(NnError::Dropout { .. })));
    assert!(matches!(Mlp::new(&config(&[3, 2, 2], &[1.0])), Err(NnError::Dropout { .. })));
}
