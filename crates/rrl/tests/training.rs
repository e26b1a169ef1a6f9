//! Gradients, tasks, knowledge, reproducibility, refusals: what holds for any training run.

// Everything here is a test.
#![allow(clippy::unwrap_used, clippy::needless_for_each)]

use std::ops::ControlFlow;

use rrl::{
    Activation, Column, Cuts, Dataset, DiscretiseConfig, Distance, InitialWeights, LinearInputs, Literal,
    Logic, LogicLayer, MaskKind, Matrix, Missing, Network, NodeMask, Objective, Penalty, Precision, Progress,
    RankLoss, Rows, RrlConfig, RrlError, RrlModel, Rule, RuleList, SeedRule, Selection, SparseBuilder, Table,
    Targets, Term, Trainer, UnionLayer, Unseen, close_over_parents, discretise, encode, fit, macro_f1,
    mean_reciprocal_rank,
};

/// Numbers even in `[0, 1)` from a seed.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn matrix(&mut self, n_rows: usize, n_columns: usize, scale: f64) -> Matrix {
        let values = (0..n_rows * n_columns).map(|_| self.next() * scale).collect();
        Matrix::new(n_rows, n_columns, values).unwrap()
    }
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|at| format!("{prefix}{at}")).collect()
}

fn bit_rows(n_rows: usize, n_literals: usize, seed: u64) -> Vec<Vec<bool>> {
    let mut draws = Draws(seed);
    (0..n_rows).map(|_| (0..n_literals).map(|_| draws.next() < 0.5).collect()).collect()
}

/// Rows of random bits; the class is whether the first two hold, or the third does not and the fourth does.
fn logical_data(n_rows: usize, n_literals: usize, seed: u64) -> Dataset {
    let bools = bit_rows(n_rows, n_literals, seed);
    let label = |row: &Vec<bool>| usize::from((row[0] && row[1]) || (!row[2] && row[3]));
    Dataset {
        rows: Rows::from_bools(n_literals, &bools).unwrap(),
        literals: names("x", n_literals).into_iter().map(Literal::new).collect(),
        targets: Targets::Classes {
            labels: bools.iter().map(label).collect(),
            names: vec!["no".into(), "yes".into()],
        },
        linear: None,
    }
}

fn quick() -> RrlConfig {
    RrlConfig {
        nodes: vec![16],
        epochs: 60,
        batch_size: 32,
        learning_rate: 0.01,
        negate_first: true,
        ..RrlConfig::default()
    }
}

fn f1_of(model: &RrlModel, data: &Dataset) -> f64 {
    let Targets::Classes { labels, .. } = &data.targets else { panic!("classes") };
    macro_f1(labels, &model.classify(&model.scores(&data.rows, None).unwrap()))
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::Product { estimated: false },
    Activation::Nlaf { alpha: 0.999, beta: 8.0, gamma: 1.0 },
    Activation::Nlaf { alpha: 0.999, beta: 8.0, gamma: 3.0 },
    Activation::Nlaf { alpha: 0.9, beta: 3.0, gamma: 3.0 },
    Activation::Nlaf { alpha: 0.95, beta: 2.5, gamma: 1.5 },
];

#[test]
fn soft_gradients_are_numeric_gradients() {
    let mut draws = Draws(3);
    for activation in ACTIVATIONS {
        for logic in [Logic::And, Logic::Or] {
            let weights = draws.matrix(5, 3, 0.9);
            let inputs = draws.matrix(4, 5, 1.0);
            let upstream = draws.matrix(4, 3, 1.0);
            let value = |inputs: &Matrix, weights: &Matrix| -> f64 {
                let truths = LogicLayer::new(logic, activation, weights.clone()).soft(inputs).unwrap();
                truths.values().iter().zip(upstream.values()).map(|(truth, slope)| truth * slope).sum()
            };
            let gradients =
                LogicLayer::new(logic, activation, weights.clone()).backward(&inputs, &upstream).unwrap();
            let step = 1e-6;
            for at in 0..weights.values().len() {
                let moved = |by: f64| {
                    let mut weights = weights.clone();
                    weights.values_mut()[at] += by;
                    value(&inputs, &weights)
                };
                let numeric = (moved(step) - moved(-step)) / (2.0 * step);
                let found = gradients.weights.values()[at];
                assert!(
                    (found - numeric).abs() < 1e-6 * (1.0 + numeric.abs()),
                    "{activation:?} {logic:?}: {found} {numeric}"
                );
            }
            for at in 0..inputs.values().len() {
                let moved = |by: f64| {
                    let mut inputs = inputs.clone();
                    inputs.values_mut()[at] += by;
                    value(&inputs, &weights)
                };
                let numeric = (moved(step) - moved(-step)) / (2.0 * step);
                let found = gradients.inputs.values()[at];
                assert!(
                    (found - numeric).abs() < 1e-6 * (1.0 + numeric.abs()),
                    "{activation:?} {logic:?}: {found} {numeric}"
                );
            }
        }
    }
}

fn random_network(
    n_literals: usize,
    nodes: &[usize],
    skip: bool,
    n_outputs: usize,
    n_linear: usize,
) -> Network {
    let mut draws = Draws(17);
    let mut widths = vec![n_literals];
    let mut layers = Vec::new();
    for (at, &n) in nodes.iter().enumerate() {
        let read = widths[at] + if skip && at >= 2 { widths[at - 1] } else { 0 };
        let n_inputs = if at > 0 { 2 * read } else { read };
        // Around one half, so that some edges are on; more inputs, fewer on.
        let scale = 0.5 + 1.0 / n_inputs as f64;
        layers.push(UnionLayer {
            conjunctions: draws.matrix(n_inputs, n, scale),
            disjunctions: draws.matrix(n_inputs, n, scale),
            negated: at > 0,
        });
        widths.push(2 * n);
    }
    let n_dims = widths[nodes.len()] + if skip && nodes.len() >= 2 { widths[nodes.len() - 1] } else { 0 };
    let mut head = draws.matrix(n_outputs, n_dims, 2.0);
    head.values_mut().iter_mut().for_each(|weight| *weight -= 1.0);
    Network {
        n_literals,
        layers,
        skip,
        head,
        bias: vec![0.1; n_outputs],
        log_temperature: -0.3,
        linear: vec![0.4; n_linear],
    }
}

