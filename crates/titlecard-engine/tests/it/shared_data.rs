//! Checks on real files beside the repository; skipped, with a note, where they are not there.

use std::path::PathBuf;

use titlecard_engine::catalogue::{ReadOptions, read_films};
use titlecard_engine::eval::queries::read_queries;

fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: `{}` is not there", path.display());
    None
}

#[test]
fn a_real_catalogue_is_read_without_loss() {
    let Some(path) = shared("catalogue/tmdb_tags_2k.csv") else { return };
    let mut films = Vec::new();
    let report = read_films(
        &path,
        &ReadOptions::default(),
        &mut |film| {
            films.push(film);
            std::ops::ControlFlow::Continue(())
        },
        &mut |_, _| std::ops::ControlFlow::Continue(()),
    )
    .unwrap();
    assert_eq!((report.rows_read, report.kept, films.len()), (2_029, 2_029, 2_029));
    assert!(films.iter().all(|film| !film.keywords.is_empty()));
}

#[test]
fn real_questions_are_read() {
    let Some(path) = shared("queries/tot_dev.jsonl.zst") else { return };
    let queries = read_queries(&path).unwrap();
    assert!(queries.len() > 1_900);
    assert!(queries.iter().any(|query| query.title_in_text));
}
