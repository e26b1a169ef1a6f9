//! Rules that rank: learned on the sample, exact in what they show, undisturbed by threads.

use std::path::Path;

use rrl::RuleList;
use titlecard_engine::catalogue::{Film, Split};
use titlecard_engine::config::Config;
use titlecard_engine::eval::queries::Query;
use titlecard_engine::eval::tasks::KnownItem;
use titlecard_engine::graph::{self, Graph, GraphConfig};
use titlecard_engine::index::SearchIndex;
use titlecard_engine::rank::learn::{LearnError, RankerConfig, learn};
use titlecard_engine::rank::literals::Fact;
use titlecard_engine::rank::ranker::Ranker;
use titlecard_engine::rank::training::{List, Sampling, build_lists, read_lists, write_lists};
use titlecard_engine::rank::{FusionWeights, Knowledge};
use titlecard_engine::sample;
use titlecard_engine::search::{Engine, SearchError};

use crate::go_on;
use crate::index::build;

/// An engine over the sample with a graph and no rules.
fn engine(folder: &Path) -> (Vec<Film>, Engine) {
    let (films, config) = build(&folder.join("index"));
    let path = folder.join("graph.tcg");
    graph::build(&path, &films, &GraphConfig::default(), &mut go_on).unwrap();
    let index = SearchIndex::open(&folder.join("index"), true).unwrap();
    let fusion = FusionWeights::from_array([0.5, 0.0, 0.0, 0.0, 1.0, 0.3, 0.0, 0.2]);
    let engine = Engine::new(index, config.lexical, fusion);
    let config = Config::default();
    (films, engine.with_knowledge(Knowledge::new(Graph::open(&path).unwrap(), &config.search)))
}

fn lists(engine: &Engine, films: &[Film], split: Split, sampling: Option<Sampling>) -> Vec<List> {
    let queries: Vec<Query> = sample::queries().unwrap();
    let task = KnownItem { engine, films, regressors: &[], folds: &[], seed: 7 };
    let asked = task.select(&queries, Some(split));
    build_lists(engine, &task.wanted(&asked, true), sampling, &mut go_on).unwrap()
}

fn small() -> RankerConfig {
    RankerConfig { max_rules: 12, networks: 2, nodes: 12, epochs: 2, ..RankerConfig::default() }
}

#[test]
fn rules_are_learned_show_what_they_add_up_to_and_can_be_turned_round() {
    let folder = tempfile::tempdir().unwrap();
    let (films, engine) = engine(folder.path());
    let sampling = Sampling { best: 40, random: 40, seed: 3 };
    let train = lists(&engine, &films, Split::Train, Some(sampling));
    assert!(train.len() > 50 && train.iter().any(|list| list.pool.films.len() == 80));
    let stands_for: f32 = train[0].stands_for.iter().sum();
    assert!((stands_for - films.len() as f32).abs() < 15.0, "{stands_for} of {} candidates", films.len());

    // The same bytes on one thread and on two.
    let learned_on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| learn(&train, &small(), 5, &mut go_on)).unwrap().ranker
    };
    let (one, two) = (learned_on(1), learned_on(2));
    assert_eq!(one.rules().to_json(), two.rules().to_json());
    assert!((1..=12).contains(&one.rules().rules().len()));
    assert!(one.rules().rules().iter().all(|rule| rule.terms.len() <= small().max_literals));
    assert!(one.rules().linear().iter().all(|term| term.weight >= 0.0));

    // A list that was saved and read ranks the same, and better on the questions it was learned from.
    let again = Ranker::from_json(&one.rules().to_json()).unwrap();
    let mean = |rank: &dyn Fn(&List) -> f64| {
        train.iter().map(|list| 1.0 / rank(list)).sum::<f64>() / train.len() as f64
    };
    let first = mean(&|list| list.first_rank);
    let by_rules = mean(&|list| list.rank_by(&again.scores(&list.pool)));
    assert!(by_rules > first, "{by_rules} by rules, {first} before");

    let engine = engine.with_ranker(again);
    let (mut n_hits, mut n_turned) = (0, 0);
    for query in sample::queries().unwrap().iter().take(40) {
        let answer = engine.search(&query.text, 10).unwrap();
        let shown: Vec<(usize, f64)> = answer.hits.iter().map(|hit| (hit.film_idx, hit.score)).collect();
        assert_eq!(engine.rank(&query.text, 10).unwrap(), shown);
        for (at, hit) in answer.hits.iter().enumerate() {
            let reasons = hit.reasons.as_ref().unwrap();
            assert!(
                (reasons.sum() - hit.score).abs() < 1e-9,
                "{} shown, {} ranked by",
                reasons.sum(),
                hit.score
            );
            assert!(at == 0 || hit.score <= answer.hits[at - 1].score);
            n_hits += 1;
        }
        let (first, second) = (&answer.hits[0], &answer.hits[1]);
        let comparison = engine.compare(&query.text, first.film_idx, second.film_idx).unwrap().unwrap();
        assert!((comparison.difference - (first.score - second.score)).abs() < 1e-9);
        assert!((comparison.sum() - comparison.difference).abs() < 1e-9);
        if let Some(change) = &comparison.counterfactual {
            assert_eq!((change.film, change.place_before, change.place_after), (second.film_idx, 2, 1));
            assert!(change.score_after >= first.score && !change.changes.is_empty());
            n_turned += 1;
        }
    }
    assert_eq!(n_hits, 400);
    assert!(n_turned > 0, "some pair can be turned round");
}

