//! From the filters of a query to the films that pass: `year:1980..1989 -genre:comedy person:"Tom Hanks"`.
//!
//! Every condition is a list of films the graph holds already, so a filter costs as much as reading these lists.
//! A genre or keyword stands for all its kinds: `genre:horror` finds what is a slasher by its keywords, and
//! `keyword:weapon` what has a `sword`. Edges read from overviews count too, except that a derived keyword gives
//! no genre. A company or series is also known by its short name (`company:ghibli`, `collection:"toy story"`). A value
//! the catalogue does not know is an error, not an empty answer: a filter with a slip of the keys must not look like
//! "there is no such film".
//!
//! ```
//! # use titlecard_engine::{catalogue::Film, graph::{self, Graph, GraphConfig}, index::facts::Facts, progress};
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("graph.tcg");
//! # let film = |id: &str, title: &str, year| Film {
//! #     id: id.into(), title: title.into(), tags: "x".into(), year: Some(year), genres: vec!["Horror".into()],
//! #     ..Film::default()
//! # };
//! # let films = [film("1", "Jaws", 1975), film("2", "Alien", 1979)];
//! # graph::build(&path, &films, &GraphConfig::default(), &mut progress::silent)?;
//! # let (graph, facts) = (Graph::open(&path)?, Facts::of_films(&films));
//! use titlecard_engine::filter::FilmSet;
//! use titlecard_engine::query::parse_filters;
//!
//! let (filters, _) = parse_filters("a shark genre:horror year:1970..1977");
//! let passing = FilmSet::of(&filters, &graph, &facts)?.unwrap();
//! assert_eq!((passing.len(), passing.contains(0)), (1, true));
//!
//! let (filters, _) = parse_filters("genre:horor");
//! let error = FilmSet::of(&filters, &graph, &facts).unwrap_err().to_string();
//! assert_eq!(error, "no genre of the catalogue is called `horor`; did you mean `Horror`?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::Serialize;

use crate::edits::nearest;
use crate::graph::{EntityId, Graph, Kind, Relation, entity_key};
use crate::index::facts::Facts;
use crate::query::{Condition, Field, Filters, Span, listed_names};

/// Why filters cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "error", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FilterError {
    /// The catalogue has nothing of this name.
    #[error("no {} of the catalogue is called `{found}`{}", field.name(), hint(nearest))]
    UnknownValue {
        /// The field.
        field: Field,
        /// What was asked for.
        found: String,
        /// Names of the catalogue that look alike, the most similar first.
        nearest: Vec<String>,
        /// Where the filter stands in the query.
        span: Span,
    },
    /// The catalogue has no such column.
    #[error(
        "the catalogue says nothing of any film's {}, so `{}:{found}` cannot be answered; leave the filter out",
        field.name(), field.name()
    )]
    NothingKnown {
        /// The field.
        field: Field,
        /// What was asked for.
        found: String,
        /// Where the filter stands in the query.
        span: Span,
    },
    /// Graph and index are of different catalogues.
    #[error(
        "the graph has {graph} films, the index {index}; remake them with `titlecard graph build` and \
         `titlecard index`"
    )]
    OtherCatalogue {
        /// Films in the graph.
        graph: usize,
        /// Films in the index.
        index: usize,
    },
}

impl FilterError {
    /// Where the filter stands in the query, if it is a filter's fault.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::UnknownValue { span, .. } | Self::NothingKnown { span, .. } => Some(*span),
            Self::OtherCatalogue { .. } => None,
        }
    }
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => "; leave the filter out, or write the name in full".to_owned(),
        names => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("; did you mean {}?", names.join(" or "))
        }
    }
}

/// Films by their numbers in the catalogue, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilmSet {
    words: Vec<u64>,
    n_films: usize,
    len: usize,
}

