//! Logits, losses, gradients, optimiser steps and adapters against PyTorch.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nn::{Adam, AdamConfig};
use serde_json::Value;
use titlecard_lm::{Batch, GptNeoX, LmError, LoraConfig, ModelConfig, StoredAs, Workspace};

use crate::{
    batch, batch_row, fixtures, floats, ids, json, largest_difference, oracles, small_model, tensors,
};

/// Loss, losses by position and gradient norms of an oracle's batch.
fn check_losses_and_norms(model: &GptNeoX, oracle: &Value) -> Vec<f32> {
    let batch = batch(oracle);
    let n = batch.targets.len();
    assert_eq!(n as u64, oracle["n_target_tokens"].as_u64().unwrap());
    let mut workspace = Workspace::new();
    let mut gradients = vec![f32::NAN; model.trained().len()];
    let losses = model.loss_and_gradients(&batch, 1.0 / n as f32, &mut workspace, &mut gradients, false);
    assert_eq!(model.losses(&batch, &mut workspace), losses);
    let mean = losses.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
    assert!((mean - oracle["loss"].as_f64().unwrap()).abs() <= 1e-6, "{mean}");
    assert!((mean.exp() - oracle["perplexity"].as_f64().unwrap()).abs() < 1e-5);
    let expected: Vec<f64> = oracle["nll_per_position"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(floats)
        .filter(|&x| x != 0.0)
        .collect();
    assert_eq!(expected.len(), n);
    for (found, expected) in losses.iter().zip(&expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
    }
    let norms = oracle["grad_norms"].as_object().unwrap();
    assert_eq!(norms.len(), model.trained_parameters().len(), "every parameter has its oracle");
    for parameter in model.trained_parameters() {
        let norm = nn::simd::sum_of_squares(&gradients[parameter.range.clone()]).sqrt();
        let expected = norms[&parameter.name].as_f64().unwrap();
        assert!(expected > 0.0 && norm > 0.0, "`{}` gets a gradient", parameter.name);
        assert!((norm - expected).abs() <= 1e-5 * expected, "{}: {norm} {expected}", parameter.name);
    }
    let total = nn::simd::sum_of_squares(&gradients).sqrt();
    assert!((total - oracle["total_grad_norm"].as_f64().unwrap()).abs() < 1e-5 * total);
    // With less memory, the same bytes.
    let mut again = vec![f32::NAN; gradients.len()];
    let mut workspace = Workspace::checkpointing();
    model.loss_and_gradients(&batch, 1.0 / n as f32, &mut workspace, &mut again, false);
    assert_eq!(again, gradients, "gradient checkpointing");
    gradients
}

#[test]
fn the_small_model_has_the_losses_and_gradients_of_pytorch() {
    let (_folder, model) = small_model();
    assert_eq!(model.n_parameters(), 165_632);
    check_losses_and_norms(&model, &json(&fixtures().join("tiny_fp16/forward.json")));
}

/// Largest difference of logits at real places.
fn logits_difference(model: &GptNeoX, oracle: &Value, expected: &[f32], left: bool) -> f64 {
    let rows = if left { &oracle["left_padded"] } else { oracle };
    let (n_rows, length, vocabulary) = (3, 40, model.config().vocab_size);
    let mut worst = 0.0_f64;
    for row in 0..n_rows {
        let mask = ids(&rows["attention_mask"][row]);
        let n = mask.iter().sum::<u32>() as usize;
        let first = if left { length - n } else { 0 };
        let mut batch = Batch::default();
        batch.push(&ids(&rows["input_ids"][row])[first..first + n], &vec![false; n]);
        let places: Vec<usize> = (0..n).collect();
        let logits = model.logits(&batch, &places, &mut Workspace::new());
        let expected = &expected[(row * length + first) * vocabulary..][..n * vocabulary];
        worst = worst.max(largest_difference(&logits, expected));
    }
    worst
}

#[test]
fn logits_and_gradients_of_every_oracle_match() {
    let Some(oracles) = oracles() else { return };
    for name in ["tiny", "tiny_legacy_fp16", "tiny_sharded", "tiny_variant"] {
        let folder = oracles.join(name);
        let model = GptNeoX::load(&folder).unwrap();
        let oracle = json(&folder.join("forward.json"));
        let expected = tensors(&folder.join("forward_tensors.safetensors"));
        for (tensor, left) in [("logits", false), ("logits_leftpad", true)] {
            if let Some((_, logits)) = expected.get(tensor) {
                let worst = logits_difference(&model, &oracle, logits, left);
                eprintln!("{name} {tensor}: {worst:e}");
                assert!(worst <= 2e-5, "{name} {tensor}: {worst:e}");
            }
        }
        // Residual stream before every block.
        let batch = batch(&oracle);
        let residuals = model.residuals(&batch);
        for (layer, found) in residuals.iter().enumerate().take(model.config().n_layers) {
            let Some((shape, expected)) = expected.get(&format!("hidden_{layer}")) else { continue };
            let width = shape[2];
            let mut start = 0;
            for (row, &n) in batch.segments.iter().enumerate() {
                let expected = &expected[row * shape[1] * width..][..n * width];
                let worst = largest_difference(&found[start * width..][..n * width], expected);
                assert!(worst <= 2e-5, "{name} hidden {layer}: {worst:e}");
                start += n;
            }
        }
        let gradients = check_losses_and_norms(&model, &oracle);
        let path = folder.join("forward_grads.safetensors");
        if path.exists() {
            let expected = tensors(&path);
            assert_eq!(expected.len(), model.trained_parameters().len());
            for parameter in model.trained_parameters() {
                let (shape, expected) = &expected[&parameter.name];
                assert_eq!(shape, &parameter.shape);
                let worst = largest_difference(&gradients[parameter.range.clone()], expected);
                assert!(worst <= 1e-6, "{name} {}: {worst:e}", parameter.name);
            }
        }
    }
}

fn adam(learning_rate: f64, weight_decay: f32) -> AdamConfig {
    AdamConfig {
        learning_rate: learning_rate as f32,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay,
        decoupled: true,
    }
}

#[test]
fn one_optimiser_step_matches() {
    let Some(oracles) = oracles() else { return };
    let folder = oracles.join("tiny");
    let mut model = GptNeoX::load(&folder).unwrap();
    let batch = batch(&json(&folder.join("forward.json")));
    let oracle = json(&folder.join("adamw_one_step.json"));
    let mut workspace = Workspace::new();
    let mut gradients = vec![0.0; model.trained().len()];
    let scale = 1.0 / batch.targets.len() as f32;
    model.loss_and_gradients(&batch, scale, &mut workspace, &mut gradients, false);
    let norm = nn::simd::sum_of_squares(&gradients).sqrt();
    assert!((norm - oracle["grad_norm_before_clip"].as_f64().unwrap()).abs() < 1e-5);
    let mut optimizer = Adam::new(gradients.len(), adam(1e-3, 0.1));
    let groups = model.decay_groups();
    let factor = (1.0 / (norm + 1e-6)).min(1.0) as f32;
    optimizer.step(model.trained_mut(), &gradients, factor, &groups);
    let expected = tensors(&folder.join("adamw_one_step_params.safetensors"));
    for parameter in model.parameters() {
        let (_, expected) = &expected[&parameter.name];
        for (at, i) in parameter.range.clone().enumerate() {
            if gradients[i].abs() > 1e-5 {
                let found = model.trained()[i];
                assert!(
                    (found - expected[at]).abs() <= 1e-6,
                    "{} {at}: {found} {}",
                    parameter.name,
                    expected[at]
                );
            }
        }
    }
    let losses = model.losses(&batch, &mut workspace);
    let mean = losses.iter().map(|&x| f64::from(x)).sum::<f64>() / losses.len() as f64;
    assert!((mean - oracle["loss_after"].as_f64().unwrap()).abs() < 1e-5);
}

/// Trains as the oracle says; checks losses, norms, rates, and parameters after the last step.
fn check_training(model: &mut GptNeoX, folder: &Path, tolerance: f64) {
    let oracle = json(&folder.join("train10.json"));
    let setting = |key: &str| oracle["optimizer"][key].as_f64().unwrap();
    let mut optimizer = Adam::new(model.trained().len(), adam(setting("lr"), setting("weight_decay") as f32));
    let groups = model.decay_groups();
    let mut workspace = Workspace::new();
    let mut gradients = vec![0.0; model.trained().len()];
    let steps = oracle["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 10);
    for (at, step) in steps.iter().enumerate() {
        let batch = batch(step);
        let n = batch.targets.len() as f32;
        let losses = model.loss_and_gradients(&batch, 1.0 / n, &mut workspace, &mut gradients, false);
        let mean = losses.iter().map(|&x| f64::from(x)).sum::<f64>() / f64::from(n);
        assert!((mean - step["loss"].as_f64().unwrap()).abs() <= 1e-5, "loss of step {at}: {mean}");
        let norm = nn::simd::sum_of_squares(&gradients).sqrt();
        assert!((norm - step["grad_norm_before_clip"].as_f64().unwrap()).abs() <= 1e-5, "norm of step {at}");
        let rate = nn::schedule::cosine_from_zero(at as u64, 2, 10, setting("lr"), 0.0);
        assert!((rate - step["lr"].as_f64().unwrap()).abs() <= 1e-12, "rate of step {at}: {rate}");
        optimizer.set_learning_rate(rate as f32);
        let factor = (1.0 / (norm + 1e-6)).min(1.0) as f32;
        optimizer.step(model.trained_mut(), &gradients, factor, &groups);
    }
    let expected = tensors(&folder.join("train10_params_step10.safetensors"));
    let (mut difference, mut length) = (0.0_f64, 0.0_f64);
    for parameter in model.trained_parameters() {
        let name = parameter.name.clone();
        let (_, expected) = expected
            .get(&name)
            .or_else(|| expected.get(&name.replace(".weight", ".default.weight")))
            .unwrap_or_else(|| panic!("`{name}` is among {:?}", expected.keys().collect::<Vec<_>>()));
        for (found, expected) in model.trained()[parameter.range.clone()].iter().zip(expected) {
            difference += (f64::from(*found) - f64::from(*expected)).powi(2);
            length += f64::from(*expected).powi(2);
        }
    }
    let relative = (difference / length).sqrt();
    eprintln!("{}: {relative:e} after 10 steps", folder.display());
    assert!(relative <= tolerance, "{relative:e}");
}

#[test]
fn ten_optimiser_steps_match() {
    let Some(oracles) = oracles() else { return };
    let folder = oracles.join("tiny");
    check_training(&mut GptNeoX::load(&folder).unwrap(), &folder, 5e-5);
}

#[test]
fn accumulation_counts_tokens_not_batches() {
    let Some(oracles) = oracles() else { return };
    let folder = oracles.join("tiny");
    let model = GptNeoX::load(&folder).unwrap();
    let (forward, oracle) =
        (json(&folder.join("forward.json")), json(&folder.join("grad_accumulation.json")));
    let mut workspace = Workspace::new();
    let mut gradients = vec![f32::NAN; model.trained().len()];
    let total: u64 = oracle["token_counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    let mut sum = 0.0;
    for row in 0..3 {
        let mut batch = Batch::default();
        batch_row(
            &mut batch,
            &forward["input_ids"][row],
            &forward["attention_mask"][row],
            &forward["labels"][row],
        );
        assert_eq!(batch.targets.len() as u64, oracle["token_counts"][row].as_u64().unwrap());
        let losses =
            model.loss_and_gradients(&batch, 1.0 / total as f32, &mut workspace, &mut gradients, row > 0);
        sum += losses.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    let loss = sum / total as f64;
    assert!((loss - oracle["correct_loss"].as_f64().unwrap()).abs() < 1e-6);
    let norm = nn::simd::sum_of_squares(&gradients).sqrt();
    assert!((norm - oracle["correct_total_grad_norm"].as_f64().unwrap()).abs() < 1e-5 * norm);
    assert!((loss - oracle["mean_of_means_loss (the wrong value)"].as_f64().unwrap()).abs() > 1e-4);
}

#[test]
fn adapters_match_peft() {
    let Some(oracles) = oracles() else { return };
    for name in ["tiny_lora", "tiny_lora_qkv_rs"] {
        let folder = oracles.join(name);
        let mut model = GptNeoX::load(&oracles.join("tiny")).unwrap();
        model.load_lora(&folder).unwrap();
        let forward = json(&oracles.join("tiny/forward.json"));
        let oracle = json(&folder.join("forward.json"));
        let expected = tensors(&folder.join("forward_tensors.safetensors"));
        let worst = logits_difference(&model, &forward, &expected["logits_adapter"].1, false);
        assert!(worst <= 2e-5, "{name}: {worst:e}");
        let scale = f64::from(model.lora().unwrap().config().scale());
        assert!((scale - oracle["scaling"].as_f64().unwrap()).abs() < 1e-6);
        assert_eq!(model.trained().len() as u64, oracle["trainable_parameters"].as_u64().unwrap());

        let batch = batch(&forward);
        let mut gradients = vec![f32::NAN; model.trained().len()];
        let n = batch.targets.len() as f32;
        let losses = model.loss_and_gradients(&batch, 1.0 / n, &mut Workspace::new(), &mut gradients, false);
        let mean = losses.iter().sum::<f32>() / n;
        assert!((f64::from(mean) - oracle["loss"].as_f64().unwrap()).abs() < 1e-6);
        let expected_gradients = tensors(&folder.join("forward_grads.safetensors"));
        for parameter in model.trained_parameters() {
            let worst = largest_difference(
                &gradients[parameter.range.clone()],
                &expected_gradients[&parameter.name].1,
            );
            assert!(worst <= 1e-6, "{name} {}: {worst:e}", parameter.name);
        }
        let mut low_memory = vec![f32::NAN; gradients.len()];
        model.loss_and_gradients(&batch, 1.0 / n, &mut Workspace::checkpointing(), &mut low_memory, false);
        assert_eq!(low_memory, gradients);

        let mut trained = model.clone();
        check_training(&mut trained, &folder, 5e-5);

        let mut merged = model.clone();
        merged.merge_lora();
        assert!(merged.lora().is_none());
        let of_merged = tensors(&folder.join("merged_params.safetensors"));
        for parameter in merged.parameters() {
            let worst =
                largest_difference(&merged.trained()[parameter.range.clone()], &of_merged[&parameter.name].1);
            assert!(worst <= 1e-6, "{name} merged {}: {worst:e}", parameter.name);
        }
        let worst = logits_difference(&merged, &forward, &expected["logits_merged"].1, false);
        assert!(worst <= 2e-5, "{name} merged: {worst:e}");

        // Files written here are read back to the same adapter.
        let saved = tempfile::tempdir().unwrap();
        model.lora().unwrap().save(saved.path(), "tiny").unwrap();
        let mut again = GptNeoX::load(&oracles.join("tiny")).unwrap();
        again.load_lora(saved.path()).unwrap();
        assert_eq!(again.trained(), model.trained());
        assert_eq!(again.lora().unwrap().config(), model.lora().unwrap().config());
    }
}

/// Every switch of the model, small enough for numeric gradients.
fn variants() -> Vec<ModelConfig> {
    let base = ModelConfig { intermediate_size: 24, ..ModelConfig::of_size(2, 12, 2, 20) };
    let base = ModelConfig { rotary_fraction: 2.0 / 3.0, ..base };
    vec![
        base.clone(),
        ModelConfig { parallel_residual: false, ..base.clone() },
        ModelConfig { tied: true, attention_bias: false, gelu: nn::simd::Gelu::Tanh, ..base },
    ]
}

/// Moves weights away from their start, where some gradients are zero by symmetry.
fn shaken(config: &ModelConfig) -> GptNeoX {
    let mut model = GptNeoX::new(config, 3);
    for (at, value) in model.trained_mut().iter_mut().enumerate() {
        *value = *value * 4.0 + 0.15 * ((at as f32) * 0.7).sin();
    }
    model
}

fn small_batch() -> Batch {
    let mut batch = Batch::default();
    batch.push(&[3, 7, 7, 19, 0, 4], &[true; 6]);
    batch.push(&[11, 2, 5], &[false, false, true]);
    batch.push(&[9], &[true]);
    batch
}

fn check_numeric(mut model: GptNeoX, batch: &Batch) {
    let n = model.trained().len();
    let mut gradients = vec![f32::NAN; n];
    let mut workspace = Workspace::new();
    model.loss_and_gradients(batch, 1.0, &mut workspace, &mut gradients, false);
    let mut loss =
        |model: &GptNeoX| -> f64 { model.losses(batch, &mut workspace).iter().map(|&x| f64::from(x)).sum() };
    for parameter in model.trained_parameters().to_vec() {
        let norm = nn::simd::sum_of_squares(&gradients[parameter.range.clone()]).sqrt();
        assert!(norm > 1e-4, "`{}` gets a gradient", parameter.name);
        // The place with the largest gradient, and one more.
        let largest = parameter
            .range
            .clone()
            .max_by(|&a, &b| gradients[a].abs().total_cmp(&gradients[b].abs()))
            .unwrap();
        for at in [largest, parameter.range.start + parameter.range.len() / 2] {
            let before = model.trained()[at];
            let mut moved = |by: f32| {
                model.trained_mut()[at] = before + by;
                let value = loss(&model);
                model.trained_mut()[at] = before;
                value
            };
            let mut at_distance = |h: f32| (moved(h) - moved(-h)) / f64::from(2.0 * h);
            // Richardson's extrapolation: without the curvature that remains at a distance f32 can resolve.
            let slope = (4.0 * at_distance(3e-3) - at_distance(6e-3)) / 3.0;
            let found = f64::from(gradients[at]);
            assert!(
                (found - slope).abs() < 5e-3 * (1.0 + slope.abs()),
                "{} {at}: {found} {slope}",
                parameter.name
            );
        }
    }
}

#[test]
fn gradients_are_numeric_gradients_for_every_switch() {
    for config in variants() {
        check_numeric(shaken(&config), &small_batch());
        let mut adapted = shaken(&config);
        adapted.add_lora(&LoraConfig { r: 2, ..LoraConfig::default() }, 5).unwrap();
        for (at, value) in adapted.trained_mut().iter_mut().enumerate() {
            *value += 0.05 * (at as f32).cos();
        }
        check_numeric(adapted, &small_batch());
    }
}

#[test]
fn segments_do_not_see_each_other() {
    let (_folder, model) = small_model();
    let rows: [&[u32]; 3] = [&[10, 20, 30, 40], &[50, 60], &[70, 80, 90]];
    let mut packed = Batch::default();
    rows.iter().for_each(|row| packed.push(row, &vec![true; row.len()]));
    let together = model.losses(&packed, &mut Workspace::new());
    let mut apart = Vec::new();
    for row in rows {
        let mut batch = Batch::default();
        batch.push(row, &vec![true; row.len()]);
        apart.extend(model.losses(&batch, &mut Workspace::new()));
    }
    for (a, b) in together.iter().zip(&apart) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let (_folder, model) = small_model();
    let batch = batch(&json(&fixtures().join("tiny_fp16/forward.json")));
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut gradients = vec![0.0; model.trained().len()];
            let losses = model.loss_and_gradients(&batch, 0.01, &mut Workspace::new(), &mut gradients, false);
            (losses, gradients)
        })
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn saved_models_are_read_back_in_every_precision() {
    let (_folder, model) = small_model();
    for (stored_as, expected) in [(StoredAs::F32, 0.0), (StoredAs::F16, 0.0), (StoredAs::Bf16, 2e-2)] {
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path(), stored_as).unwrap();
        let again = GptNeoX::load(folder.path()).unwrap();
        assert_eq!(again.config().hidden_act, model.config().hidden_act);
        let worst = largest_difference(again.trained(), model.trained());
        assert!(worst <= expected, "{stored_as:?}: {worst}");
        let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert!(file.tensor("embed_out.weight").is_ok());
        assert_eq!(file.len(), model.parameters().len());
    }
}

/// Writes the model's tensors under other names.
fn rewrite(folder: &Path, change: impl Fn(&str) -> Option<String>) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kept: BTreeMap<String, _> =
        file.tensors().into_iter().filter_map(|(name, view)| Some((change(&name)?, view))).collect();
    fs::write(&path, safetensors::serialize(kept, None).unwrap()).unwrap();
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let message = |change: &dyn Fn(&Path)| {
        let (folder, _) = small_model();
        change(folder.path());
        GptNeoX::load(folder.path()).unwrap_err().to_string()
    };
    let truncated = message(&|folder| {
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    });
    assert!(
        truncated.contains("model.safetensors` is damaged: ") && truncated.contains("its header says"),
        "{truncated}"
    );
    let short = message(&|folder| fs::write(folder.join("model.safetensors"), b"abc").unwrap());
    assert!(short.contains("3 bytes are no safetensors file"), "{short}");
    let garbage = message(&|folder| fs::write(folder.join("model.safetensors"), vec![b'x'; 500]).unwrap());
    assert!(garbage.contains("its header should have"), "{garbage}");
    let missing = message(&|folder| {
        rewrite(folder, |name| (name != "gpt_neox.final_layer_norm.bias").then(|| name.to_owned()));
    });
    assert!(missing.contains("`gpt_neox.final_layer_norm.bias` is missing"), "{missing}");
    // A bias of the projection is a weight, however much its name looks like a buffer's.
    let bias = message(&|folder| {
        rewrite(folder, |name| {
            (!name.ends_with("1.attention.query_key_value.bias")).then(|| name.to_owned())
        });
    });
    assert!(bias.contains("query_key_value.bias` is missing"), "{bias}");
    let unknown = message(&|folder| {
        rewrite(folder, |name| Some(name.replace("final_layer_norm.bias", "final_layer_norm.gain")));
    });
    assert!(unknown.contains("`gpt_neox.final_layer_norm.gain` is not part of this model"), "{unknown}");
    let shape = message(&|folder| {
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        fs::write(folder.join("config.json"), text.replace("\"vocab_size\": 512", "\"vocab_size\": 511"))
            .unwrap();
    });
    assert!(shape.contains("has shape [512, 64], expected [511, 64] by config.json"), "{shape}");
    let no_config = message(&|folder| fs::remove_file(folder.join("config.json")).unwrap());
    assert!(no_config.contains("has no `config.json`"), "{no_config}");
    let no_weights = message(&|folder| fs::remove_file(folder.join("model.safetensors")).unwrap());
    assert!(no_weights.contains("has no `model.safetensors`"), "{no_weights}");
    let pickled = message(&|folder| {
        fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    });
    assert!(pickled.contains("a pickled file of weights is not supported"), "{pickled}");
}

#[test]
fn the_head_may_be_called_lm_head() {
    let (folder, model) = small_model();
    rewrite(folder.path(), |name| Some(name.replace("embed_out.", "lm_head.")));
    assert_eq!(GptNeoX::load(folder.path()).unwrap().trained(), model.trained());
}

#[test]
fn adapters_of_other_models_are_refused() {
    let (_folder, mut model) = small_model();
    model.add_lora(&LoraConfig::default(), 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    model.lora().unwrap().save(folder.path(), "small").unwrap();
    let mut other = GptNeoX::new(&ModelConfig::of_size(2, 32, 2, 512), 1);
    let error = other.load_lora(folder.path()).unwrap_err();
    assert!(matches!(error, LmError::Adapter(_)), "{error}");
    assert!(error.to_string().contains("has shape [8, 64], the model needs [8, 32]"), "{error}");
    let bad = LoraConfig { targets: vec!["q_proj".to_owned()], ..LoraConfig::default() };
    assert!(other.add_lora(&bad, 1).unwrap_err().to_string().contains("`q_proj`"));
    let path = folder.path().join("adapter_config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"use_dora\": false", "\"use_dora\": true")).unwrap();
    assert!(model.load_lora(folder.path()).unwrap_err().to_string().contains("`use_dora` is not supported"));
    // A fresh adapter changes nothing yet.
    let batch = small_batch();
    let (_folder, plain) = small_model();
    assert_eq!(model.losses(&batch, &mut Workspace::new()), plain.losses(&batch, &mut Workspace::new()));
}
