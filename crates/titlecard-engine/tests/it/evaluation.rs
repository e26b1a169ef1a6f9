//! Evaluation on the sample: only held-out films are asked for, and the figures hold together.

use titlecard_engine::catalogue::{Split, split_of};
use titlecard_engine::config::Config;
use titlecard_engine::eval::report::EvalReport;
use titlecard_engine::eval::tasks::{EvalError, KnownItem, TitleFromTags};
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, Workspace};
use titlecard_engine::sample;

use crate::go_on;

fn assert_sound(report: &EvalReport) {
    assert!(
        report.methods.len() >= 5,
        "{:?}",
        report.methods.iter().map(|row| &row.method).collect::<Vec<_>>()
    );
    for row in &report.methods {
        assert_eq!(row.ranks.len(), report.n_queries());
        assert!(row.ranks.iter().all(|&rank| rank >= 1.0 && rank <= report.n_candidates as f64));
        let success: Vec<f64> = row.metrics.success.iter().map(|(_, value)| *value).collect();
        assert!(success.is_sorted(), "{}: {success:?}", row.method);
        for (k, value) in &row.metrics.precision {
            assert!(*value <= 1.0 / *k as f64 + 1e-12);
        }
    }
    let text = report.to_text();
    for part in [
        "tied scores share the mean of their ranks",
        "414 candidates",
        "ceiling",
        "P@15",
        "R@1000",
        "median rank",
    ] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }
}

/// On the sample as shipped: the regression beats plain word vectors at every K, and the hybrid BM25.
#[test]
fn trained_methods_beat_their_baselines_on_held_out_films() {
    let mut config = Config::default();
    config.run.threads = 2;
    config.regressor.hidden = vec![64];
    config.regressor.dropout = vec![0.2];
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    pipeline::prepare(&workspace, &config, &mut go_on).unwrap();
    let catalogue = pipeline::load_films(&workspace).unwrap();
    let films = catalogue.films();
    pipeline::train_regressor(&workspace, &config, films, DEFAULT_REGRESSOR, false, &mut go_on).unwrap();
    pipeline::build_index(&workspace, &config, films, &mut go_on).unwrap();
    let engine = pipeline::open_engine(&workspace, &config).unwrap();

    let embedder = pipeline::embedder(&workspace, &config, films).unwrap();
    let regressors = pipeline::load_regressors(&workspace).unwrap();
    let task = TitleFromTags {
        films,
        split: config.split,
        embedder: &embedder,
        lexical: &engine.index().lexical,
        lexical_config: config.lexical,
        regressors: &regressors,
        remove_title_words: true,
        max_films: 0,
        seed: 7,
    };
    let report = task.run(&mut go_on).unwrap();
    assert_sound(&report);
    let n_test = films.iter().filter(|film| split_of(&film.id, &config.split) == Split::Test).count();
    assert!(report.n_queries() <= n_test && report.n_queries() > n_test / 2);
    let row = |name: &str| &report.methods.iter().find(|row| row.method == name).unwrap().metrics;
    for k in [5, 10, 15, 20] {
        let regression = row("regression, default").precision_at(k).unwrap();
        for baseline in ["word vectors, mean", "word vectors, max-abs"] {
            let other = row(baseline).precision_at(k).unwrap();
            assert!(regression > other, "P@{k}: {regression} of the regression, {other} of {baseline}");
        }
    }

    let queries = sample::queries().unwrap();
    let task = KnownItem { engine: &engine, films, regressors: &[], folds: &[], seed: 7 };
    let asked = task.select(&queries, Some(Split::Test));
    let report = task.run(&asked, "test", &mut go_on).unwrap();
    assert_sound(&report);
    let mrr = |name: &str| report.methods.iter().find(|row| row.method == name).unwrap().metrics.mrr;
    assert!(mrr("hybrid") > mrr("BM25"), "{} and {}", mrr("hybrid"), mrr("BM25"));

    let tuned = task.tune(&task.select(&queries, Some(Split::Train)), &mut go_on).unwrap();
    assert!(tuned.fusion_mrr.1 >= tuned.fusion_mrr.0 && tuned.field_mrr.1 >= tuned.field_mrr.0);
    let path = pipeline::save_tuned(&workspace, &tuned).unwrap();
    let reread = titlecard_engine::config::ConfigBuilder::default().file(&path).unwrap().build().unwrap();
    assert_eq!((reread.fusion, reread.lexical), (tuned.fusion, tuned.lexical));

    let none = task.select(&[], None);
    assert!(matches!(task.run(&none, "none", &mut go_on), Err(EvalError::NoQuery { .. })));
}
