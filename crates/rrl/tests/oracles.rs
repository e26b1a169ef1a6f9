//! Agreement with numbers made by the authors' implementation (`oracles/README.md`).

// Everything here is a test.
#![allow(clippy::unwrap_used, clippy::needless_for_each)]

use std::path::PathBuf;

use rrl::{
    Activation, BatchOrder, Column, Cuts, Dataset, DiscretiseConfig, Grafting, Literal, Logic, LogicLayer,
    Matrix, Missing, Network, Objective, Penalty, PublishedRules, Rows, RrlConfig, RuleList, Table, Targets,
    Test, Trainer, UnionLayer, Unseen, discretise, encode, macro_f1,
};
use serde_json::Value;

fn oracle(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn matrix(value: &Value) -> Matrix {
    Matrix::from_rows(&value.as_array().unwrap().iter().map(numbers).collect::<Vec<_>>()).unwrap()
}

fn transposed(from: &Matrix) -> Matrix {
    let mut to = Matrix::zeros(from.n_columns(), from.n_rows());
    for row in 0..from.n_rows() {
        for column in 0..from.n_columns() {
            to.row_mut(column)[row] = from.at(row, column);
        }
    }
    to
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        if expected.is_nan() {
            assert!(found.is_nan(), "{what} {at}: {found}, expected NaN");
            continue;
        }
        let error = (found - expected).abs() / (1.0 + expected.abs());
        assert!(error <= tolerance, "{what} {at}: {found}, expected {expected} (off by {error:e})");
    }
}

fn activation(nlaf: bool, parameters: &Value, estimated: bool) -> Activation {
    if nlaf {
        let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(|name| number(&parameters[name]));
        Activation::Nlaf { alpha, beta, gamma }
    } else {
        Activation::Product { estimated }
    }
}

/// Literals of the published layout for given cuts in units of standardised columns: discrete inputs,
/// their negations, `> cut` by column and cut, then `<= cut`.
fn published_literals(
    n_discrete: usize,
    negate: bool,
    cuts: Option<&Matrix>,
    names: &[String],
    scale: &dyn Fn(usize) -> (f64, f64),
) -> Vec<Literal> {
    let mut literals: Vec<Literal> = Vec::new();
    let test = |name: &str, test: Test| {
        let mut literal = Literal::new(name);
        literal.test = Some(test);
        literal
    };
    for name in &names[..n_discrete] {
        literals.push(test(name, Test::Above { column: name.clone(), value: 0.5, if_missing: false }));
    }
    if negate {
        for name in &names[..n_discrete] {
            literals.push(test(
                &format!("~{name}"),
                Test::AtMost { column: name.clone(), value: 0.5, if_missing: true },
            ));
        }
    }
    let Some(cuts) = cuts else { return literals };
    for above in [true, false] {
        for at in 0..cuts.n_columns() {
            let column = names[n_discrete + at].clone();
            let (mean, deviation) = scale(at);
            for cut in 0..cuts.n_rows() {
                let value = cuts.at(cut, at);
                let shown = value * deviation + mean;
                literals.push(if above {
                    test(
                        &format!("{column} > {shown:.3}"),
                        Test::Above { column: column.clone(), value, if_missing: false },
                    )
                } else {
                    test(
                        &format!("{column} <= {shown:.3}"),
                        Test::AtMost { column: column.clone(), value, if_missing: true },
                    )
                });
            }
        }
    }
    literals
}

fn table(rows: &Matrix, names: &[String]) -> Table {
    let column = |at: usize| Column::Numbers((0..rows.n_rows()).map(|row| rows.at(row, at)).collect());
    Table::new(names.iter().enumerate().map(|(at, name)| (name.clone(), column(at))).collect()).unwrap()
}

fn column_names(n_discrete: usize, n_continuous: usize) -> Vec<String> {
    (0..n_discrete).map(|at| format!("d{at}")).chain((0..n_continuous).map(|at| format!("c{at}"))).collect()
}

