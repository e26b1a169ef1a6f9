//! Changes in memory against a build of the same films, with the same models and lists.

use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;
use titlecard_engine::catalogue::Film;
use titlecard_engine::config::Config;
use titlecard_engine::embedding::Embedder;
use titlecard_engine::graph::{self, Graph, Lists};
use titlecard_engine::index::{IndexError, SearchIndex, word_tokenizer};
use titlecard_engine::pipeline::{self, PipelineError, Workspace};
use titlecard_engine::query::Lexicon;
use titlecard_engine::rank::Knowledge;
use titlecard_engine::rank::ranker::Ranker;
use titlecard_engine::sample;
use titlecard_engine::search::{Engine, SearchOptions};
use titlecard_engine::titles::{TitleIndex, other_titles};
use titlecard_engine::update::{FilmChange, update};
use wordvec::encoder::StaticEncoder;

use crate::faults::{n_cases, workspace};
use crate::{go_on, sample_films};

const QUESTIONS: [&str; 7] = [
    "a shark frightens the bathers of a small beach town",
    "an orphan in the 1940s year:1900..1999",
    "a war film from the seventies, not a comedy, with a French spy in Paris",
    "animated film about toys that are alive, Tom Hanks",
    "two people meet on a train -genre:horror",
    "a robot from the future comes to kill somebody",
    "it",
];

struct State {
    engine: Engine,
    titles: TitleIndex,
}

/// A changed film: another title, some fields of another film, another year.
fn changed(film: &Film, other: &Film, random: &mut Xoshiro256PlusPlus) -> Film {
    let mut film = Film { title: format!("{} Again", film.title), ..film.clone() };
    if random.random_bool(0.5) {
        film.overview.clone_from(&other.overview);
        film.plot = other.overview.repeat(3);
    }
    if random.random_bool(0.3) {
        film.keywords.clear();
    }
    if random.random_bool(0.5) {
        film.cast.clone_from(&other.cast);
        film.genres.clone_from(&other.genres);
        film.original_title = Some(other.title.clone());
    }
    film.year = film.year.map(|year| year + random.random_range(-3..=3));
    film.votes = Some(random.random_range(0..5));
    film.tags = film.build_tags();
    film
}

/// The state built of `films`, with the models of `old` and by `lists`.
fn built(folder: &Path, films: &[Film], old: &Engine, lists: &Lists, config: &Config) -> State {
    let fresh = Workspace::new(folder.join("fresh"));
    let encoder = StaticEncoder::open(&folder.join("models/encoder.tcse")).unwrap();
    let index = old.index();
    // The vectors as they were given: those of the index are rounded, and a build rounds them.
    let words = Arc::new(
        wordvec::read::read_path(&folder.join("words.txt"), &wordvec::read::ReadOptions::default())
            .unwrap()
            .0,
    );
    let embedder = Embedder::from_parts(words, word_tokenizer(config), index.embedder.sif().clone());
    SearchIndex::build(
        &fresh.index(),
        films,
        &embedder,
        &index.regressor,
        Some(&encoder),
        config,
        &mut go_on,
    )
    .unwrap();
    graph::build_by(&fresh.graph(), films, lists, &config.graph, &mut go_on).unwrap();
    let graph = Graph::open(&fresh.graph()).unwrap();
    let names = Lexicon::of_graph(&graph);
    let index = SearchIndex::open(&fresh.index(), true).unwrap();
    let titles = TitleIndex::new(&graph, &other_titles(films), Some(&index.facts));
    let engine = old.with_index(index).with_knowledge(Knowledge::with_names(graph, names, &config.search));
    State { engine, titles }
}

/// All that is said to a question but the time it took.
fn said(state: &State, question: &str) -> Value {
    let options = SearchOptions { k: 60, skip: 0, ask: Some(&[]) };
    match state.engine.search_with(question, &options) {
        Ok(answer) => {
            let mut answer = serde_json::to_value(answer).unwrap();
            answer["latency_ms"] = Value::Null;
            answer
        }
        Err(error) => Value::String(error.to_string()),
    }
}

/// The working folder as it is opened, ranked by the rules of the sample.
fn opened(workspace: &Workspace, config: &Config) -> (State, Lists) {
    let engine = pipeline::open_engine(workspace, config).unwrap();
    let engine = engine.with_ranker(Ranker::from_json(sample::RULES).unwrap());
    let graph = engine.knowledge().unwrap().graph();
    let titles = pipeline::open_titles(workspace, graph).unwrap();
    let lists = pipeline::open_lists(workspace, config, graph).unwrap();
    (State { engine, titles }, lists)
}

