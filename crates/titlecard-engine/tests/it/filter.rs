//! Filters over the sample: against brute force film by film, and what they say to unknown values.

use std::sync::OnceLock;

use proptest::prelude::*;
use titlecard_engine::catalogue::Film;
use titlecard_engine::filter::{FilmSet, FilterError};
use titlecard_engine::graph::{self, EntityId, Graph, GraphConfig, Kind, Relation, entity_key};
use titlecard_engine::index::facts::Facts;
use titlecard_engine::query::{Condition, Field, Filters, Span, YearRange, parse_filters};

use crate::{go_on, sample_films};

struct Sample {
    films: Vec<Film>,
    graph: Graph,
    facts: Facts,
    _folder: tempfile::TempDir,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.tcg");
        let mut films = sample_films();
        // The sample has no companies and series.
        for (at, film) in films.iter_mut().enumerate() {
            let of = |names: [&str; 3]| names.get(at % 5).map(|&name| name.to_owned()).into_iter().collect();
            film.companies = of(["Pixar", "Pixar Animation Studios", "A24"]);
            film.collections = of(["Alien Collection", "Toy Story Collection", "Alien"]);
        }
        graph::build(&path, &films, &GraphConfig::default(), &mut go_on).unwrap();
        let graph = Graph::open(&path).unwrap();
        Sample { facts: Facts::of_films(&films), films, graph, _folder: folder }
    })
}

fn kind_of(field: Field) -> Kind {
    match field {
        Field::Genre => Kind::Genre,
        Field::Keyword => Kind::Keyword,
        Field::Country => Kind::Country,
        Field::Language => Kind::Language,
        Field::Company => Kind::Company,
        Field::Collection => Kind::Collection,
        _ => Kind::Person,
    }
}

/// Whether one film meets a condition, from its own edges and what lies above them.
fn meets(film: u32, condition: &Condition) -> bool {
    let Sample { graph, films, .. } = sample();
    let linked = |relations: &[Relation], with_derived: bool| -> Vec<EntityId> {
        let edges = relations.iter().flat_map(|relation| graph.edges(film, *relation));
        edges.filter(|(_, derived)| with_derived || !derived).map(|(id, _)| id).collect()
    };
    let sought = entity_key(&condition.value);
    let is = |id: EntityId| graph.kind(id) == kind_of(condition.field) && graph.key(id) == sought;
    let is_called = |id: EntityId| is(id) || kind_of(condition.field).short_name(graph.key(id)) == sought;
    let any = |found: Vec<EntityId>| found.into_iter().any(|id| is(id) || graph.ancestors(id).any(is));
    match condition.field {
        Field::Genre => any([linked(&[Relation::Genre], true), linked(&[Relation::Keyword], false)].concat()),
        Field::Keyword => any(linked(&[Relation::Keyword, Relation::Genre], true)),
        Field::Country => linked(&[Relation::Country], true).into_iter().any(is),
        Field::Language => linked(&[Relation::Language], true).into_iter().any(is),
        Field::Company => linked(&[Relation::Company], true).into_iter().any(is_called),
        Field::Collection => linked(&[Relation::Collection], true).into_iter().any(is_called),
        Field::Person => linked(&[Relation::Actor, Relation::Director], true).into_iter().any(is),
        Field::Actor => linked(&[Relation::Actor], true).into_iter().any(is),
        Field::Director => linked(&[Relation::Director], true).into_iter().any(is),
        Field::Title => {
            let title = entity_key(&films[film as usize].title);
            sought.split(' ').all(|word| title.split(' ').any(|other| other == word))
        }
        Field::Year => unreachable!("years are no conditions"),
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    (prop::sample::select(&Field::ALL[1..]), any::<prop::sample::Index>()).prop_filter_map(
        "nothing known",
        |(field, at)| {
            let Sample { graph, films, .. } = sample();
            let value = if field == Field::Title {
                let title = entity_key(&films[at.index(films.len())].title);
                title.split(' ').next().unwrap().to_owned()
            } else {
                let all: Vec<EntityId> = graph.entities(kind_of(field)).collect();
                if all.is_empty() {
                    return None;
                }
                graph.name(all[at.index(all.len())]).to_uppercase()
            };
            Some(Condition { field, value, span: Span::default() })
        },
    )
}

fn years() -> impl Strategy<Value = YearRange> {
    let year = || prop::option::of(1920..2025_i32);
    (year(), year()).prop_map(|(from, to)| YearRange { from, to })
}

proptest! {
    #[test]
    fn a_film_passes_if_it_meets_all_that_is_asked(
        include in prop::collection::vec(condition(), 0..3),
        exclude in prop::collection::vec(condition(), 0..3),
        years in prop::collection::vec(years(), 0..2),
        not_years in prop::collection::vec(years(), 0..2),
    ) {
        let Sample { films, graph, facts, .. } = sample();
        let filters = Filters { include, exclude, years, not_years, spans: Vec::new() };
        let set = FilmSet::of(&filters, graph, facts).unwrap();
        prop_assert_eq!(set.is_none(), filters.is_empty());
        let Some(set) = set else { return Ok(()) };
        let expected: Vec<u32> = (0..films.len() as u32)
            .filter(|&film| {
                filters.year_passes(films[film as usize].year)
                    && filters.include.iter().all(|condition| meets(film, condition))
                    && !filters.exclude.iter().any(|condition| meets(film, condition))
            })
            .collect();
        prop_assert_eq!(set.len(), expected.len());
        prop_assert_eq!(set.is_empty(), expected.is_empty());
        prop_assert_eq!((0..films.len() as u32 + 70).filter(|&film| set.contains(film)).count(), set.len());
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected);
    }
}

fn filtered(query: &str) -> Result<FilmSet, FilterError> {
    let (filters, errors) = parse_filters(query);
    assert_eq!(errors, []);
    FilmSet::of(&filters, &sample().graph, &sample().facts).map(Option::unwrap)
}

#[test]
fn other_names_of_the_same_are_known() {
    assert_eq!(filtered("genre:sci-fi"), filtered("genre:\"Science Fiction\""));
    let both = filtered("genre:comedy genre:romance").unwrap();
    assert_eq!(filtered("genre:\"rom com\"").unwrap(), both);
    assert!(!both.is_empty());
    assert!(!filtered("language:french").unwrap().is_empty());
}

#[test]
fn unknown_values_are_errors_that_name_the_nearest() {
    let message = |query: &str| filtered(query).unwrap_err().to_string();
    insta::assert_snapshot!(message("robots genre:horor"), @"no genre of the catalogue is called `horor`; did you mean `Horror`?");
    insta::assert_snapshot!(message("director:\"Akira Kurosava\""), @"no director of the catalogue is called `Akira Kurosava`; did you mean `Akira Kurosawa` or `Akira Takarada` or `Akira Terao`?");
    insta::assert_snapshot!(message("person:Kurosawa"), @"no person of the catalogue is called `Kurosawa`; did you mean `Akira Kurosawa`?");
    insta::assert_snapshot!(message("-keyword:qqqqqqqq"), @"no keyword of the catalogue is called `qqqqqqqq`; leave the filter out, or write the name in full");
    let error = filtered("robots genre:horor").unwrap_err();
    assert_eq!(error.span(), Some(Span::new(7, 18)));
}

#[test]
fn a_graph_of_another_catalogue_is_refused() {
    let (filters, _) = parse_filters("genre:horror");
    let other = Facts::of_films(&sample().films[1..]);
    let error = FilmSet::of(&filters, &sample().graph, &other).unwrap_err();
    assert_eq!(error, FilterError::OtherCatalogue { graph: 414, index: 413 });
}