fn as_bits(rows: &Rows) -> Vec<Vec<f64>> {
    (0..rows.n_rows())
        .map(|row| (0..rows.n_literals()).map(|at| f64::from(u8::from(rows.holds(row, at)))).collect())
        .collect()
}

fn scales(case: &Value, names: &[String], n_discrete: usize) -> Vec<(f64, f64)> {
    names[n_discrete..]
        .iter()
        .map(|name| {
            if case["mean"].is_object() {
                (number(&case["mean"][name]), number(&case["std"][name]))
            } else {
                (0.0, 1.0)
            }
        })
        .collect()
}

#[test]
fn binarised_rows_and_names_match() {
    for case in oracle("binarize.json").as_array().unwrap() {
        let (n_discrete, n_continuous) = (size(&case["n_disc"]), size(&case["n_cont"]));
        let names = strings(&case["feature_names"]);
        assert_eq!(names, column_names(n_discrete, n_continuous));
        let cuts = (n_continuous > 0).then(|| matrix(&case["cl"]));
        let scale = scales(case, &names, n_discrete);
        let literals = published_literals(
            n_discrete,
            case["use_not"].as_bool().unwrap(),
            cuts.as_ref(),
            &names,
            &|at| scale[at],
        );
        let found: Vec<&str> = literals.iter().map(|literal| literal.name.as_str()).collect();
        assert_eq!(found, strings(&case["names"]));
        // Cells between 0 and 1 do not occur in the discrete part; a missing number is on the low side.
        let rows = encode(&literals, &table(&matrix(&case["x"]), &names), Unseen::Ignore).unwrap();
        let expected = matrix(&case["out"]);
        for (row, bits) in as_bits(&rows).iter().enumerate() {
            assert_eq!(bits, expected.row(row), "row {row}");
        }
    }
}

#[test]
fn literals_of_a_table_match_the_published_encoder() {
    let case = oracle("preprocess.json");
    let cells: Vec<Vec<String>> =
        strings(&case["rows"]).iter().map(|row| row.split(',').map(str::to_owned).collect()).collect();
    let category = |at: usize| Column::Categories(cells.iter().map(|row| Some(row[at].clone())).collect());
    let numeric =
        |at: usize| Column::Numbers(cells.iter().map(|row| row[at].parse().unwrap_or(f64::NAN)).collect());
    let table = Table::new(vec![
        ("color".into(), category(0)),
        ("u".into(), numeric(1)),
        ("k".into(), category(2)),
        ("v".into(), numeric(3)),
    ])
    .unwrap();
    let config = DiscretiseConfig { n_cuts: 400, ..DiscretiseConfig::published(400, 1) };
    let made = discretise(&table, &config).unwrap();
    let names: Vec<String> =
        made.literals.iter().take(5).map(|literal| literal.name.replace(" is ", "_")).collect();
    assert_eq!(names, strings(&case["X_names"])[..5]);
    let rows = encode(&made.literals, &table, Unseen::Ignore).unwrap();
    let expected = matrix(&case["X"]);
    for (row, bits) in as_bits(&rows).iter().enumerate() {
        assert_eq!(bits[..5], expected.row(row)[..5]);
        // A cut at z standard deviations is passed by the rows whose standardised value is above z.
        for (at, literal) in made.literals.iter().enumerate() {
            if let Some(Test::Above { column, value, .. }) = &literal.test {
                let (mean, deviation) = (number(&case["mean"][column]), number(&case["std"][column]));
                let standardised = expected.at(row, if column == "u" { 5 } else { 6 });
                assert_eq!(
                    bits[at] == 1.0,
                    standardised > (value - mean) / deviation,
                    "{} row {row}",
                    literal.name
                );
            }
        }
    }
    // 800 normal draws put 68 % of the cuts within one deviation.
    let within = made
        .literals
        .iter()
        .filter(|literal| match &literal.test {
            Some(Test::Above { column, value, .. }) => {
                ((value - number(&case["mean"][column])) / number(&case["std"][column])).abs() < 1.0
            }
            _ => false,
        })
        .count();
    assert!((500..590).contains(&within), "{within}");
    assert_eq!(config.missing, Missing::Mean);
    assert_eq!(config.cuts, Cuts::Normal);
}

