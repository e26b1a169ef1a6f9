//! The steps over a working folder, from the sample catalogue to an answer.

use std::fs;
use std::ops::ControlFlow;

use titlecard_engine::config::{Config, VectorArchitecture, VectorMode, VectorObjective, VectorsConfig};
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, PipelineError, WordVectorSummary, Workspace};
use titlecard_engine::progress::Progress;
use wordvec::train::SubwordVectors;

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
        let query = "a boy and his friend find a body along the railway";
        let answer = engine.search(query, 10).unwrap();
        let ranked = engine.rank(query, 10).unwrap();
        assert!(answer.hits.iter().map(|hit| (hit.film_idx, hit.score)).eq(ranked));
        let hits: Vec<(String, f64)> = answer.hits.into_iter().map(|hit| (hit.film.id, hit.score)).collect();
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

/// Trains word vectors with settings changed; the summary and the bytes written.
fn vectors_with(
    change: impl FnOnce(&mut VectorsConfig),
) -> (WordVectorSummary, Vec<u8>, Option<SubwordVectors>) {
    let mut config = small_config();
    config.run.threads = 2;
    config.vectors.dim = 16;
    config.vectors.epochs = 1;
    config.vectors.min_count = 2;
    config.vectors.subword_buckets = 500;
    change(&mut config.vectors);
    config.validate().unwrap();
    let (_folder, workspace) = prepared(&config);
    let films = pipeline::load_films(&workspace).unwrap();
    // What an earlier training left.
    fs::create_dir_all(workspace.subwords().parent().unwrap()).unwrap();
    fs::write(workspace.subwords(), "old").unwrap();
    let summary = pipeline::train_word_vectors(&workspace, &config, films.films(), &mut go_on).unwrap();
    let subwords =
        workspace.subwords().exists().then(|| SubwordVectors::open(&workspace.subwords()).unwrap());
    (summary, fs::read(workspace.vectors()).unwrap(), subwords)
}

#[test]
fn every_way_to_train_word_vectors_can_be_set() {
    let (plain_summary, plain, subwords) = vectors_with(|_| {});
    assert!(subwords.is_none(), "n-grams of an earlier training are taken away");
    let cbow = vectors_with(|vectors| vectors.architecture = VectorArchitecture::Cbow).1;
    let tree = vectors_with(|vectors| vectors.objective = VectorObjective::HierarchicalSoftmax).1;
    let (fast_summary, fast, _) = vectors_with(|vectors| vectors.mode = VectorMode::Fast);
    assert_eq!(fast_summary.n_words, plain_summary.n_words);
    let all = [&plain, &cbow, &tree, &fast];
    for (at, bytes) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|before| before != bytes), "training {at} is like one before");
    }
    assert_eq!(vectors_with(|vectors| vectors.architecture = VectorArchitecture::Cbow).1, cbow);

    let (_, _, subwords) = vectors_with(|vectors| vectors.subwords = true);
    let subwords = subwords.unwrap();
    assert_eq!(subwords.config().n_buckets, 500);
    assert!(
        subwords.vectors().index_of("detectivelike").is_none() && subwords.get("detectivelike").is_some()
    );
}

#[test]
fn phrases_are_words_of_their_own_and_longer_with_every_pass() {
    let words_of = |passes| {
        let (summary, bytes, _) = vectors_with(|vectors| {
            vectors.phrases = passes;
            vectors.phrase_min_count = 3;
            vectors.phrase_threshold = 2.0;
        });
        let vectors = wordvec::read::read_from_bytes(&bytes).unwrap();
        let longest = vectors.words().iter().map(|word| word.split('_').count()).max();
        (summary.n_phrases, longest.unwrap())
    };
    let (none, once, twice) = (words_of(0), words_of(1), words_of(2));
    assert_eq!(none, (0, 1));
    assert!(once.0 > 20 && once.1 == 2, "{once:?}");
    assert!(twice.0 > once.0 && (3..=4).contains(&twice.1), "{twice:?}");
}

#[test]
fn finding_phrases_can_be_stopped() {
    let mut config = small_config();
    config.vectors.phrases = 1;
    let (_folder, workspace) = prepared(&config);
    let films = pipeline::load_films(&workspace).unwrap();
    let mut stop = |progress: &Progress<'_>| match progress.step {
        "finding phrases" => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let error = pipeline::train_word_vectors(&workspace, &config, films.films(), &mut stop).unwrap_err();
    assert!(matches!(error, PipelineError::Interrupted(_)), "{error}");
    assert!(!workspace.vectors().exists());
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
    let mut stop = |_: &Progress<'_>| ControlFlow::Break(());
    fs::write(&broken, "id,title,tags\n1,A,b\n").unwrap();
    assert!(matches!(pipeline::prepare(&workspace, &config, &mut stop), Err(PipelineError::Catalogue(_))));
    assert_eq!(fs::read(workspace.films()).unwrap(), before);
    let left: Vec<_> = fs::read_dir(workspace.films().parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "films and report, no temporary file: {left:?}");
}