/// Hierarchical grafting written out with the plain layers: discrete forward, soft gradient of each layer
/// at its discrete input.
fn grafted_by_hand(network: &Network, rows: &Rows, slopes: &Matrix, activation: Activation) -> Network {
    let n_rows = rows.n_rows();
    let as_matrix = |rows: Vec<Vec<f64>>| Matrix::from_rows(&rows).unwrap();
    let bits = as_matrix(
        (0..n_rows)
            .map(|row| (0..rows.n_literals()).map(|at| f64::from(u8::from(rows.holds(row, at)))).collect())
            .collect(),
    );
    let mut outputs: Vec<Matrix> = Vec::new();
    let mut inputs: Vec<Matrix> = Vec::new();
    let n_layers = network.layers.len();
    let reads = |layer: usize| -> Vec<usize> {
        match layer {
            0 => vec![],
            1 => vec![0],
            _ if network.skip => vec![layer - 1, layer - 2],
            _ => vec![layer - 1],
        }
    };
    let gather = |layer: usize, outputs: &[Matrix], negated: bool| {
        as_matrix(
            (0..n_rows)
                .map(|row| {
                    let mut values: Vec<f64> = if layer == 0 {
                        bits.row(row).to_vec()
                    } else {
                        reads(layer).iter().flat_map(|&from| outputs[from].row(row).to_vec()).collect()
                    };
                    if negated {
                        values.extend(values.clone().iter().map(|value| 1.0 - value));
                    }
                    values
                })
                .collect(),
        )
    };
    let kinds = |layer: &UnionLayer| {
        [
            LogicLayer::new(Logic::And, activation, layer.conjunctions.clone()),
            LogicLayer::new(Logic::Or, activation, layer.disjunctions.clone()),
        ]
    };
    for (at, layer) in network.layers.iter().enumerate() {
        let seen = gather(at, &outputs, layer.negated);
        let [and, or] = kinds(layer);
        let (and, or) = (and.discrete(&seen).unwrap(), or.discrete(&seen).unwrap());
        outputs.push(as_matrix((0..n_rows).map(|row| [and.row(row), or.row(row)].concat()).collect()));
        inputs.push(seen);
    }
    let top = gather(n_layers, &outputs, false);
    let mut gradients = network.clone();
    let mut upstream: Vec<Matrix> = outputs.iter().map(|o| Matrix::zeros(n_rows, o.n_columns())).collect();
    let hand_down = |layer: usize, of_read: &dyn Fn(usize, usize) -> f64, upstream: &mut Vec<Matrix>| {
        let mut offset = 0;
        for from in reads(layer) {
            for row in 0..n_rows {
                for column in 0..upstream[from].n_columns() {
                    upstream[from].row_mut(row)[column] += of_read(row, offset + column);
                }
            }
            offset += upstream[from].n_columns();
        }
    };
    for output in 0..network.bias.len() {
        gradients.bias[output] = (0..n_rows).map(|row| slopes.at(row, output)).sum();
        for dim in 0..top.n_columns() {
            gradients.head.row_mut(output)[dim] =
                (0..n_rows).map(|row| slopes.at(row, output) * top.at(row, dim)).sum();
        }
    }
    let of_top = |row: usize, dim: usize| -> f64 {
        (0..network.bias.len()).map(|output| slopes.at(row, output) * network.head.at(output, dim)).sum()
    };
    hand_down(n_layers, &of_top, &mut upstream);
    for at in (0..n_layers).rev() {
        let layer = &network.layers[at];
        let split = layer.conjunctions.n_columns();
        let part = |range: std::ops::Range<usize>| {
            as_matrix((0..n_rows).map(|row| upstream[at].row(row)[range.clone()].to_vec()).collect())
        };
        let [and, or] = kinds(layer);
        let and = and.backward(&inputs[at], &part(0..split)).unwrap();
        let or = or.backward(&inputs[at], &part(split..2 * split)).unwrap();
        gradients.layers[at].conjunctions = and.weights;
        gradients.layers[at].disjunctions = or.weights;
        let n_read = inputs[at].n_columns() / (1 + usize::from(layer.negated));
        let of_read = |row: usize, column: usize| -> f64 {
            let of = |column: usize| and.inputs.at(row, column) + or.inputs.at(row, column);
            of(column) - if layer.negated { of(n_read + column) } else { 0.0 }
        };
        hand_down(at, &of_read, &mut upstream);
    }
    gradients
}

#[test]
fn blocked_kernels_graft_as_written_out() {
    for activation in ACTIVATIONS.into_iter().chain([Activation::Product { estimated: true }]) {
        // 40 nodes are more than a block, 70 rows more than a word.
        for (nodes, skip) in
            [(vec![40], false), (vec![9, 5], true), (vec![7, 6, 35], true), (vec![5, 4, 3], false)]
        {
            let data = logical_data(70, 11, 5);
            let network = random_network(11, &nodes, skip, 2, 0);
            for (bounds, exact) in [((0.0, 1.0), true), ((0.0, 0.999_999), false)] {
                let config = RrlConfig {
                    nodes: nodes.clone(),
                    activation,
                    penalty: Penalty { squares: 0.0, absolutes: 0.0, all_parameters: false },
                    weight_range: bounds,
                    ..RrlConfig::published()
                };
                let mut trainer =
                    Trainer::<f64>::new(&network, &data.literals, Objective::Classify, &config).unwrap();
                let units: Vec<usize> = (0..70).collect();
                let found = trainer.gradients(&data, &units, 0).unwrap();
                let mut slopes = Matrix::zeros(70, 2);
                let Targets::Classes { labels, .. } = &data.targets else { unreachable!() };
                let temperature = network.log_temperature.exp();
                for (row, &label) in labels.iter().enumerate() {
                    let powers: Vec<f64> =
                        found.scores.row(row).iter().map(|score| (score / temperature).exp()).collect();
                    let sum: f64 = powers.iter().sum();
                    for (class, power) in powers.iter().enumerate() {
                        let wanted = f64::from(u8::from(label == class));
                        slopes.row_mut(row)[class] = (power / sum - wanted) / 70.0 / temperature;
                    }
                }
                let expected = grafted_by_hand(&network, &data.rows, &slopes, activation);
                let tolerance = if exact { 1e-12 } else { 1e-10 };
                let near = |found: &[f64], expected: &[f64], what: &str| {
                    assert!(
                        expected.iter().any(|value| *value != 0.0),
                        "{activation:?} {nodes:?} {what}: all zero"
                    );
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
                            "{activation:?} {nodes:?} {what}: {found}, expected {expected}"
                        );
                    }
                };
                for (at, (found, expected)) in
                    found.parameters.layers.iter().zip(&expected.layers).enumerate()
                {
                    near(
                        found.conjunctions.values(),
                        expected.conjunctions.values(),
                        &format!("conjunctions {at}"),
                    );
                    near(
                        found.disjunctions.values(),
                        expected.disjunctions.values(),
                        &format!("disjunctions {at}"),
                    );
                }
                near(found.parameters.head.values(), expected.head.values(), "head");
                near(&found.parameters.bias, &expected.bias, "bias");
            }
        }
    }
}

#[test]
fn a_fused_step_is_the_step_from_its_gradients() {
    let data = logical_data(100, 11, 6);
    for activation in ACTIVATIONS {
        let network = random_network(11, &[40, 8], true, 2, 0);
        let config = RrlConfig {
            nodes: vec![40, 8],
            activation,
            penalty: Penalty { squares: 1e-3, absolutes: 1e-4, all_parameters: false },
            weight_range: (1e-3, 0.999),
            learning_rate: 0.01,
            ..RrlConfig::published()
        };
        let start = |config: &RrlConfig| {
            Trainer::<f64>::new(&network, &data.literals, Objective::Classify, config).unwrap()
        };
        let (mut fused, mut apart) = (start(&config), start(&config));
        for step in 0..5 {
            let units: Vec<usize> = (step * 10..step * 10 + 33).collect();
            let gradients = apart.gradients(&data, &units, 0).unwrap();
            apart.apply(&gradients.parameters, 0).unwrap();
            fused.step(&data, &units, 0).unwrap();
        }
        let (fused, apart) = (fused.network(), apart.network());
        for (fused, apart) in fused.layers.iter().zip(&apart.layers) {
            for (fused, apart) in fused.conjunctions.values().iter().zip(apart.conjunctions.values()) {
                // Sums completed from a total differ in the last digits.
                assert!((fused - apart).abs() < 1e-7, "{activation:?}: {fused} {apart}");
            }
        }
        assert_ne!(fused.layers[0], network.layers[0]);
    }
}

/// One candidate list and one without a relevant candidate.
fn ranking_data(graded: bool) -> Dataset {
    let bools = bit_rows(14, 6, 8);
    let mut relevance = vec![0.0; 14];
    relevance[2] = 1.0;
    if graded {
        relevance[4] = 2.0;
    }
    let mut draws = Draws(4);
    Dataset {
        rows: Rows::from_bools(6, &bools).unwrap(),
        literals: names("x", 6).into_iter().map(Literal::new).collect(),
        targets: Targets::Lists {
            sizes: vec![9, 5],
            relevance,
            first_stage: (0..14).map(f64::from).collect(),
        },
        linear: Some(LinearInputs { names: names("phi", 2), values: draws.matrix(14, 2, 1.0) }),
    }
}