#[test]
fn soft_layers_match_in_value_and_gradient() {
    for (at, case) in oracle("logic_layers.json").as_array().unwrap().iter().enumerate() {
        let kind = case["kind"].as_str().unwrap();
        let what = format!("case {at} ({kind})");
        let logic = if kind.ends_with("conj") { Logic::And } else { Logic::Or };
        let estimated = case["params"]["est"].as_bool().unwrap_or(false);
        let layer = LogicLayer::new(
            logic,
            activation(kind.starts_with("nlaf"), &case["params"], estimated),
            matrix(&case["W"]),
        );
        let x = matrix(&case["x"]);
        let negated = case["use_not"].as_bool().unwrap();
        let rows: Vec<Vec<f64>> = (0..x.n_rows())
            .map(|row| {
                let mut values = x.row(row).to_vec();
                if negated {
                    values.extend(x.row(row).iter().map(|value| 1.0 - value));
                }
                values
            })
            .collect();
        let inputs = Matrix::from_rows(&rows).unwrap();
        close(layer.soft(&inputs).unwrap().values(), matrix(&case["y_continuous"]).values(), 1e-9, &what);
        close(layer.discrete(&inputs).unwrap().values(), matrix(&case["y_binarized"]).values(), 1e-9, &what);
        let gradients = layer.backward(&inputs, &matrix(&case["upstream"])).unwrap();
        let mut of_x = Matrix::zeros(x.n_rows(), x.n_columns());
        for row in 0..x.n_rows() {
            for column in 0..x.n_columns() {
                let negation = if negated { gradients.inputs.at(row, x.n_columns() + column) } else { 0.0 };
                of_x.row_mut(row)[column] = gradients.inputs.at(row, column) - negation;
            }
        }
        close(of_x.values(), matrix(&case["grad_x"]).values(), 1e-9, &format!("{what} in x"));
        close(gradients.weights.values(), matrix(&case["grad_W"]).values(), 1e-9, &format!("{what} in W"));
    }
}

#[test]
fn a_weight_swept_over_its_range_matches() {
    for (at, case) in oracle("projection_extremes.json")["saturation"].as_array().unwrap().iter().enumerate()
    {
        let kind = case["kind"].as_str().unwrap();
        let nlaf = kind.starts_with("nlaf");
        let mut parameters = case["params"].clone();
        let estimated = parameters["est"].as_bool().unwrap_or(false);
        if nlaf && parameters["alpha"].is_null() {
            parameters = serde_json::json!({"alpha": 0.999, "beta": 8, "gamma": 1});
        }
        let logic = if kind.ends_with("conj") { Logic::And } else { Logic::Or };
        let layer = LogicLayer::new(logic, activation(nlaf, &parameters, estimated), matrix(&case["W"]));
        let inputs = matrix(&case["x"]);
        let what = format!("saturation {at} ({kind} {parameters})");
        close(layer.soft(&inputs).unwrap().values(), &[number(&case["y"])], 1e-9, &what);
        let gradients = layer.backward(&inputs, &Matrix::from_rows(&[[1.0]]).unwrap()).unwrap();
        close(gradients.weights.values(), matrix(&case["grad_W"]).values(), 1e-9, &what);
        close(gradients.inputs.values(), matrix(&case["grad_x"]).values(), 1e-9, &what);
    }
}

#[test]
fn learning_rates_and_macro_f1_match() {
    for case in oracle("lr_schedule.json").as_array().unwrap() {
        let config = RrlConfig {
            learning_rate: number(&case["lr"]),
            decay: (number(&case["rate"]), size(&case["every"])),
            ..RrlConfig::default()
        };
        for (epoch, rate) in case["at"].as_object().unwrap() {
            close(&[config.learning_rate_at(epoch.parse().unwrap())], &[number(rate)], 1e-15, epoch);
        }
    }
    for case in oracle("metrics.json").as_array().unwrap() {
        let classes =
            |name: &str| -> Vec<usize> { case[name].as_array().unwrap().iter().map(size).collect() };
        close(&[macro_f1(&classes("y"), &classes("p"))], &[number(&case["f1_macro"])], 1e-12, "macro F1");
    }
}