#[test]
fn facts_come_from_the_question_and_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let (films, engine) = engine(folder.path());
    let at = |title: &str| films.iter().position(|film| film.title == title).unwrap();
    let facts = |query: &str, title: &str| {
        let (pool, _) = engine.pool(query, None, &mut titlecard_engine::search::Scores::default()).unwrap();
        let row = pool.films.iter().position(|&film| film as usize == at(title)).unwrap();
        Fact::ALL.into_iter().filter(|&fact| pool.table.holds(row, fact)).collect::<Vec<Fact>>()
    };
    let shark = facts("A thriller from the 70s about a shark. It is not a comedy.", "Jaws");
    assert!(shark.contains(&Fact::YearInRange) && shark.contains(&Fact::GenreShared), "{shark:?}");
    assert!(!shark.contains(&Fact::GenreConflict) && !shark.contains(&Fact::GenreDenied));
    let late = facts("A romance from the 2010s about a shark", "Jaws");
    assert!(late.contains(&Fact::YearFar) && late.contains(&Fact::GenreConflict), "{late:?}");
    let denied = facts("It had a shark but it was not a thriller and it's not Jaws", "Jaws");
    assert!(denied.contains(&Fact::GenreDenied) && denied.contains(&Fact::Denied), "{denied:?}");
    assert!(denied.contains(&Fact::YearUnsaid));
}

#[test]
fn filters_keep_films_out_and_slips_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let (films, engine) = engine(folder.path());
    let answer = engine.search("people in danger year:1970..1979 -genre:comedy", 50).unwrap();
    assert!(!answer.hits.is_empty() && answer.hits.len() < films.len());
    for hit in &answer.hits {
        assert!((1970..=1979).contains(&hit.film.year.unwrap()), "{}", hit.film.title);
        assert!(!hit.film.genres.iter().any(|genre| genre == "Comedy"), "{}", hit.film.title);
    }
    assert!(matches!(engine.search("danger genre:horor", 5), Err(SearchError::Filter(_))));
    assert!(matches!(engine.search("danger year:soon", 5), Err(SearchError::FilterForm(_))));
    let nothing = engine.search("danger year:1970..1979 -year:1960..1990", 5);
    assert!(matches!(nothing, Err(SearchError::NothingPasses)), "{nothing:?}");
}

#[test]
fn lists_are_written_and_read_and_faults_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let (films, engine) = engine(folder.path());
    let lists = lists(&engine, &films, Split::Dev, Some(Sampling { best: 10, random: 5, seed: 1 }));
    let path = folder.path().join("lists");
    write_lists(&path, &lists).unwrap();
    let read = read_lists(&path).unwrap();
    assert_eq!(read.len(), lists.len());
    for (read, list) in read.iter().zip(&lists) {
        assert_eq!(
            (read.sought, read.first_rank, &read.stands_for),
            (list.sought, list.first_rank, &list.stands_for)
        );
        assert_eq!((&read.pool.films, &read.pool.table.facts), (&list.pool.films, &list.pool.table.facts));
    }
    std::fs::write(path.join("first.f32"), [0; 8]).unwrap();
    assert!(read_lists(&path).is_err());

    let nobody: Vec<List> = lists.into_iter().map(|list| List { sought: None, ..list }).collect();
    assert!(matches!(learn(&nobody, &small(), 1, &mut go_on), Err(LearnError::NothingFound { .. })));
    let list = RuleList::from_json(
        r#"{"bias": 0, "literals": [{"name": "moon phase"}], "rules": [{"logic": "and", "literals": [0], "weights": [1]}]}"#,
    );
    assert!(Ranker::new(list.unwrap()).unwrap_err().to_string().contains("`moon phase`"));
}