fn regression_data(n_outputs: usize) -> Dataset {
    let bools = bit_rows(12, 6, 8);
    let mut values = Draws(4).matrix(12, n_outputs, 4.0);
    values.values_mut().iter_mut().for_each(|value| *value -= 2.0);
    Dataset {
        rows: Rows::from_bools(6, &bools).unwrap(),
        literals: names("x", 6).into_iter().map(Literal::new).collect(),
        targets: Targets::Values { values, names: names("y", n_outputs) },
        linear: None,
    }
}

/// The discrete network is exact in linear weights, biases, temperature and linear inputs.
#[test]
fn gradients_of_every_loss_are_numeric_gradients() {
    let mut cases: Vec<(Objective, Dataset, usize)> = vec![(Objective::Classify, logical_data(20, 6, 2), 2)];
    for distance in [Distance::Absolute, Distance::Squared, Distance::Huber(0.7)] {
        cases.push((Objective::Regress(distance), regression_data(3), 3));
    }
    for loss in [
        RankLoss::ListNet,
        RankLoss::RankNet,
        RankLoss::LambdaRank { warm_up: 0 },
        RankLoss::LambdaRank { warm_up: 1 },
        RankLoss::Pointwise { positive_weight: 3.0 },
    ] {
        cases.push((Objective::Rank(loss), ranking_data(false), 1));
        cases.push((Objective::Rank(loss), ranking_data(true), 1));
    }
    for (objective, data, n_outputs) in cases {
        let n_linear = data.linear.as_ref().map_or(0, |linear| linear.names.len());
        let network = random_network(6, &[4], false, n_outputs, n_linear);
        let config = RrlConfig {
            nodes: vec![4],
            penalty: Penalty { squares: 0.0, absolutes: 0.0, all_parameters: false },
            ..RrlConfig::published()
        };
        let n_units = match &data.targets {
            Targets::Lists { sizes, .. } => sizes.len(),
            _ => data.rows.n_rows(),
        };
        let units: Vec<usize> = (0..n_units).collect();
        let evaluate = |network: &Network| {
            let mut trainer = Trainer::<f64>::new(network, &data.literals, objective, &config).unwrap();
            trainer.gradients(&data, &units, 0).unwrap()
        };
        let found = evaluate(&network).parameters;
        let step = 1e-6;
        let check = |what: &str, found: f64, place: &dyn Fn(&mut Network) -> &mut f64| {
            let moved = |by: f64| {
                let mut network = network.clone();
                *place(&mut network) += by;
                evaluate(&network).data_loss
            };
            let numeric = (moved(step) - moved(-step)) / (2.0 * step);
            assert!(
                (found - numeric).abs() < 1e-6 * (1.0 + numeric.abs()),
                "{objective:?} {what}: {found}, {numeric}"
            );
        };
        let mut steepest: f64 = 0.0;
        for at in 0..network.head.values().len() {
            check("head", found.head.values()[at], &|network| &mut network.head.values_mut()[at]);
            steepest = steepest.max(found.head.values()[at].abs());
        }
        assert!(steepest > 1e-3, "{objective:?}: flat");
        for at in 0..n_outputs {
            check("bias", found.bias[at], &|network| &mut network.bias[at]);
        }
        for at in 0..n_linear {
            check("linear", found.linear[at], &|network| &mut network.linear[at]);
        }
        check("temperature", found.log_temperature, &|network| &mut network.log_temperature);
    }
}

#[test]
fn logic_is_learned_in_both_activations_and_depths() {
    let (train, test) = (logical_data(600, 8, 1), logical_data(400, 8, 2));
    let product = Activation::Product { estimated: false };
    for (activation, nodes, initial) in [
        (Activation::NLAF, vec![16], InitialWeights::PerInput(4.0)),
        (product, vec![16], InitialWeights::PerInput(4.0)),
        (Activation::NLAF, vec![12, 8], InitialWeights::PerInput(4.0)),
        (Activation::NLAF, vec![16], InitialWeights::Half),
    ] {
        let config =
            RrlConfig { activation, nodes: nodes.clone(), initial, skip: nodes.len() > 1, ..quick() };
        let model = fit(&train, Objective::Classify, &config, go_on).unwrap();
        let f1 = f1_of(&model, &test);
        assert!(f1 > 0.97, "{activation:?} {nodes:?} {initial:?}: {f1}\n{}", model.rules());
    }
}

/// Scores of the network, node by node, from its weights alone.
fn scores_by_hand(network: &Network, rows: &Rows) -> Vec<Vec<f64>> {
    (0..rows.n_rows())
        .map(|row| {
            let literals: Vec<bool> = (0..rows.n_literals()).map(|at| rows.holds(row, at)).collect();
            let mut outputs: Vec<Vec<bool>> = Vec::new();
            let read = |layer: usize, outputs: &[Vec<bool>]| -> Vec<bool> {
                match layer {
                    0 => literals.clone(),
                    1 => outputs[0].clone(),
                    _ if network.skip => [outputs[layer - 1].clone(), outputs[layer - 2].clone()].concat(),
                    _ => outputs[layer - 1].clone(),
                }
            };
            for (at, layer) in network.layers.iter().enumerate() {
                let mut seen = read(at, &outputs);
                if layer.negated {
                    seen.extend(seen.clone().iter().map(|truth| !truth));
                }
                let edges = |weights: &Matrix, node: usize| -> Vec<bool> {
                    (0..seen.len())
                        .filter(|&input| weights.at(input, node) > 0.5)
                        .map(|input| seen[input])
                        .collect()
                };
                let all = (0..layer.conjunctions.n_columns())
                    .map(|node| edges(&layer.conjunctions, node).into_iter().all(|truth| truth));
                let some = (0..layer.disjunctions.n_columns())
                    .map(|node| edges(&layer.disjunctions, node).into_iter().any(|truth| truth));
                outputs.push(all.chain(some).collect());
            }
            let top = read(network.layers.len(), &outputs);
            (0..network.bias.len())
                .map(|output| {
                    let fired = top.iter().enumerate().filter(|(_, truth)| **truth);
                    network.bias[output] + fired.map(|(dim, _)| network.head.at(output, dim)).sum::<f64>()
                })
                .collect()
        })
        .collect()
}