/// Parameters under the names the reference gives them.
fn network(parameters: &Value, n_literals: usize, negated: &[bool], skip: bool, prefix: &str) -> Network {
    let last = negated.len() + 1;
    let layer =
        |at: usize, kind: &str| matrix(&parameters[format!("{prefix}layer_list.{}.{kind}_layer.W", at + 1)]);
    Network {
        n_literals,
        layers: negated
            .iter()
            .enumerate()
            .map(|(at, &negated)| UnionLayer {
                conjunctions: layer(at, "con"),
                disjunctions: layer(at, "dis"),
                negated,
            })
            .collect(),
        skip,
        head: matrix(&parameters[format!("{prefix}layer_list.{last}.fc1.weight")]),
        bias: numbers(&parameters[format!("{prefix}layer_list.{last}.fc1.bias")]),
        log_temperature: parameters.get(format!("{prefix}t")).map_or(0.0, |t| numbers(t)[0]),
        linear: Vec::new(),
    }
}

#[track_caller]
fn close_networks(found: &Network, expected: &Network, tolerance: f64, what: &str) {
    for (at, (found, expected)) in found.layers.iter().zip(&expected.layers).enumerate() {
        let what = format!("{what}, layer {at}");
        close(
            found.conjunctions.values(),
            expected.conjunctions.values(),
            tolerance,
            &format!("{what} conjunctions"),
        );
        close(
            found.disjunctions.values(),
            expected.disjunctions.values(),
            tolerance,
            &format!("{what} disjunctions"),
        );
    }
    close(found.head.values(), expected.head.values(), tolerance, &format!("{what}, head"));
    close(&found.bias, &expected.bias, tolerance, &format!("{what}, bias"));
    close(&[found.log_temperature], &[expected.log_temperature], tolerance, &format!("{what}, temperature"));
}

fn classes(labels: Vec<usize>, n_classes: usize) -> Targets {
    Targets::Classes { labels, names: (0..n_classes).map(|class| format!("class {class}")).collect() }
}

#[test]
fn two_optimiser_steps_match() {
    for (at, case) in oracle("train_step.json").as_array().unwrap().iter().enumerate() {
        let dims = case["dims"].as_array().unwrap();
        let n_classes = size(dims.last().unwrap());
        let x = matrix(&case["x"]);
        let n_continuous = size(&dims[0][1]);
        let names = column_names(size(&dims[0][0]), n_continuous);
        let cuts = matrix(&case["cl"]);
        let literals = published_literals(
            size(&dims[0][0]),
            case["use_not"].as_bool().unwrap(),
            Some(&cuts),
            &names,
            &|_| (0.0, 1.0),
        );
        let rows = encode(&literals, &table(&x, &names), Unseen::Ignore).unwrap();
        let negated: Vec<bool> =
            case["layer_use_not"].as_array().unwrap()[1..].iter().filter_map(Value::as_bool).collect();
        let skip = case["skip"].as_bool().unwrap();
        let n_literals = literals.len();
        let read = |value: &Value| network(value, n_literals, &negated, skip, "");
        let weight_decay = number(&case["weight_decay"]);
        let config = RrlConfig {
            nodes: dims[2..dims.len() - 1].iter().map(size).collect(),
            activation: activation(
                case["nlaf"].as_bool().unwrap(),
                &case["params"],
                case["estimated_grad"].as_bool().unwrap(),
            ),
            penalty: Penalty { squares: weight_decay, ..Penalty::default() },
            learning_rate: number(&case["lr"]),
            ..RrlConfig::published()
        };
        let labels: Vec<usize> = case["y"].as_array().unwrap().iter().map(size).collect();
        let units: Vec<usize> = (0..labels.len()).collect();
        let data = Dataset { rows, literals, targets: classes(labels, n_classes), linear: None };
        let start = read(&case["before"]);
        let mut trainer = Trainer::<f64>::new(&start, &data.literals, Objective::Classify, &config).unwrap();
        close_networks(&trainer.network(), &start, 0.0, "as given");
        for (step, expected) in case["steps"].as_array().unwrap().iter().enumerate() {
            let what = format!("network {at}, step {step}");
            let gradients = trainer.gradients(&data, &units, 0).unwrap();
            close(
                gradients.scores.values(),
                matrix(&expected["logits"]).values(),
                1e-9,
                &format!("{what}, logits"),
            );
            close(&[gradients.data_loss], &[number(&expected["loss_ce"])], 1e-9, &format!("{what}, loss"));
            close(&[gradients.squares], &[number(&expected["l2"])], 1e-9, &format!("{what}, penalty"));
            let loss = gradients.data_loss + weight_decay * gradients.squares;
            close(&[loss], &[number(&expected["loss"])], 1e-9, &format!("{what}, whole loss"));
            close_networks(
                &gradients.parameters,
                &read(&expected["grads"]),
                1e-9,
                &format!("{what}, gradients"),
            );
            trainer.step(&data, &units, 0).unwrap();
            close_networks(
                &trainer.network(),
                &read(&expected["after_clip"]),
                1e-9,
                &format!("{what}, after"),
            );
        }
    }
}