impl FilmSet {
    /// The films that pass `filters`; `None` if nothing is filtered.
    ///
    /// # Errors
    /// [`FilterError`], for the first value in the query that the catalogue does not know.
    pub fn of(filters: &Filters, graph: &Graph, facts: &Facts) -> Result<Option<Self>, FilterError> {
        if filters.is_empty() {
            return Ok(None);
        }
        let n_films = graph.n_films();
        if facts.n_films() != n_films {
            return Err(FilterError::OtherCatalogue { graph: n_films, index: facts.n_films() });
        }
        let mut conditions: Vec<(&Condition, bool)> = filters
            .include
            .iter()
            .map(|condition| (condition, true))
            .chain(filters.exclude.iter().map(|condition| (condition, false)))
            .collect();
        conditions.sort_by_key(|(condition, _)| condition.span);

        let mut passing = Self::empty(n_films);
        let asks_years = !filters.years.is_empty() || !filters.not_years.is_empty();
        for film in 0..n_films {
            if !asks_years || filters.year_passes(facts.year(film)) {
                passing.insert(film as u32);
            }
        }
        let mut meeting = Self::empty(n_films);
        for (condition, is_wanted) in conditions {
            meeting.words.fill(0);
            meet(condition, graph, &mut meeting)?;
            for (word, met) in passing.words.iter_mut().zip(&meeting.words) {
                *word &= if is_wanted { *met } else { !*met };
            }
        }
        passing.len = passing.words.iter().map(|word| word.count_ones() as usize).sum();
        Ok(Some(passing))
    }

    /// Whether film number `film` passes.
    pub fn contains(&self, film: u32) -> bool {
        self.words.get(film as usize / 64).is_some_and(|word| word >> (film % 64) & 1 == 1)
    }

    /// Number of films that pass.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no film passes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of films of the catalogue.
    pub fn n_films(&self) -> usize {
        self.n_films
    }

    /// Numbers of the films that pass, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    fn empty(n_films: usize) -> Self {
        Self { words: vec![0; n_films.div_ceil(64)], n_films, len: 0 }
    }

    fn insert(&mut self, film: u32) {
        if let Some(word) = self.words.get_mut(film as usize / 64) {
            *word |= 1 << (film % 64);
        }
    }
}

/// Relations by which a film meets a condition on `field`.
fn relations(field: Field) -> &'static [Relation] {
    match field {
        Field::Genre => &[Relation::Genre],
        Field::Keyword => &[Relation::Keyword],
        Field::Country => &[Relation::Country],
        Field::Language => &[Relation::Language],
        Field::Company => &[Relation::Company],
        Field::Collection => &[Relation::Collection],
        Field::Person => &[Relation::Actor, Relation::Director],
        Field::Actor => &[Relation::Actor],
        Field::Director => &[Relation::Director],
        Field::Year | Field::Title => &[],
    }
}

/// Sets the bits of the films that meet a condition.
fn meet(condition: &Condition, graph: &Graph, meeting: &mut FilmSet) -> Result<(), FilterError> {
    let field = condition.field;
    if field == Field::Title {
        let key = entity_key(&condition.value);
        let words: Vec<&str> = key.split(' ').collect();
        for film in 0..graph.n_films() as u32 {
            if has_words(graph.key(EntityId(film)), &words) {
                meeting.insert(film);
            }
        }
        return Ok(());
    }
    let groups = entities(condition, graph)?;
    let mut one = FilmSet::empty(meeting.n_films);
    for (at, entities) in groups.iter().enumerate() {
        one.words.fill(0);
        for &entity in entities {
            for relation in relations(field) {
                graph.films_of(entity, *relation).for_each(|film| one.insert(film));
            }
            // What is a kind of a genre by a keyword, or of a keyword by its genre.
            match field {
                Field::Genre => graph
                    .films_of(entity, Relation::Keyword)
                    .with_derived()
                    .filter(|(_, derived)| !derived)
                    .for_each(|(film, _)| one.insert(film)),
                Field::Keyword => graph.films_of(entity, Relation::Genre).for_each(|film| one.insert(film)),
                _ => {}
            }
        }
        for (word, met) in meeting.words.iter_mut().zip(&one.words) {
            *word = if at == 0 { *met } else { *word & *met };
        }
    }
    Ok(())
}