/// Where two values first differ: an answer is too long to read as a whole.
fn difference(one: &Value, other: &Value) -> Option<String> {
    let within = |key: &str, one: Option<&Value>, other: Option<&Value>| match (one, other) {
        (Some(one), Some(other)) => difference(one, other).map(|found| format!("{key}/{found}")),
        _ => Some(format!("{key} in one alone")),
    };
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            a.keys().chain(b.keys()).find_map(|key| within(key, a.get(key), b.get(key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            (0..a.len().max(b.len())).find_map(|at| within(&at.to_string(), a.get(at), b.get(at)))
        }
        // A name may keep the spelling of a film that is gone.
        (Value::String(a), Value::String(b)) if graph::entity_key(a) == graph::entity_key(b) => None,
        _ => (one != other).then(|| format!(": {one} and {other}")),
    }
}

/// Key of every entity and what is linked to it; films with their titles.
fn entities(state: &State) -> Vec<String> {
    let graph = state.engine.knowledge().unwrap().graph();
    (0..graph.n_entities() as u32)
        .map(|id| {
            let entity = graph::EntityId(id);
            let edges: Vec<_> = graph::Relation::ALL
                .into_iter()
                .map(|relation| {
                    let films: Vec<u32> = graph.films_of(entity, relation).collect();
                    (relation, graph.edges(id, relation).collect::<Vec<_>>(), films)
                })
                .filter(|(_, edges, films)| !edges.is_empty() || !films.is_empty())
                .collect();
            let parents: Vec<_> = graph.parents(entity).collect();
            let title = graph.film_number(entity).map(|_| graph.name(entity));
            format!("{:?} {} {title:?} {edges:?} {parents:?}", graph.kind(entity), graph.key(entity))
        })
        .collect()
}

fn assert_same(updated: &State, fresh: &State, films: &[Film]) {
    let graph = |state: &State| state.engine.knowledge().unwrap().graph().checksum();
    if graph(updated) != graph(fresh) {
        // All may differ in is how a name is spelled that was spelled so by a film that is gone.
        let (one, other) = (entities(updated), entities(fresh));
        let different = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!((one.len(), different), (other.len(), None), "the graphs differ");
    }
    for question in QUESTIONS {
        assert_eq!(difference(&said(updated, question), &said(fresh, question)), None, "{question}");
    }
    for film in films.iter().step_by(9) {
        let find = |state: &State, title: &str| {
            state.titles.find(state.engine.knowledge().unwrap().graph(), title, 5)
        };
        assert_eq!(find(updated, &film.title), find(fresh, &film.title), "{}", film.title);
    }
}

#[test]
fn an_updated_state_is_that_of_a_fresh_build() {
    let folder = tempfile::tempdir().unwrap();
    let (workspace, config) = workspace(folder.path());
    let films = sample_films();
    let (mut before, beyond) = (films[..160].to_vec(), &films[160..]);
    let (base, lists) = opened(&workspace, &config);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut current = None;
    for round in 0..n_cases(4).max(2) {
        // Every third round starts from the state on disk again, the others stand one upon the other.
        if round % 3 == 0 {
            before = films[..160].to_vec();
            current = None;
        }
        let mut put = Vec::new();
        let mut deleted = Vec::new();
        for _ in 0..random.random_range(1..30) {
            let any = &before[random.random_range(0..before.len())];
            match random.random_range(0..3) {
                0 => deleted.push(any.id.clone()),
                1 => put.push(changed(any, &films[random.random_range(0..films.len())], &mut random)),
                _ => put.push(beyond[random.random_range(0..beyond.len())].clone()),
            }
        }
        let changes: Vec<FilmChange<'_>> = put
            .iter()
            .map(FilmChange::Put)
            .chain(deleted.iter().map(|id| FilmChange::Delete(id)))
            // A film that went and came again stands last.
            .chain(put.first().map(FilmChange::Put))
            .collect();
        for change in &changes {
            match *change {
                FilmChange::Put(film) => match before.iter_mut().find(|other| other.id == film.id) {
                    Some(other) => *other = film.clone(),
                    None => before.push(film.clone()),
                },
                FilmChange::Delete(id) => before.retain(|film| film.id != *id),
            }
        }
        let from = current.as_ref().unwrap_or(&base);
        let (engine, titles) = update(&from.engine, &from.titles, &changes, &lists, &config).unwrap();
        let updated = State { engine, titles };
        let fresh = built(folder.path(), &before, &base.engine, &lists, &config);
        assert_same(&updated, &fresh, &before);
        for (at, film) in before.iter().enumerate() {
            assert_eq!(&updated.engine.index().lexical.film(at).unwrap(), film);
        }
        current = Some(updated);
    }
}

#[test]
fn added_then_deleted_is_never_added() {
    let folder = tempfile::tempdir().unwrap();
    let (workspace, config) = workspace(folder.path());
    let films = sample_films();
    let (base, lists) = opened(&workspace, &config);
    let added = &films[200..260];
    let put: Vec<FilmChange<'_>> = added.iter().map(FilmChange::Put).collect();
    let delete: Vec<FilmChange<'_>> = added.iter().map(|film| FilmChange::Delete(&film.id)).collect();
    let (engine, titles) = update(&base.engine, &base.titles, &put, &lists, &config).unwrap();
    let with = State { engine, titles };
    assert_ne!(said(&with, QUESTIONS[0]), said(&base, QUESTIONS[0]));
    let (engine, titles) = update(&with.engine, &with.titles, &delete, &lists, &config).unwrap();
    assert_same(&State { engine, titles }, &base, &films);
    // In one go, and of films that are not there.
    let both: Vec<FilmChange<'_>> = put.iter().chain(&delete).chain(&delete).copied().collect();
    let (engine, titles) = update(&base.engine, &base.titles, &both, &lists, &config).unwrap();
    assert_same(&State { engine, titles }, &base, &films);

    let all: Vec<FilmChange<'_>> = films.iter().map(|film| FilmChange::Delete(&film.id)).collect();
    let nothing = update(&base.engine, &base.titles, &all, &lists, &config);
    assert!(matches!(nothing, Err(PipelineError::Index(IndexError::EmptyCatalogue))));
}