#[test]
fn a_step_of_the_2021_scheme_matches() {
    for (at, case) in oracle("single_graft_step.json").as_array().unwrap().iter().enumerate() {
        let what = format!("network {at}");
        let dims = case["dims"].as_array().unwrap();
        let n_classes = size(dims.last().unwrap());
        let x = matrix(&case["x"]);
        let (n_discrete, n_continuous) = (size(&dims[0][0]), size(&dims[0][1]));
        let names = column_names(n_discrete, n_continuous);
        // Two sets of cuts: above the first, below the second (a tie counts as above).
        let (cl, cr) = (matrix(&case["cl"]), matrix(&case["cr"]));
        let lower = published_literals(n_discrete, false, Some(&cl), &names, &|_| (0.0, 1.0));
        let upper = published_literals(n_discrete, false, Some(&cr), &names, &|_| (0.0, 1.0));
        let n_above = n_discrete + cl.n_rows() * n_continuous;
        let literals = [&lower[..n_above], &upper[n_above..]].concat();
        let rows = encode(&literals, &table(&x, &names), Unseen::Ignore).unwrap();
        let n_layers = dims.len() - 3;
        let read = |value: &Value| {
            let mut network = network(
                &value_with_inputs_first(value, n_layers),
                literals.len(),
                &vec![false; n_layers],
                true,
                "",
            );
            network.log_temperature = 0.0;
            network
        };
        let config = RrlConfig {
            nodes: dims[2..dims.len() - 1].iter().map(size).collect(),
            grafting: Grafting::Single,
            penalty: Penalty {
                squares: number(&case["weight_decay_adam_all_params"]),
                all_parameters: true,
                ..Penalty::default()
            },
            train_temperature: false,
            learning_rate: number(&case["lr"]),
            ..RrlConfig::published()
        };
        let labels: Vec<usize> = case["y"].as_array().unwrap().iter().map(size).collect();
        let units: Vec<usize> = (0..labels.len()).collect();
        let data =
            Dataset { rows, literals: literals.clone(), targets: classes(labels, n_classes), linear: None };
        let start = read(&case["before"]);
        let mut trainer = Trainer::<f64>::new(&start, &literals, Objective::Classify, &config).unwrap();
        let mut gradients = trainer.gradients(&data, &units, 0).unwrap();
        close(
            gradients.scores.values(),
            matrix(&case["logits_discrete"]).values(),
            1e-9,
            &format!("{what}, logits"),
        );
        trainer.step(&data, &units, 0).unwrap();
        close_networks(&trainer.network(), &read(&case["after_clip"]), 1e-9, &format!("{what}, after"));
        // The oracle's gradients are without the penalty.
        let without =
            RrlConfig { penalty: Penalty { squares: 0.0, all_parameters: true, absolutes: 0.0 }, ..config };
        let mut trainer = Trainer::<f64>::new(&start, &literals, Objective::Classify, &without).unwrap();
        gradients = trainer.gradients(&data, &units, 0).unwrap();
        close_networks(
            &gradients.parameters,
            &read(&case["grads_before_wd"]),
            1e-9,
            &format!("{what}, gradients"),
        );
    }
}