#[test]
fn the_printed_list_is_the_model_on_every_row() {
    let train = logical_data(500, 8, 1);
    // Rows unlike the training rows: all of them.
    let every: Vec<Vec<bool>> =
        (0..256_usize).map(|row| (0..8).map(|at| row >> at & 1 == 1).collect()).collect();
    let every = Rows::from_bools(8, &every).unwrap();
    for nodes in [vec![40], vec![20, 10], vec![12, 10, 8]] {
        for seed in 0..3 {
            let config = RrlConfig { nodes: nodes.clone(), skip: true, seed, epochs: 20, ..quick() };
            let model = fit(&train, Objective::Classify, &config, go_on).unwrap();
            let network = &model.networks()[0];
            let expected = scores_by_hand(network, &every);
            let temperature = network.log_temperature.exp();
            let saved = RrlModel::from_json(&model.to_json()).unwrap();
            assert_eq!(saved.rules(), model.rules());
            let scores = saved.scores(&every, None).unwrap();
            for (row, expected) in expected.iter().enumerate() {
                for (found, expected) in scores.row(row).iter().zip(expected) {
                    assert!(
                        (found - expected / temperature).abs() < 1e-6,
                        "{nodes:?} row {row}: {found} {expected}"
                    );
                }
                // And each score is the sum of what the explanation shows.
                let literals: Vec<bool> = (0..8).map(|at| every.holds(row, at)).collect();
                let explanation = saved.rules().explain(&literals, &[]).unwrap();
                for output in 0..2 {
                    let sum = explanation.fired.iter().fold(saved.rules().bias()[output], |sum, &rule| {
                        sum + saved.rules().rules()[rule].weights[output]
                    });
                    assert!((sum - scores.at(row, output)).abs() < 1e-9);
                }
            }
            // The pruned list agrees where it promises to.
            let pruned = model.rules().pruned(&train.rows).unwrap();
            assert!(pruned.n_scored() <= model.rules().n_scored());
            let (full, short) = (
                model.scores(&train.rows, None).unwrap(),
                pruned.scores(&train.rows, &Matrix::default()).unwrap(),
            );
            for (full, short) in full.values().iter().zip(short.values()) {
                assert!((full - short).abs() < 1e-6, "{nodes:?}: {full} {short}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_and_the_seed_does() {
    let data = logical_data(500, 40, 1);
    for nodes in [vec![100], vec![70, 40]] {
        let model = |n_threads: usize, seed: u64| {
            let config = RrlConfig { nodes: nodes.clone(), n_threads, seed, epochs: 5, ..quick() };
            fit(&data, Objective::Classify, &config, go_on).unwrap()
        };
        let one = model(1, 3);
        for n_threads in [2, 3, 5] {
            assert_eq!(one.networks(), model(n_threads, 3).networks(), "{nodes:?} {n_threads}");
            assert_eq!(one.to_json(), model(n_threads, 3).to_json());
        }
        assert_ne!(one.networks(), model(1, 4).networks());
    }
}

#[test]
fn sparse_rows_train_as_dense_ones() {
    let dense = logical_data(300, 70, 1);
    let mut sparse = SparseBuilder::new(70);
    for row in 0..300 {
        let holding: Vec<u32> = dense.rows.holding(row).into_iter().map(|at| at as u32).collect();
        sparse.push(&holding).unwrap();
    }
    let sparse = Dataset { rows: sparse.finish(), ..dense.clone() };
    assert!(sparse.rows.is_sparse());
    let config = RrlConfig { epochs: 3, ..quick() };
    let [a, b] = [dense, sparse].map(|data| fit(&data, Objective::Classify, &config, go_on).unwrap());
    assert_eq!(a.networks(), b.networks());
}

#[test]
fn a_committee_is_the_mean_of_its_members() {
    let data = logical_data(200, 8, 1);
    let config = RrlConfig { committee: 3, epochs: 10, ..quick() };
    let model = fit(&data, Objective::Classify, &config, go_on).unwrap();
    assert_eq!(model.networks().len(), 3);
    let scores = model.scores(&data.rows, None).unwrap();
    let members: Vec<(Vec<Vec<f64>>, f64)> = model
        .networks()
        .iter()
        .map(|network| (scores_by_hand(network, &data.rows), network.log_temperature.exp()))
        .collect();
    for row in 0..200 {
        for output in 0..2 {
            let mean = members.iter().map(|(scores, t)| scores[row][output] / t).sum::<f64>() / 3.0;
            assert!((scores.at(row, output) - mean).abs() < 1e-6);
        }
    }
    assert_ne!(model.networks()[0], model.networks()[1]);
}

#[test]
fn nodes_can_start_with_literals() {
    let data = logical_data(200, 8, 1);
    let config = RrlConfig { start_literals: 1, epochs: 1, learning_rate: 1e-9, ..quick() };
    let model = fit(&data, Objective::Classify, &config, go_on).unwrap();
    // 32 nodes for 8 literals and their negations.
    assert_eq!(model.rules().rules().len(), 16);
    assert!(model.rules().rules().iter().all(|rule| rule.terms.len() == 1));
}

#[test]
fn progress_is_told_and_can_stop() {
    let data = logical_data(100, 8, 1);
    let mut seen: Vec<Progress> = Vec::new();
    let config = RrlConfig { epochs: 50, selection: Some(Selection { share: 0.2, every: 2 }), ..quick() };
    let model = fit(&data, Objective::Classify, &config, |progress| {
        seen.push(progress.clone());
        if progress.epoch == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter()
            .all(|progress| progress.epoch_done && progress.loss.is_finite() && progress.n_epochs == 50)
    );
    assert!(seen[3].best.is_some());
    assert_eq!(model.scores(&data.rows, None).unwrap().n_rows(), 100);
}

#[test]
fn selection_keeps_the_best_network_seen() {
    let data = logical_data(300, 8, 1);
    let mut best = 0.0_f64;
    let config = RrlConfig { epochs: 30, selection: Some(Selection { share: 0.3, every: 5 }), ..quick() };
    let model = fit(&data, Objective::Classify, &config, |progress| {
        if let Some(value) = progress.best {
            assert!(value >= best - 1e-12);
            best = value;
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(best > 0.9, "{best}");
    assert!(f1_of(&model, &data) > 0.9);
}

#[test]
fn tuned_bias_raises_macro_f1_of_rare_classes() {
    let mut data = logical_data(1500, 6, 1);
    let mut draws = Draws(5);
    let Targets::Classes { labels, .. } = &mut data.targets else { unreachable!() };
    // A rare class that the literals only hint at.
    labels
        .iter_mut()
        .for_each(|label| *label = usize::from(draws.next() < if *label == 1 { 0.35 } else { 0.05 }));
    let model = |tune_bias: bool| {
        fit(&data, Objective::Classify, &RrlConfig { tune_bias, epochs: 20, ..quick() }, go_on).unwrap()
    };
    let (plain, tuned) = (f1_of(&model(false), &data), f1_of(&model(true), &data));
    assert!(tuned > plain + 0.03, "{tuned} {plain}");
}

#[test]
fn regression_learns_numbers() {
    let bools = bit_rows(600, 6, 9);
    let value = |row: &Vec<bool>| {
        let of = |truth: bool| f64::from(u8::from(truth));
        [2.0 * of(row[0] && row[1]) - 1.0, 3.0 * of(row[2] || row[3]) + 0.5]
    };
    let values = Matrix::from_rows(&bools.iter().map(value).collect::<Vec<_>>()).unwrap();
    let data = Dataset {
        rows: Rows::from_bools(6, &bools).unwrap(),
        literals: names("x", 6).into_iter().map(Literal::new).collect(),
        targets: Targets::Values { values: values.clone(), names: names("y", 2) },
        linear: None,
    };
    for distance in [Distance::Absolute, Distance::Squared, Distance::Huber(0.5)] {
        let config = RrlConfig { epochs: 150, decay: (0.5, 40), ..quick() };
        let model = fit(&data, Objective::Regress(distance), &config, go_on).unwrap();
        let scores = model.scores(&data.rows, None).unwrap();
        let worst =
            scores.values().iter().zip(values.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 0.2, "{distance:?}: {worst}\n{}", model.rules());
    }
}

/// Lists of ten; the relevant candidate has its first two literals, and a higher first linear input.
fn film_lists(n_lists: usize, seed: u64) -> Dataset {
    let mut draws = Draws(seed);
    let (mut bools, mut relevance, mut first_stage, mut linear) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n_lists {
        for candidate in 0..10 {
            let relevant = candidate == 4;
            let mut row: Vec<bool> = (0..8).map(|_| draws.next() < 0.4).collect();
            if relevant {
                row[0] = true;
                row[1] = draws.next() < 0.9;
            } else if row[0] {
                row[1] = false;
            }
            bools.push(row);
            relevance.push(f64::from(u8::from(relevant)));
            first_stage.push(draws.next());
            linear.push([draws.next() + if relevant { 0.2 } else { 0.0 }, draws.next()]);
        }
    }
    Dataset {
        rows: Rows::from_bools(8, &bools).unwrap(),
        literals: names("x", 8).into_iter().map(Literal::new).collect(),
        targets: Targets::Lists { sizes: vec![10; n_lists], relevance, first_stage },
        linear: Some(LinearInputs { names: names("phi", 2), values: Matrix::from_rows(&linear).unwrap() }),
    }
}

#[test]
fn ranking_losses_put_relevant_candidates_first() {
    let (train, test) = (film_lists(150, 1), film_lists(100, 2));
    let Targets::Lists { sizes, relevance, first_stage } = &test.targets else { unreachable!() };
    let base = mean_reciprocal_rank(&vec![0.0; 1000], relevance, first_stage, sizes);
    assert!(base < 0.4, "{base}");
    for loss in [
        RankLoss::ListNet,
        RankLoss::RankNet,
        RankLoss::LambdaRank { warm_up: 0 },
        RankLoss::LambdaRank { warm_up: 5 },
        RankLoss::Pointwise { positive_weight: 5.0 },
    ] {
        let config = RrlConfig { batch_size: 8, epochs: 40, temperature: 0.3, ..quick() };
        let model = fit(&train, Objective::Rank(loss), &config, go_on).unwrap();
        let linear = test.linear.as_ref().map(|linear| &linear.values);
        let scores = model.scores(&test.rows, linear).unwrap();
        let mrr = mean_reciprocal_rank(scores.values(), relevance, first_stage, sizes);
        assert!(mrr > 0.85, "{loss:?}: {mrr}\n{}", model.rules());
        assert!(model.rules().linear().iter().all(|term| term.weight >= 0.0));
        assert!(model.rules().linear()[0].weight > model.rules().linear()[1].weight);
        let explanation = model.rules().explain(&[true; 8], &[0.5, 0.25]).unwrap();
        let sum = model.rules().bias()[0]
            + explanation.fired.iter().map(|&rule| model.rules().rules()[rule].weights[0]).sum::<f64>()
            + explanation.linear.iter().sum::<f64>();
        assert!((sum - explanation.scores[0]).abs() < 1e-9);
    }
}

fn grouped_data() -> Dataset {
    let mut data = logical_data(400, 8, 1);
    for (at, literal) in data.literals.iter_mut().enumerate() {
        literal.group = Some(if at < 4 { "people" } else { "time" }.to_owned());
    }
    data
}

#[test]
fn hard_masks_keep_rules_to_their_groups() {
    let data = grouped_data();
    let config = RrlConfig {
        masks: vec![
            NodeMask { nodes: (0, 8), groups: vec!["people".into()], kind: MaskKind::Hard },
            NodeMask { nodes: (8, 16), groups: vec!["time".into()], kind: MaskKind::Hard },
        ],
        ..quick()
    };
    let model = fit(&data, Objective::Classify, &config, go_on).unwrap();
    assert!(f1_of(&model, &data) > 0.95);
    for rule in model.rules().rules() {
        let groups: std::collections::BTreeSet<_> = rule
            .terms
            .iter()
            .map(|term| match *term {
                Term::Literal(at) | Term::NotLiteral(at) => data.literals[at].group.clone().unwrap(),
                other => panic!("{other:?} in a list of one layer"),
            })
            .collect();
        assert_eq!(groups.len(), 1, "{groups:?}");
    }
    let network = &model.networks()[0];
    for input in 0..16 {
        for node in 0..16 {
            let hidden = (input % 8 < 4) != (node < 8);
            assert_eq!(network.layers[0].conjunctions.at(input, node) == 0.0, hidden);
        }
    }
}

#[test]
fn soft_masks_hold_other_groups_down() {
    let data = grouped_data();
    let edges_outside = |kind: Option<MaskKind>| {
        let masks = kind.map(|kind| NodeMask { nodes: (0, 16), groups: vec!["time".into()], kind });
        let config = RrlConfig { masks: masks.into_iter().collect(), ..quick() };
        let model = fit(&data, Objective::Classify, &config, go_on).unwrap();
        let rules = model.rules().rules().iter().flat_map(|rule| rule.terms.clone());
        rules.filter(|term| matches!(term, Term::Literal(at) | Term::NotLiteral(at) if *at < 4)).count()
    };
    let (free, held) = (edges_outside(None), edges_outside(Some(MaskKind::Soft(0.1))));
    assert!(held < free, "{held} of {free}");
}

#[test]
fn seed_rules_start_on_and_can_be_dropped() {
    let data = logical_data(400, 8, 1);
    let seed = |literals: &[&str]| SeedRule {
        logic: Logic::And,
        literals: literals.iter().map(|&name| name.to_owned()).collect(),
        weight: 0.65,
    };
    let config = RrlConfig {
        seeds: vec![seed(&["x0", "x1"]), seed(&["x6", "x7"])],
        epochs: 1,
        learning_rate: 1e-9,
        ..quick()
    };
    let untrained = fit(&data, Objective::Classify, &config, go_on).unwrap();
    let text = untrained.rules().to_string();
    assert!(text.contains("x0 & x1") && text.contains("x6 & x7"), "{text}");
    let trained = fit(
        &data,
        Objective::Classify,
        &RrlConfig {
            epochs: 80,
            learning_rate: 0.01,
            penalty: Penalty { squares: 1e-3, ..Penalty::default() },
            ..config
        },
        go_on,
    )
    .unwrap();
    assert!(trained.rules().to_string().contains("x0 & x1"), "{}", trained.rules());
    let weight = |model: &RrlModel, at: usize| model.networks()[0].layers[0].conjunctions.at(at, 1);
    assert!(weight(&trained, 6) < 0.5 || weight(&trained, 7) < 0.5, "an empty rule stayed");
}

#[test]
fn literals_are_closed_under_their_parents_before_learning_and_serving() {
    let literals = vec![
        Literal::new("slasher").implying([1]),
        Literal::new("horror").implying([2]),
        Literal::new("fiction"),
    ];
    let bools: Vec<[bool; 3]> = (0..60).map(|row| [row % 3 == 0, row % 3 == 1, row % 3 == 2]).collect();
    let data = Dataset {
        rows: Rows::from_bools(3, &bools).unwrap(),
        literals: literals.clone(),
        targets: Targets::Classes {
            labels: (0..60).map(|row| usize::from(row % 3 != 2)).collect(),
            names: names("c", 2),
        },
        linear: None,
    };
    let model = fit(&data, Objective::Classify, &RrlConfig { epochs: 100, ..quick() }, go_on).unwrap();
    // The label is `horror`, which the bits say of a third of the rows only.
    assert_eq!(f1_of(&model, &data), 1.0, "{}", model.rules());
    let explanation = model.rules().explain(&[true, false, false], &[]).unwrap();
    let scores = model.scores(&Rows::from_bools(3, &[[true, false, false]]).unwrap(), None).unwrap();
    assert_eq!(explanation.scores, scores.row(0));
    let mut sparse = Rows::from_lists(3, &[vec![0], vec![2]]).unwrap();
    close_over_parents(&mut sparse, &literals).unwrap();
    assert_eq!([sparse.holding(0), sparse.holding(1)], [vec![0, 1, 2], vec![2]]);
    let circle = [Literal::new("a").implying([1]), Literal::new("b").implying([0])];
    let refused =
        close_over_parents(&mut Rows::from_bools(2, &[[true, false]]).unwrap(), &circle).unwrap_err();
    assert_eq!(refused.to_string(), "literal `a` is its own ancestor; break the circle");
}

fn numbers(values: &[f64]) -> Column {
    Column::Numbers(values.to_vec())
}

fn categories(values: &[&str]) -> Column {
    Column::Categories(values.iter().map(|&value| (value != "?").then(|| value.to_owned())).collect())
}

#[test]
fn a_table_is_served_as_its_rows_are() {
    let mut draws = Draws(8);
    let size: Vec<f64> =
        (0..500).map(|at| if at % 50 == 7 { f64::NAN } else { draws.next() * 10.0 }).collect();
    let colour: Vec<&str> = (0..500).map(|at| ["red", "blue", "green", "?"][at * 7 % 4]).collect();
    let table =
        Table::new(vec![("size".into(), numbers(&size)), ("colour".into(), categories(&colour))]).unwrap();
    let config = DiscretiseConfig { negate: true, ..DiscretiseConfig::default() };
    let literals = discretise(&table, &config).unwrap().literals;
    let labels = (0..500).map(|at| usize::from(size[at] > 4.0 && colour[at] != "red")).collect();
    let data = Dataset {
        rows: encode(&literals, &table, Unseen::Refuse).unwrap(),
        literals,
        targets: Targets::Classes { labels, names: names("c", 2) },
        linear: None,
    };
    let config = RrlConfig { negate_first: false, epochs: 120, ..quick() };
    let model = fit(&data, Objective::Classify, &config, go_on).unwrap();
    assert!(f1_of(&model, &data) > 0.97);
    let of_rows = model.scores(&data.rows, None).unwrap();
    assert_eq!(of_rows, model.scores_of_table(&table, None).unwrap());
    // The text alone, read back, serves the table too.
    let list = RuleList::from_json(&model.rules().to_json()).unwrap();
    assert_eq!(of_rows, list.scores_of_table(&table, &Matrix::default()).unwrap());
}

#[test]
fn cuts_are_where_they_are_said_to_be() {
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    let table = Table::new(vec![("x".into(), numbers(&values))]).unwrap();
    let cuts = |cuts: Cuts, n_cuts: usize| -> Vec<f64> {
        let made =
            discretise(&table, &DiscretiseConfig { n_cuts, cuts, ..DiscretiseConfig::default() }).unwrap();
        let above = made.literals.iter().filter_map(|literal| match &literal.test {
            Some(rrl::Test::Above { value, .. }) => Some(*value),
            _ => None,
        });
        above.collect()
    };
    assert_eq!(cuts(Cuts::Quantiles, 3), [249.5, 499.5, 749.5]);
    let tails = cuts(Cuts::TailQuantiles, 12);
    assert_eq!(tails.len(), 12);
    assert!(tails[0] < 15.0 && tails[11] > 985.0, "{tails:?}");
    let even = cuts(Cuts::Even { low: -3.0, high: 3.0 }, 200);
    assert!(even.iter().all(|cut| (cut - 499.5).abs() <= 3.0 * 289.0));
    assert_eq!(even.len(), 200);
    // Few distinct values have a cut between any two.
    let few = Table::new(vec![("x".into(), numbers(&[1.0, 1.0, 5.0, 2.0, 5.0]))]).unwrap();
    let made = discretise(&few, &DiscretiseConfig::default()).unwrap();
    let names: Vec<&str> = made.literals.iter().map(|literal| literal.name.as_str()).collect();
    assert_eq!(names, ["x > 1.500", "x > 3.500", "x <= 1.500", "x <= 3.500"]);
}

#[test]
fn missing_numbers_are_the_mean_or_a_literal_of_their_own() {
    let table = Table::new(vec![("x".into(), numbers(&[0.0, 10.0, f64::NAN, 20.0]))]).unwrap();
    let held = |missing: Missing| -> Vec<String> {
        let config = DiscretiseConfig { n_cuts: 2, missing, ..DiscretiseConfig::default() };
        let literals = discretise(&table, &config).unwrap().literals;
        let rows = encode(&literals, &table, Unseen::Ignore).unwrap();
        rows.holding(2).into_iter().map(|at| literals[at].name.clone()).collect()
    };
    assert_eq!(held(Missing::Literal), ["x is missing"]);
    assert_eq!(held(Missing::Mean), ["x > 5.000", "x <= 15.000"]);
}

#[test]
fn bad_tables_are_refused_or_documented() {
    let infinite = Table::new(vec![("x".into(), numbers(&[0.0, f64::INFINITY]))]).unwrap_err();
    assert_eq!(
        infinite.to_string(),
        "column `x` holds inf in row 1; use finite numbers (in a table, NaN says missing)"
    );
    let ragged = Table::new(vec![("x".into(), numbers(&[0.0])), ("y".into(), numbers(&[]))]).unwrap_err();
    assert_eq!(ragged.to_string(), "found 0 cells in a column, expected 1; check the shapes");
    let twice = Table::new(vec![("x".into(), numbers(&[])), ("x".into(), numbers(&[]))]).unwrap_err();
    assert_eq!(twice.to_string(), "column `x` occurs twice; rename one");
    // A constant column, or one that is missing throughout, makes no literal and is named.
    let table = Table::new(vec![
        ("same".into(), numbers(&[2.0, 2.0])),
        ("one".into(), categories(&["a", "a"])),
        ("none".into(), numbers(&[f64::NAN, f64::NAN])),
        ("x".into(), numbers(&[1.0, 2.0])),
    ])
    .unwrap();
    for cuts in [Cuts::Quantiles, Cuts::TailQuantiles, Cuts::Normal] {
        let made = discretise(&table, &DiscretiseConfig { cuts, ..DiscretiseConfig::default() }).unwrap();
        assert_eq!(made.constant, ["same", "one", "none"]);
        assert!(made.literals.iter().all(|literal| literal.group.as_deref() == Some("x")));
    }
    let empty = discretise(&Table::new(vec![]).unwrap(), &DiscretiseConfig::default()).unwrap_err();
    assert_eq!(empty.to_string(), "there are no table rows; give at least one");
    let none =
        discretise(&table, &DiscretiseConfig { n_cuts: 0, ..DiscretiseConfig::default() }).unwrap_err();
    assert_eq!(none.to_string(), "setting `n_cuts` is 0, expected 1 to 10,000; change it");
}

#[test]
fn unseen_categories_are_ignored_or_refused() {
    let table = |values: &[&str]| Table::new(vec![("c".into(), categories(values))]).unwrap();
    let config = DiscretiseConfig { negate: true, ..DiscretiseConfig::default() };
    let literals = discretise(&table(&["a", "b"]), &config).unwrap().literals;
    let new = table(&["a", "z"]);
    let rows = encode(&literals, &new, Unseen::Ignore).unwrap();
    let held: Vec<&str> = rows.holding(1).into_iter().map(|at| literals[at].name.as_str()).collect();
    assert_eq!(held, ["c is not a", "c is not b"]);
    let refused = encode(&literals, &new, Unseen::Refuse).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "column `c` has the unseen category `z` in row 1; train with it or ignore unseen ones"
    );
    let other = Table::new(vec![("d".into(), numbers(&[1.0]))]).unwrap();
    let missing = encode(&literals, &other, Unseen::Ignore).unwrap_err();
    assert_eq!(missing.to_string(), "column `c` is missing (found: `d`); add or rename it");
    let other = Table::new(vec![("c".into(), numbers(&[1.0]))]).unwrap();
    let kind = encode(&literals, &other, Unseen::Ignore).unwrap_err();
    assert_eq!(kind.to_string(), "column `c` holds numbers, its tests need categories; convert it");
}

#[test]
fn bad_training_data_is_refused() {
    let good = logical_data(50, 8, 1);
    let refused =
        |data: Dataset, objective: Objective| fit(&data, objective, &quick(), go_on).unwrap_err().to_string();
    let classes = |labels: Vec<usize>, n: usize| Targets::Classes { labels, names: names("c", n) };
    let with = |targets: Targets| Dataset { targets, ..good.clone() };
    assert_eq!(
        refused(with(classes(vec![0; 49], 2)), Objective::Classify),
        "found 49 targets, expected 50; check the shapes"
    );
    assert_eq!(
        refused(with(classes(vec![0; 50], 2)), Objective::Classify),
        "class `c1` has no row; remove it from the class names or add rows"
    );
    assert_eq!(
        refused(with(classes(vec![7; 50], 2)), Objective::Classify),
        "row 0 has class 7, there are 2 classes; number them from 0"
    );
    assert_eq!(
        refused(Dataset { literals: vec![Literal::new("a")], ..good.clone() }, Objective::Classify),
        "found 1 literals, expected 8; check the shapes"
    );
    assert_eq!(
        refused(good.clone(), Objective::Rank(RankLoss::ListNet)),
        "ranking needs lists as targets; give `Targets::Lists` or change the objective"
    );
    let mut nan = regression_data(1);
    let Targets::Values { values, .. } = &mut nan.targets else { unreachable!() };
    values.values_mut()[3] = f64::NAN;
    assert_eq!(
        refused(nan, Objective::Regress(Distance::Squared)),
        "target `y0` holds NaN in row 3; use finite numbers (in a table, NaN says missing)"
    );
    let mut ranking = ranking_data(false);
    ranking.linear.as_mut().unwrap().values.values_mut()[5] = f64::INFINITY;
    assert_eq!(
        refused(ranking, Objective::Rank(RankLoss::RankNet)),
        "linear input `phi1` holds inf in row 2; use finite numbers (in a table, NaN says missing)"
    );
    let mut ranking = ranking_data(false);
    let Targets::Lists { sizes, .. } = &mut ranking.targets else { unreachable!() };
    sizes[0] = 3;
    assert_eq!(
        refused(ranking, Objective::Rank(RankLoss::RankNet)),
        "found 8 candidates in all lists, expected 14; check the shapes"
    );
    let empty = Dataset {
        rows: Rows::from_bools(8, &[[false; 8]; 0]).unwrap(),
        targets: classes(vec![], 2),
        ..good.clone()
    };
    assert_eq!(refused(empty, Objective::Classify), "there are no training rows; give at least one");
    let model = fit(&good, Objective::Classify, &quick(), go_on).unwrap();
    let wide = Rows::from_bools(9, &[[true; 9]]).unwrap();
    assert_eq!(
        model.scores(&wide, None).unwrap_err().to_string(),
        "found 9 literals in a row, expected 8; check the shapes"
    );
}

#[test]
fn bad_settings_are_refused() {
    let data = logical_data(50, 8, 1);
    let cases: Vec<(RrlConfig, &str)> = vec![
        (
            RrlConfig { nodes: vec![], ..quick() },
            "setting `nodes` is [], expected one positive number a layer; change it",
        ),
        (
            RrlConfig { learning_rate: -1.0, ..quick() },
            "setting `learning_rate` is -1, expected a positive number; change it",
        ),
        (RrlConfig { epochs: 0, ..quick() }, "setting `epochs` is 0, expected a positive number; change it"),
        (
            RrlConfig { n_threads: 0, ..quick() },
            "setting `n_threads` is 0, expected a positive number; change it",
        ),
        (
            RrlConfig { weight_range: (0.6, 0.9), ..quick() },
            "setting `weight_range` is 0.6 to 0.9, expected 0 <= floor < 0.5 < ceiling <= 1; change it",
        ),
        (
            RrlConfig { activation: Activation::Nlaf { alpha: 1.5, beta: 3.0, gamma: 3.0 }, ..quick() },
            "setting `activation` is alpha 1.5, beta 3, gamma 3, expected alpha in (0, 1), beta above 1, gamma above 0; change it",
        ),
        (
            RrlConfig {
                masks: vec![NodeMask { nodes: (0, 2), groups: vec!["no".into()], kind: MaskKind::Hard }],
                ..quick()
            },
            "a mask names group `no`, which does not exist; correct the name",
        ),
        (
            RrlConfig {
                seeds: vec![SeedRule { logic: Logic::Or, literals: vec!["no".into()], weight: 0.65 }],
                ..quick()
            },
            "a seed rule names literal `no`, which does not exist; correct the name",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(fit(&data, Objective::Classify, &config, go_on).unwrap_err().to_string(), expected);
    }
    let wild = RrlConfig { learning_rate: 1e300, precision: Precision::Double, ..quick() };
    let diverged = fit(&data, Objective::Regress(Distance::Squared), &wild, go_on).unwrap_err();
    assert!(matches!(diverged, RrlError::Mismatch { .. }), "{diverged}");
    let numbers = regression_data(1);
    let diverged = fit(&numbers, Objective::Regress(Distance::Squared), &wild, go_on).unwrap_err();
    assert!(matches!(diverged, RrlError::Diverged { .. }), "{diverged}");
}

#[test]
fn a_list_edited_by_hand_is_served() {
    let list = RuleList::new(
        vec![Literal::new("same decade"), Literal::new("same genre"), Literal::new("conflict")],
        vec!["score".into()],
        vec![0.5],
        vec![
            Rule::new(Logic::And, [0, 1], [2.0]),
            Rule {
                logic: Logic::Or,
                terms: vec![Term::NotRule(0), Term::Literal(2)],
                weights: vec![-1.0],
                support: None,
            },
        ],
        vec![rrl::LinearTerm { name: "bm25".into(), weight: 0.25 }],
    )
    .unwrap();
    assert_eq!(
        list.to_string(),
        "+0.5000  (every row)\n+0.2500  times bm25\n+2.0000  same decade & same genre\n\
         -1.0000  ~(same decade & same genre) | conflict\n"
    );
    let explained = list.explain(&[true, true, false], &[2.0]).unwrap();
    assert_eq!((explained.scores, explained.fired, explained.linear), (vec![3.0], vec![0], vec![0.5]));
    // Parts that cancel: the order of the sum shows.
    let cancelling = [1e16, -1e16].map(|weight| rrl::LinearTerm { name: "phi".into(), weight });
    let cancelling =
        RuleList::new(vec![], vec!["score".into()], vec![0.5], vec![], cancelling.to_vec()).unwrap();
    let scores = cancelling
        .scores(&Rows::from_bools(0, &[[]]).unwrap(), &Matrix::from_rows(&[[1.0, 1.0]]).unwrap())
        .unwrap();
    assert_eq!(scores.values(), cancelling.explain(&[], &[1.0, 1.0]).unwrap().scores);
    let edited = list.to_json().replace("2.0", "3.5").replace("same genre", "same mood");
    let edited = RuleList::from_json(&edited).unwrap();
    assert_eq!(edited.explain(&[true, true, false], &[0.0]).unwrap().scores, [4.0]);
    assert_eq!(edited.text(0), "same decade & same mood");
    let rows = Rows::from_bools(3, &[[true, true, false], [false, true, false]]).unwrap();
    let statistics = list
        .statistics(
            &rows,
            &Targets::Lists { sizes: vec![2], relevance: vec![1.0, 0.0], first_stage: vec![0.0; 2] },
        )
        .unwrap();
    assert_eq!((statistics[0].n_held, statistics[0].support), (1, 0.5));
    assert_eq!((statistics[0].precision[0], statistics[0].lift[0]), (1.0, 2.0));
    assert_eq!((statistics[1].precision[0], statistics[1].lift[0]), (0.0, 0.0));
    assert_eq!(
        list.with_support(&rows).unwrap().to_markdown(Some(&statistics)),
        "| rule | score | support | precision | lift |\n|---|---|---|---|---|\n\
         | (every row) | +0.5000 | | | |\n| bm25 (times its value) | +0.2500 | | | |\n\
         | same decade & same genre | +2.0000 | 0.5000 | 1.0000 | 2.00 |\n\
         | ~(same decade & same genre) \\| conflict | -1.0000 | 0.5000 | 0.0000 | 0.00 |\n"
    );
}

#[test]
fn equal_rules_and_several_bounds_are_merged() {
    let values: Vec<f64> = (0..8).map(f64::from).collect();
    let table = Table::new(vec![("x".into(), numbers(&values))]).unwrap();
    let literals =
        discretise(&table, &DiscretiseConfig { n_cuts: 3, ..DiscretiseConfig::default() }).unwrap().literals;
    let names: Vec<&str> = literals.iter().map(|literal| literal.name.as_str()).collect();
    assert_eq!(names, ["x > 1.500", "x > 3.500", "x > 5.500", "x <= 1.500", "x <= 3.500", "x <= 5.500"]);
    let on = |edges: &[&[usize]]| {
        let mut weights = Matrix::zeros(6, edges.len());
        for (node, inputs) in edges.iter().enumerate() {
            inputs.iter().for_each(|&input| weights.row_mut(input)[node] = 0.9);
        }
        weights
    };
    let network = Network {
        n_literals: 6,
        layers: vec![UnionLayer {
            // The second says what the first does; the third can never hold; the fourth always does.
            conjunctions: on(&[&[0, 1, 5], &[1, 5], &[2, 3], &[]]),
            disjunctions: on(&[&[0, 2], &[0], &[0, 3], &[]]),
            negated: false,
        }],
        skip: false,
        head: Matrix::new(1, 8, vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]).unwrap(),
        bias: vec![0.5],
        log_temperature: 0.0,
        linear: vec![],
    };
    let list = RuleList::from_network(&network, &literals, &["score".into()], &[], 1.0).unwrap();
    assert_eq!(
        list.to_string(),
        "+8.5000  (every row)\n+64.0000  x > 1.500 | x <= 1.500\n+48.0000  x > 1.500\n+3.0000  x > 3.500 & x <= 5.500\n"
    );
    let rows = encode(&literals, &table, Unseen::Ignore).unwrap();
    let pruned = list.pruned(&rows).unwrap();
    assert_eq!(
        pruned.to_string(),
        "+72.5000  (every row)\n+48.0000  x > 1.500\n+3.0000  x > 3.500 & x <= 5.500\n"
    );
    assert_eq!((list.n_scored(), list.n_edges()), (3, 5));
}

#[test]
fn files_of_every_version_open_and_damaged_ones_do_not() {
    for (name, expected) in [("rules_v1.json", 0.75), ("rules_v2.json", 1.25)] {
        let path = format!("{}/tests/files/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let list = RuleList::from_json(&text).unwrap();
        assert_eq!(list.explain(&[true, false, true], &[]).unwrap().scores, [expected], "{name}");
        assert_eq!(RuleList::from_json(&list.to_json()).unwrap(), list);
        // Every shorter piece of a file is refused, never accepted and never a panic.
        for end in (0..text.trim_end().len()).filter(|&end| text.is_char_boundary(end)) {
            assert!(RuleList::from_json(&text[..end]).is_err(), "{name} cut at {end}");
        }
    }
    let path = format!("{}/tests/files/model_v1.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let model = RrlModel::from_json(&text).unwrap();
    assert_eq!(model.objective(), Objective::Rank(RankLoss::LambdaRank { warm_up: 3 }));
    assert_eq!(
        model.scores(&Rows::from_bools(3, &[[true, false, true]]).unwrap(), None).unwrap().values(),
        [1.25]
    );
    let refused = |text: &str| RrlModel::from_json(text).unwrap_err().to_string();
    assert_eq!(
        refused(&text.replacen("\"version\": 1", "\"version\": 9", 1)),
        "the file has format version 9, this version reads up to 1; update the program"
    );
    assert!(
        refused(&text.replace("rrl model", "other"))
            .starts_with("not a readable rule list: the format is `other`")
    );
    let list = |body: &str| RuleList::from_json(body).unwrap_err().to_string();
    assert_eq!(
        list(r#"{"version": 3, "bias": 0}"#),
        "the file has format version 3, this version reads up to 2; update the program"
    );
    let with = |rules: &str| format!(r#"{{"bias": 0.0, "literals": [{{"name": "a"}}], "rules": [{rules}]}}"#);
    assert_eq!(
        list(&with(r#"{"logic": "and", "literals": [9], "weight": 1.0}"#)),
        "rule 0: it names literal 9, there are 1; correct or remove it"
    );
    assert_eq!(
        list(&with(r#"{"logic": "and", "literals": [], "weight": 1.0}"#)),
        "rule 0: it has no literal; correct or remove it"
    );
    assert_eq!(
        list(&with(r#"{"logic": "and", "literals": [{"rule": 0}], "weight": 1.0}"#)),
        "rule 0: it is part of itself; correct or remove it"
    );
    assert_eq!(
        list(&with(r#"{"logic": "and", "literals": [0], "weights": [1.0, 2.0]}"#)),
        "rule 0: it has 2 weights, there are 1 outputs; correct or remove it"
    );
    assert!(list("").starts_with("not a readable rule list: "));
}

/// What the fuzzer does with a list.
#[path = "../../../fuzz/src/rule_list.rs"]
#[allow(unreachable_pub, reason = "public where it is a crate")]
mod fuzz_target;

/// Random damage to saved lists: a small part of what the fuzz target does at length.
mod damaged_files {
    use proptest::prelude::*;

    fn served(text: &str) {
        crate::fuzz_target::rule_list(text.as_bytes());
    }

    fn seeds() -> Vec<String> {
        ["rules_v1.json", "rules_v2.json", "model_v1.json"]
            .map(|name| {
                std::fs::read_to_string(format!("{}/tests/files/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
            })
            .to_vec()
    }

    const PIECES: [&str; 14] = [
        "0",
        "1",
        "9",
        "-1",
        "1e308",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "null",
        "{\"rule\": 1}",
        "{\"not_rule\": 0}",
        ",",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn are_refused_or_served(
            seed in 0..3_usize,
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), any::<bool>()), 1..5),
        ) {
            let mut text = seeds()[seed].clone();
            for (place, piece, insert) in edits {
                let at = place.index(text.len());
                let end = if insert { at } else { at + 1 };
                if text.is_char_boundary(at) && text.is_char_boundary(end) {
                    text.replace_range(at..end, PIECES[piece]);
                }
            }
            served(&text);
        }

        #[test]
        fn of_random_rules_are_refused_or_served(
            terms in prop::collection::vec(prop::collection::vec((0..4_u8, 0..6_usize), 0..4), 0..6),
        ) {
            let rules: Vec<String> = terms
                .iter()
                .map(|terms| {
                    let terms: Vec<String> = terms
                        .iter()
                        .map(|(kind, at)| match kind {
                            0 => at.to_string(),
                            1 => format!("{{\"not\": {at}}}"),
                            2 => format!("{{\"rule\": {at}}}"),
                            _ => format!("{{\"not_rule\": {at}}}"),
                        })
                        .collect();
                    format!("{{\"logic\": \"or\", \"literals\": [{}], \"weight\": 1.5}}", terms.join(", "))
                })
                .collect();
            let literals = ["{\"name\": \"a\"}"; 5].join(", ");
            served(&format!("{{\"bias\": 0.5, \"literals\": [{literals}], \"rules\": [{}]}}", rules.join(", ")));
        }
    }
}