/// Whether all `words` are words of `key`.
fn has_words(key: &str, words: &[&str]) -> bool {
    words.iter().all(|word| key.contains(word) && key.split(' ').any(|other| other == *word))
}

/// What a value names: a film must be linked to an entity of every group.
fn entities(condition: &Condition, graph: &Graph) -> Result<Vec<Vec<EntityId>>, FilterError> {
    let field = condition.field;
    let kind = match field {
        Field::Genre => Kind::Genre,
        Field::Keyword => Kind::Keyword,
        Field::Country => Kind::Country,
        Field::Language => Kind::Language,
        Field::Company => Kind::Company,
        Field::Collection => Kind::Collection,
        Field::Person | Field::Actor | Field::Director | Field::Year | Field::Title => Kind::Person,
    };
    let value = &condition.value;
    let with_kinds = |entity: EntityId| -> Vec<EntityId> {
        let descendants = graph.descendants(entity).filter(|_| matches!(kind, Kind::Genre | Kind::Keyword));
        std::iter::once(entity).chain(descendants).collect()
    };
    let key = entity_key(value);
    // "company:Pixar" is "Pixar" and "Pixar Animation Studios".
    if matches!(kind, Kind::Company | Kind::Collection) {
        let called: Vec<EntityId> = called(graph, kind, &key).collect();
        if !called.is_empty() {
            return Ok(vec![called]);
        }
    }
    if let Some(entity) = graph.find(kind, value) {
        return Ok(vec![with_kinds(entity)]);
    }
    // "genre:slasher": a keyword that is a kind of a genre.
    if kind == Kind::Genre
        && let Some(keyword) = graph.find(Kind::Keyword, value)
        && graph.ancestors(keyword).any(|above| graph.kind(above) == Kind::Genre)
    {
        return Ok(vec![with_kinds(keyword)]);
    }
    // "country:USA", "genre:sci-fi"; a "rom com" is a comedy and a romance.
    let listed: Vec<Vec<EntityId>> = listed_names(kind, value)
        .iter()
        .filter_map(|names| names.iter().find_map(|name| graph.find(kind, name)))
        .map(with_kinds)
        .collect();
    if !listed.is_empty() {
        return Ok(listed);
    }
    if graph.entities(kind).len() == 0 {
        return Err(FilterError::NothingKnown { field, found: value.clone(), span: condition.span });
    }
    let names = graph.entities(kind).flat_map(|id| {
        let whole = graph.key(id);
        let short = Some(kind.short_name(whole)).filter(|short| *short != whole);
        std::iter::once(whole).chain(short).map(move |key| (key, graph.n_films_of(id)))
    });
    // Keys are compared; names, which the person will copy, are shown.
    let mut near: Vec<EntityId> = Vec::new();
    for key in nearest(&key, names, MAX_NEAREST) {
        for id in called(graph, kind, key) {
            if !near.contains(&id) {
                near.push(id);
            }
        }
    }
    near.truncate(MAX_NEAREST);
    Err(FilterError::UnknownValue {
        field,
        found: value.clone(),
        nearest: near.into_iter().map(|id| graph.name(id).to_owned()).collect(),
        span: condition.span,
    })
}

/// The entities that have this key, or this short name.
fn called<'a>(graph: &'a Graph, kind: Kind, key: &'a str) -> impl Iterator<Item = EntityId> + 'a {
    graph.entities(kind).filter(move |&id| {
        let whole = graph.key(id);
        whole == key || kind.short_name(whole) == key
    })
}

/// Names offered in place of one that is unknown.
const MAX_NEAREST: usize = 3;