/// The same parameters with logical weights as `[inputs, nodes]`.
fn value_with_inputs_first(value: &Value, n_layers: usize) -> Value {
    let mut value = value.clone();
    for layer in 1..=n_layers {
        for kind in ["con", "dis"] {
            let name = format!("layer_list.{layer}.{kind}_layer.W");
            let flipped = transposed(&matrix(&value[&name]));
            let rows: Vec<Vec<f64>> = (0..flipped.n_rows()).map(|row| flipped.row(row).to_vec()).collect();
            value[&name] = serde_json::json!(rows);
        }
    }
    value
}

/// Runs the recorded trainings; returns the number of steps compared.
fn follow_trajectories() -> usize {
    let oracle = oracle("trajectory_tictactoe.json");
    let all = matrix(&oracle["X_all"]);
    let labels: Vec<usize> = oracle["y_all"].as_array().unwrap().iter().map(size).collect();
    let positions =
        |name: &str| -> Vec<usize> { oracle[name].as_array().unwrap().iter().map(size).collect() };
    let (train, test) = (positions("train_rows_in_shuffled_order"), positions("test_rows_in_shuffled_order"));
    let literals: Vec<Literal> = strings(&oracle["X_names"]).into_iter().map(Literal::new).collect();
    let data = |rows: &[usize]| {
        let bools: Vec<Vec<bool>> =
            rows.iter().map(|&row| all.row(row).iter().map(|&value| value == 1.0).collect()).collect();
        Dataset {
            rows: Rows::from_bools(literals.len(), &bools).unwrap(),
            literals: literals.clone(),
            targets: classes(rows.iter().map(|&row| labels[row]).collect(), 2),
            linear: None,
        }
    };
    let (train, test) = (data(&train), data(&test));
    let order = positions("batch_order");
    let mut n_steps = 0;
    for run in oracle["runs"].as_array().unwrap() {
        let what = run["name"].as_str().unwrap();
        let config = RrlConfig {
            nodes: vec![size(&run["dims"][2])],
            activation: activation(run["nlaf"].as_bool().unwrap(), &run["params"], false),
            penalty: Penalty { squares: number(&run["weight_decay"]), ..Penalty::default() },
            learning_rate: number(&run["lr"]),
            decay: (number(&run["lr_rate"]), size(&run["lr_every"])),
            batch_size: size(&run["batch"]),
            ..RrlConfig::published()
        };
        assert_eq!(config.order, BatchOrder::Fixed);
        let negated: Vec<bool> = (0..run["dims"].as_array().unwrap().len() - 3).map(|at| at > 0).collect();
        let read = |value: &Value| network(value, literals.len(), &negated, false, "");
        let start = read(&run["init"]);
        let mut trainer = Trainer::<f64>::new(&start, &literals, Objective::Classify, &config).unwrap();
        let losses = numbers(&run["losses"]);
        let mut found = Vec::new();
        for epoch in 0..size(&run["epochs"]) {
            for batch in order.chunks(config.batch_size) {
                // The recorded losses are with the penalty.
                let gradients = trainer.gradients(&train, batch, epoch).unwrap();
                found.push(gradients.data_loss + config.penalty.squares * gradients.squares);
                let data_loss = trainer.step(&train, batch, epoch).unwrap();
                assert_eq!(data_loss, gradients.data_loss);
            }
            let list =
                RuleList::from_network(&trainer.network(), &literals, &test.targets.output_names(), &[], 1.0)
                    .unwrap();
            let scores = list.scores(&test.rows, &Matrix::default()).unwrap();
            let predicted: Vec<usize> =
                (0..scores.n_rows()).map(|row| usize::from(scores.at(row, 1) > scores.at(row, 0))).collect();
            let Targets::Classes { labels, .. } = &test.targets else { unreachable!() };
            let f1 = numbers(&run["test_f1_after_each_epoch"])[epoch];
            close(&[macro_f1(labels, &predicted)], &[f1], 1e-9, &format!("{what}, F1 of epoch {epoch}"));
        }
        close(&found[..100], &losses[..100], 1e-9, &format!("{what}, early losses"));
        close(&found, &losses, 1e-6, &format!("{what}, losses"));
        close_networks(&trainer.network(), &read(&run["final"]), 1e-6, &format!("{what}, final"));
        n_steps += found.len();
    }
    n_steps
}

