//! Training of the title regressor: learning, seeds, threads, stopping and going on.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use nn::Matrix;
use titlecard_engine::embedding::Pooling;
use titlecard_engine::progress::Progress;
use titlecard_engine::regressor::{
    Loss, Metric, Regressor, RegressorConfig, RegressorError, Trained, Trainer, TrainingRows, TrainingSet,
};

use crate::go_on;

/// Titles that are a fixed linear map of the tags, with some noise: there is something to learn.
fn rows(n: usize, seed: usize) -> TrainingRows {
    let dim = 12;
    let value =
        |a: usize, b: usize| ((a * 2_654_435_761 + b * 40_503 + seed * 97) % 1009) as f32 / 504.5 - 1.0;
    let tags = Matrix::from_vec(n, dim, (0..n * dim).map(|at| value(at, at / 7)).collect());
    let map = Matrix::from_vec(
        dim,
        dim,
        (0..dim * dim).map(|at| ((at * 7919 % 211) as f32 - 105.0) / 210.0).collect(),
    );
    TrainingRows { titles: tags.matmul_bt(&map), tags }
}

fn set() -> TrainingSet {
    TrainingSet { train: rows(400, 1), dev: rows(100, 2), n_dropped: 0 }
}

fn config(loss: Loss) -> RegressorConfig {
    RegressorConfig {
        hidden: vec![48, 24],
        dropout: vec![0.1],
        loss,
        epochs: 8,
        batch: 50,
        patience: 8,
        ..RegressorConfig::default()
    }
}

fn train(set: &TrainingSet, config: &RegressorConfig, seed: u64) -> Trained {
    Trainer::new(set, config, seed).unwrap().run(&mut go_on, |_| Ok::<_, RegressorError>(())).unwrap()
}

#[test]
fn every_loss_learns() {
    let set = set();
    for loss in [Loss::L1, Loss::Cosine, Loss::Contrastive] {
        let history = train(&set, &config(loss), 3).history;
        let (first, last) = (history[0].dev_loss, history[history.len() - 1].dev_loss);
        assert!(last < 0.95 * first, "{loss:?}: {first} to {last}");
    }
    let original = RegressorConfig {
        hidden: vec![48, 24],
        dropout: vec![0.1],
        batch: 50,
        ..RegressorConfig::original(Pooling::Mean)
    };
    let history = train(&set, &original, 3).history;
    assert!(history[history.len() - 1].dev_loss < history[0].dev_loss);
}

#[test]
fn bytes_depend_on_the_seed_and_not_on_the_threads() {
    let set = set();
    let on = |n_threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| train(&set, &config(Loss::Contrastive), seed).regressor.to_bytes().unwrap())
    };
    assert_eq!(on(1, 1), on(2, 1));
    assert_ne!(on(1, 1), on(1, 2));
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let set = set();
    let config = config(Loss::Contrastive);
    let whole = train(&set, &config, 5);
    let mut checkpoint = Vec::new();
    let mut n_reports = 0;
    let stopped = Trainer::new(&set, &config, 5).unwrap().run(
        &mut |_: &Progress<'_>| {
            n_reports += 1;
            if n_reports > 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
        |bytes| {
            checkpoint = bytes.to_vec();
            Ok::<_, RegressorError>(())
        },
    );
    let error = stopped.unwrap_err();
    assert!(matches!(error, RegressorError::Interrupted(_)));
    assert_eq!(
        error.to_string(),
        "interrupted while training regressor; nothing of this step was saved, earlier results are untouched"
    );
    let trainer = Trainer::new(&set, &config, 5).unwrap().resume(&checkpoint).unwrap();
    assert_eq!(trainer.n_epochs_done(), 2);
    let resumed = trainer.run(&mut go_on, |_| Ok::<_, RegressorError>(())).unwrap();
    assert_eq!(resumed.history, whole.history);
    assert_eq!(resumed.regressor.to_bytes().unwrap(), whole.regressor.to_bytes().unwrap());

    let other = Trainer::new(&set, &config, 6).unwrap().resume(&checkpoint);
    assert!(matches!(other, Err(RegressorError::OtherTraining { .. })));
    for length in [0, 10, checkpoint.len() / 2, checkpoint.len() - 1] {
        let cut = Trainer::new(&set, &config, 5).unwrap().resume(&checkpoint[..length]);
        assert!(matches!(cut, Err(RegressorError::Unusable(_))), "{length} bytes");
    }
}

