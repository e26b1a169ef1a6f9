//! The steps over a working folder, from the sample catalogue to an answer.

use std::fs;

use titlecard_engine::config::Config;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, PipelineError, Workspace};

use crate::go_on;
use crate::index::small_config;

fn prepared(config: &Config) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    pipeline::prepare(&workspace, config, &mut go_on).unwrap();
    (folder, workspace)
}

#[test]
fn every_step_names_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let error = pipeline::load_films(&workspace).unwrap_err().to_string();
    assert!(error.ends_with("run `titlecard prepare` first"), "{error}");
    let error = pipeline::load_regressor(&workspace, DEFAULT_REGRESSOR).unwrap_err().to_string();
    assert!(error.ends_with("run `titlecard train regressor` first"), "{error}");
    let error = pipeline::open_engine(&workspace, &Config::default()).err().unwrap().to_string();
    assert!(error.ends_with("run `titlecard index` first"), "{error}");
}

#[test]
fn word_vectors_come_from_the_file_named_or_it_is_an_error() {
    let mut config = small_config();
    let (_folder, workspace) = prepared(&config);
    assert_eq!(
        pipeline::load_word_vectors(&workspace, &config).unwrap().1,
        "the small vectors inside the program"
    );
    config.vectors.path = "/nowhere/GoogleNews.bin".to_owned();
    let error = pipeline::load_word_vectors(&workspace, &config).unwrap_err();
    assert!(matches!(error, PipelineError::NoVectors { .. }));
    assert!(error.to_string().contains("train them with `titlecard train word2vec`"), "{error}");
    // Vectors that know no word of the catalogue are refused with the reason.
    let path = workspace.root().join("other.txt");
    fs::write(&path, "zzqx 1 2 3\nqqwv 3 2 1\n").unwrap();
    config.vectors.path = path.display().to_string();
    let films = pipeline::load_films(&workspace).unwrap();
    let error = pipeline::embedder(&workspace, &config, films.films()).err().unwrap().to_string();
    assert!(error.starts_with("none of the 414 texts has a word among the 2 word vectors"), "{error}");
}

#[test]
fn the_whole_path_is_reproducible() {
    let run = || {
        let mut config = small_config();
        config.vectors.dim = 24;
        config.vectors.epochs = 2;
        config.vectors.min_count = 2;
        let (folder, workspace) = prepared(&config);
        let catalogue = pipeline::load_films(&workspace).unwrap();
        let films = catalogue.films();
        let words = pipeline::train_word_vectors(&workspace, &config, films, &mut go_on).unwrap();
        assert!(words.n_words > 500 && words.dim == 24);
        let trained =
            pipeline::train_regressor(&workspace, &config, films, DEFAULT_REGRESSOR, false, &mut go_on)
                .unwrap();
        assert!(trained.n_train > 100 && !workspace.checkpoint(DEFAULT_REGRESSOR).exists());
        pipeline::build_index(&workspace, &config, films, &mut go_on).unwrap();
        let engine = pipeline::open_engine(&workspace, &config).unwrap();
        let answer = engine.search("a boy and his friend find a body along the railway", 10).unwrap();
        let hits: Vec<(String, f32)> = answer.hits.into_iter().map(|hit| (hit.film.id, hit.score)).collect();
        let vectors = fs::read(workspace.vectors()).unwrap();
        let regressor = fs::read(workspace.regressor(DEFAULT_REGRESSOR)).unwrap();
        drop(folder);
        (hits, vectors, regressor)
    };
    let (first, second) = (run(), run());
    assert_eq!(first.0, second.0);
    assert_eq!(first.1, second.1);
    assert_eq!(first.2, second.2);
}

#[test]
fn a_name_that_is_no_file_name_is_refused() {
    let config = small_config();
    let (_folder, workspace) = prepared(&config);
    let result = pipeline::train_regressor(&workspace, &config, &[], "../x", false, &mut go_on);
    assert!(matches!(result, Err(PipelineError::BadName { .. })));
}

#[test]
fn a_failed_preparation_leaves_the_old_catalogue() {
    let mut config = small_config();
    let (folder, workspace) = prepared(&config);
    let before = fs::read(workspace.films()).unwrap();
    let broken = folder.path().join("broken.csv");
    fs::write(&broken, "movieId,genres\n1,Drama\n").unwrap();
    config.catalogue.path = broken.display().to_string();
    assert!(pipeline::prepare(&workspace, &config, &mut go_on).is_err());
    assert_eq!(fs::read(workspace.films()).unwrap(), before);
    let mut stop = |_: &titlecard_engine::progress::Progress<'_>| std::ops::ControlFlow::Break(());
    fs::write(&broken, "id,title,tags\n1,A,b\n").unwrap();
    assert!(matches!(pipeline::prepare(&workspace, &config, &mut stop), Err(PipelineError::Catalogue(_))));
    assert_eq!(fs::read(workspace.films()).unwrap(), before);
    let left: Vec<_> = fs::read_dir(workspace.films().parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "films and report, no temporary file: {left:?}");
}