#[test]
fn whole_trainings_match_step_by_step() {
    assert_eq!(follow_trajectories(), 3 * 288);
}

#[test]
fn extracted_and_printed_rules_match() {
    for case in oracle("rule_extraction.json").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let dims = case["dims"].as_array().unwrap();
        let (n_discrete, n_continuous) = (size(&dims[0][0]), size(&dims[0][1]));
        let names = strings(&case["feature_names"]);
        let use_not = case["use_not"].as_bool().unwrap();
        let cuts = case["cl"].is_array().then(|| matrix(&case["cl"]));
        let scale = scales(case, &names, n_discrete);
        let literals = published_literals(n_discrete, use_not, cuts.as_ref(), &names, &|at| scale[at]);
        assert_eq!(
            literals.len(),
            n_discrete * (1 + usize::from(use_not)) + cuts.map_or(0, |cuts| 2 * cuts.values().len())
        );
        let rows = encode(
            &literals,
            &table(&matrix(&case["X"]), &names[..n_discrete + n_continuous]),
            Unseen::Ignore,
        )
        .unwrap();
        let n_layers = dims.len() - 3;
        let negated: Vec<bool> = (0..n_layers).map(|at| at > 0).collect();
        let network = network(&case["params"], literals.len(), &negated, case["skip"].as_bool().unwrap(), "");
        let outputs = strings(&case["label_names"]);
        let found = PublishedRules::extract(&network, &literals, &rows).unwrap();
        for (at, (found, expected)) in found.layers.iter().zip(case["layers"].as_array().unwrap()).enumerate()
        {
            let what = format!("{name}, layer {at}");
            let dim2rule: Vec<i64> =
                found.rule_of_node.iter().map(|rule| rule.map_or(-1, |rule| rule as i64)).collect();
            for (dim, rule) in expected["dim2rule"].as_object().unwrap() {
                assert_eq!(
                    dim2rule[dim.parse::<usize>().unwrap()],
                    rule.as_i64().unwrap(),
                    "{what}, node {dim}"
                );
            }
            for (found, kind) in [(&found.conjunctions, "conj"), (&found.disjunctions, "disj")] {
                assert_eq!(serde_json::json!(found), expected[kind], "{what}, {kind}");
            }
            assert_eq!(found.names, strings(&expected["names"]), "{what}");
            let counts: Vec<f64> = found.counts.iter().map(|&count| count as f64).collect();
            assert_eq!(counts, numbers(&expected["activation_count"]), "{what}");
        }
        close(&found.bias, &numbers(&case["folded_bias"]), 1e-12, name);
        for ((id, weights), expected) in found.head.iter().zip(case["head"].as_array().unwrap()) {
            assert_eq!(serde_json::json!(id), expected["rule_id"], "{name}");
            let expected: Vec<f64> =
                (0..weights.len()).map(|class| number(&expected["weights"][class.to_string()])).collect();
            close(weights, &expected, 1e-12, name);
        }
        assert_eq!(found.head.len(), case["head"].as_array().unwrap().len(), "{name}");
        assert_eq!(found.n_edges(), size(&case["edges"]), "{name}");
        // Case F records a known defect of the reference: its support column is read at a wrong place
        // for rules of a layer more than as wide as the one above.
        let (printed, expected) = (found.print(&outputs), case["printed"].as_str().unwrap());
        let without_support = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| {
                    let mut cells: Vec<&str> = line.split('\t').collect();
                    if cells.len() > 2 {
                        cells.remove(cells.len() - 2);
                    }
                    cells.join("\t")
                })
                .collect()
        };
        if name.starts_with('F') {
            assert_eq!(without_support(&printed), without_support(expected), "{name}");
        } else {
            assert_eq!(printed, expected, "{name}");
        }
        // The exact list scores every row as the network does.
        let list = RuleList::from_network(&network, &literals, &outputs, &[], 1.0).unwrap();
        let scores = list.scores(&rows, &Matrix::default()).unwrap();
        close(
            scores.values(),
            matrix(&case["logits"]).values(),
            1e-9,
            &format!("{name}, scores of the list"),
        );
        let pruned = list.pruned(&rows).unwrap();
        let scores = pruned.scores(&rows, &Matrix::default()).unwrap();
        close(
            scores.values(),
            matrix(&case["logits"]).values(),
            1e-9,
            &format!("{name}, scores of the pruned list"),
        );
    }
}