#[test]
fn a_saved_model_predicts_the_same_and_damage_is_named() {
    let set = set();
    let model = train(&set, &config(Loss::L1), 1).regressor;
    let bytes = model.to_bytes().unwrap();
    let loaded = Regressor::from_bytes(&bytes).unwrap();
    assert_eq!(loaded.config(), model.config());
    assert_eq!(loaded.predict(&set.dev.tags), model.predict(&set.dev.tags));
    for (one, of_many) in
        loaded.predict_one(set.dev.tags.row(3)).iter().zip(model.predict(&set.dev.tags).row(3))
    {
        // A product of one row adds in another order than one of many.
        assert!((one - of_many).abs() < 1e-5);
    }
    for length in [0, 8, 100, bytes.len() - 4] {
        let error = Regressor::from_bytes(&bytes[..length]).unwrap_err().to_string();
        assert!(error.ends_with("train it again with `titlecard train regressor`"), "{error}");
    }
}

/// Models of every format version, kept as they were written; every later release must open them.
#[test]
fn models_of_every_format_version_open() {
    let expected: Vec<f32> =
        serde_json::from_slice(&fs::read(saved("regressor_v1.prediction.json")).unwrap()).unwrap();
    for version in 1..=2 {
        let bytes = fs::read(saved(&format!("regressor_v{version}.safetensors"))).unwrap();
        let model = Regressor::from_bytes(&bytes).unwrap();
        assert_eq!((model.dim(), model.config().nearest), (3, Metric::Cosine));
        for (found, expected) in model.predict_one(&[0.5, -1.0, 0.25]).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
        }
        // What is written is of the newest version, whatever was read.
        assert_eq!(model.to_bytes().unwrap(), fs::read(saved("regressor_v2.safetensors")).unwrap());
    }
}

#[test]
fn a_changed_byte_of_a_saved_model_is_refused() {
    let bytes = fs::read(saved("regressor_v2.safetensors")).unwrap();
    for at in 0..bytes.len() {
        for bit in [1, 2, 128] {
            let mut bad = bytes.clone();
            bad[at] ^= bit;
            let error =
                Regressor::from_bytes(&bad).err().unwrap_or_else(|| panic!("byte {at} changed is taken"));
            assert!(error.to_string().ends_with("`titlecard train regressor`"), "{error}");
        }
    }
}

fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/saved").join(name)
}

/// Writes the model of version 1 in the newest version, unless it is there.
#[test]
#[ignore = "writes fixtures"]
fn write_the_saved_model() {
    let path = saved("regressor_v2.safetensors");
    if !path.exists() {
        let model = Regressor::from_bytes(&fs::read(saved("regressor_v1.safetensors")).unwrap()).unwrap();
        fs::write(path, model.to_bytes().unwrap()).unwrap();
    }
}

#[test]
fn a_diverging_training_says_what_to_change() {
    let mut config = RegressorConfig { learning_rate: 1e30, ..RegressorConfig::original(Pooling::Mean) };
    config.hidden = vec![16];
    config.dropout = vec![];
    let set = set();
    let result = Trainer::new(&set, &config, 1).unwrap().run(&mut go_on, |_| Ok::<_, RegressorError>(()));
    let error = result.err().unwrap().to_string();
    assert!(error.contains("lower `regressor.learning_rate`"), "{error}");
}

#[test]
fn too_few_films_and_settings_out_of_range_are_refused() {
    let few = TrainingSet { train: rows(10, 1), dev: rows(3, 2), n_dropped: 7 };
    let error = Trainer::new(&few, &config(Loss::L1), 1).err().unwrap().to_string();
    assert!(error.starts_with("10 training films have both"), "{error}");
    let good = config(Loss::L1);
    for bad in [
        RegressorConfig { learning_rate: 0.0, ..good.clone() },
        RegressorConfig { batch: 1, ..good.clone() },
        RegressorConfig { dropout: vec![1.0], ..good.clone() },
        RegressorConfig { hidden: vec![0], dropout: vec![], ..good.clone() },
        RegressorConfig { temperature: f32::NAN, ..good.clone() },
    ] {
        assert!(matches!(bad.validate(), Err(RegressorError::Setting { .. })), "{bad:?}");
    }
}