/// Reads an oracle that is not shipped from the shared data beside a checkout; says so where it is absent.
fn shared_oracle(name: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/oracles/rrl").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        let mut stderr = std::io::stderr();
        std::io::Write::write_all(&mut stderr, format!("SKIPPED: {} is absent\n", path.display()).as_bytes())
            .unwrap();
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn trained_reference_models_are_served_as_printed() {
    let Some(oracle) = shared_oracle("trained_models.json") else { return };
    for case in oracle.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let dims = case["dims"].as_array().unwrap();
        let n_discrete = size(&dims[0][0]);
        let names = strings(&case["X_names"]);
        let state = &case["state"];
        let cuts = state["layer_list.0.cl"].is_array().then(|| matrix(&state["layer_list.0.cl"]));
        let scale = scales(case, &names, n_discrete);
        let n_layers = dims.len() - 3;
        let width = matrix(&state["layer_list.1.con_layer.W"]).n_rows();
        let negate = width > n_discrete + cuts.as_ref().map_or(0, |cuts| 2 * cuts.values().len());
        let literals = published_literals(n_discrete, negate, cuts.as_ref(), &names, &|at| scale[at]);
        let negated: Vec<bool> = (0..n_layers).map(|at| at > 0).collect();
        let network = network(state, literals.len(), &negated, false, "");
        let outputs = strings(&case["y_names"]);
        let list = RuleList::from_network(&network, &literals, &outputs, &[], 1.0).unwrap();
        let rows =
            encode(&literals, &table(&matrix(&case["X_test_first50"]), &names), Unseen::Ignore).unwrap();
        let scores = list.scores(&rows, &Matrix::default()).unwrap();
        close(scores.values(), matrix(&case["logits_first50"]).values(), 1e-5, &format!("{name}, logits"));
        // Every printed rule is in the list with its weights. The print keeps a conjunction and a
        // disjunction of one literal apart, the list adds them up.
        let mut printed: std::collections::BTreeMap<String, Vec<f64>> = std::collections::BTreeMap::new();
        for line in case["printed_rules"].as_str().unwrap().lines().skip(1).filter(|line| line.contains('\t'))
        {
            let cells: Vec<&str> = line.split('\t').collect();
            let weights = cells[1..=outputs.len()].iter().map(|cell| cell.parse::<f64>().unwrap());
            let sums = printed
                .entry(cells[outputs.len() + 2].to_owned())
                .or_insert_with(|| vec![0.0; outputs.len()]);
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        }
        assert!(!printed.is_empty(), "{name}");
        for (text, weights) in &printed {
            let same: Vec<usize> = (0..list.rules().len()).filter(|&rule| list.text(rule) == *text).collect();
            assert!(!same.is_empty(), "{name}: `{text}` is not in the list");
            for (output, weight) in weights.iter().enumerate() {
                let found: f64 = same.iter().map(|&rule| list.rules()[rule].weights[output]).sum();
                assert!((found - weight).abs() < 2e-4, "{name}: `{text}` weighs {found}, printed {weight}");
            }
        }
    }
}
