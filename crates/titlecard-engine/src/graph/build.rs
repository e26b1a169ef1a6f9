//! From a catalogue to a graph.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::is_a::{self, Names, Node};
use super::keywords::{self, PhrasePrecision};
use super::store::{EntityId, FilmEdge, GraphError, Parts, entity_key};
use super::wordnet::WordNet;
use super::{GraphConfig, Kind, Relation, vocabulary};
use crate::catalogue::{Film, open_decompressed};
use crate::progress::{Report, tell};

/// What a graph came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphSummary {
    /// Films.
    pub n_films: usize,
    /// Entities of each kind.
    pub entities: BTreeMap<String, usize>,
    /// Edges of each relation: from columns, and derived from text.
    pub edges: BTreeMap<String, (usize, usize)>,
    /// Direct is-a edges by where they are from.
    pub is_a: BTreeMap<String, usize>,
    /// Pairs of the closed is-a relation.
    pub n_ancestors: usize,
    /// Phrases that keywords were derived by.
    pub n_phrases: usize,
    /// How far derived keywords can be trusted.
    pub keyword_precision: PhrasePrecision,
    /// Derived facts of other relations where the catalogue has a column to compare with: derived, and
    /// confirmed by the column.
    pub confirmed: BTreeMap<String, (usize, usize)>,
    /// Films with an IMDb id or a Wikipedia page.
    pub n_linked: usize,
}

impl GraphSummary {
    /// Edges of all relations, without is-a.
    pub fn n_edges(&self) -> usize {
        self.edges.values().map(|(given, derived)| given + derived).sum()
    }
}

/// Builds the graph of `films` and writes it to `path`, whole or not at all. The same films and
/// settings give the same bytes.
///
/// # Errors
/// [`GraphError`]; an older graph is then as it was.
pub fn build(
    path: &Path,
    films: &[Film],
    config: &GraphConfig,
    report: &mut Report<'_>,
) -> Result<GraphSummary, GraphError> {
    const STEP: &str = "building the graph";
    const N_STEPS: usize = 6;
    tell(report, STEP, 0, N_STEPS, "lists")?;
    let wordnet = match config.wordnet.as_str() {
        "" => None,
        folder => Some(WordNet::read(Path::new(folder))?),
    };
    let links = match config.ids.as_str() {
        "" => None,
        file => Some(read_links(Path::new(file))?),
    };
    let facts = Facts::learn(films, wordnet.as_ref());

    let mut builder = Builder { links: links.as_ref(), ..Builder::default() };
    tell(report, STEP, 1, N_STEPS, "columns")?;
    for film in films {
        builder.add_columns(film, &facts);
    }
    tell(report, STEP, 2, N_STEPS, "names in overviews")?;
    let found: Vec<_> = films.par_iter().map(|film| facts.of(film)).collect();
    for (at, facts) in found.into_iter().enumerate() {
        for fact in facts {
            builder.add_fact(at, fact.relation, &fact.name);
        }
    }
    tell(report, STEP, 3, N_STEPS, "keywords by phrases")?;
    let (derived, n_phrases, keyword_precision) = keywords::derive_all(films, config.min_phrase_precision);
    for (film, names) in derived {
        for name in names {
            builder.add(film as usize, Relation::Keyword, Kind::Keyword, &name, true);
        }
    }
    tell(report, STEP, 4, N_STEPS, "is-a")?;
    let (hierarchy, sources) = is_a::build(&mut builder.names, config.is_a, wordnet.as_ref(), &entity_key);
    let mut summary = GraphSummary {
        n_films: films.len(),
        entities: BTreeMap::new(),
        edges: BTreeMap::new(),
        is_a: sources.into_iter().map(|(source, count)| (source.to_owned(), count)).collect(),
        n_ancestors: 0,
        n_phrases,
        keyword_precision,
        confirmed: confirmed(films, &facts),
        n_linked: 0,
    };
    tell(report, STEP, 5, N_STEPS, "writing")?;
    let parts = builder.finish(films, &hierarchy)?;
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        summary.entities.insert(kind.name().to_owned(), (parts.kinds[at + 1] - parts.kinds[at]) as usize);
    }
    for edge in parts.edges.iter().flatten() {
        let counts = summary.edges.entry(edge.relation.name().to_owned()).or_default();
        if edge.derived { counts.1 += 1 } else { counts.0 += 1 }
    }
    summary.n_ancestors = parts.ancestors.iter().map(|(_, above)| above.len()).sum();
    summary.n_linked =
        parts.imdb.iter().zip(&parts.wikipedia).filter(|&(&imdb, &page)| imdb != 0 || page != 0).count();
    parts.write(path)?;
    tell(report, STEP, N_STEPS, N_STEPS, "")?;
    Ok(summary)
}

/// What a file of ids says of a film.
#[derive(Debug, Clone, Default)]
struct Link {
    imdb: u32,
    wikipedia: u32,
    language: String,
}

/// An edge to a node that has no final number yet.
type Loose = (Relation, Node, bool);

#[derive(Default)]
struct Builder<'a> {
    names: Names,
    edges: Vec<Vec<Loose>>,
    links: Option<&'a HashMap<String, Link>>,
}

impl Builder<'_> {
    /// Adds an edge; of two that say the same the first stays.
    fn add(&mut self, film: usize, relation: Relation, kind: Kind, name: &str, derived: bool) {
        let key = entity_key(name);
        if key.is_empty() {
            return;
        }
        let node = self.names.intern(kind, key, name);
        let edges = &mut self.edges[film];
        if !edges.iter().any(|&(known, other, _)| known == relation && other == node) {
            edges.push((relation, node, derived));
        }
    }

    fn add_columns(&mut self, film: &Film, facts: &Facts) {
        self.edges.push(Vec::new());
        let at = self.edges.len() - 1;
        let mut add = |relation, kind, name: &str| self.add(at, relation, kind, name, false);
        film.genres.iter().for_each(|name| add(Relation::Genre, Kind::Genre, name));
        film.keywords.iter().for_each(|name| add(Relation::Keyword, Kind::Keyword, name));
        film.cast.iter().for_each(|name| add(Relation::Actor, Kind::Person, name));
        film.directors.iter().for_each(|name| add(Relation::Director, Kind::Person, name));
        film.countries.iter().for_each(|name| add(Relation::Country, Kind::Country, facts.country(name)));
        for language in &film.languages {
            add(Relation::Language, Kind::Language, language_name(language));
        }
        film.companies.iter().for_each(|name| add(Relation::Company, Kind::Company, name));
        film.collections.iter().for_each(|name| add(Relation::Collection, Kind::Collection, name));
        if let Some(year) = film.year {
            add(Relation::Year, Kind::Year, &year.to_string());
            add(Relation::Decade, Kind::Decade, &is_a::decade_of(year));
        }
        if film.languages.is_empty()
            && let Some(link) = self.links.and_then(|links| links.get(&film.id))
            && !link.language.is_empty()
        {
            let name = language_name(&link.language).to_owned();
            self.add(at, Relation::Language, Kind::Language, &name, false);
        }
    }

    fn add_fact(&mut self, film: usize, relation: Relation, name: &str) {
        let kind = match relation {
            Relation::Period if name.ends_with('s') => Kind::Decade,
            relation => relation.targets()[0],
        };
        if kind == Kind::Person
            && let Some(person) = self.names.find(kind, &entity_key(name))
            && self.edges[film].iter().any(|&(_, other, _)| other == person)
        {
            // A column says already what this person does in the film.
            return;
        }
        self.add(film, relation, kind, name, true);
    }

    /// Gives every entity its number: films first, then kind by kind in the order of keys.
    fn finish(mut self, films: &[Film], hierarchy: &is_a::Hierarchy) -> Result<Parts, GraphError> {
        let mut parts = Parts {
            names: films.iter().map(|film| film.title.clone()).collect(),
            keys: films.par_iter().map(|film| entity_key(&film.title)).collect(),
            film_ids: films.iter().map(|film| film.id.clone()).collect(),
            ..Parts::default()
        };
        let count = |n: usize| {
            u32::try_from(n).ok().filter(|n| *n < 1 << 30).ok_or(GraphError::TooLarge("a billion entities"))
        };
        parts.kinds[1] = count(films.len())?;
        let mut numbers: HashMap<Kind, Vec<u32>> = HashMap::new();
        for (at, kind) in Kind::ALL.into_iter().enumerate().skip(1) {
            let mut rows: Vec<_> = self.names.take_rows(kind).into_iter().enumerate().collect();
            rows.sort_unstable_by(|a, b| a.1.0.cmp(&b.1.0));
            let mut of_kind = vec![0; rows.len()];
            for (before, (key, name)) in rows {
                of_kind[before] = count(parts.names.len())?;
                parts.keys.push(key);
                parts.names.push(name);
            }
            numbers.insert(kind, of_kind);
            parts.kinds[at + 1] = count(parts.names.len())?;
        }
        let number = |(kind, at): Node| EntityId(numbers[&kind][at as usize]);
        parts.edges = self
            .edges
            .into_iter()
            .map(|mut edges| {
                edges.sort_by_key(|(relation, ..)| *relation);
                let edges = edges.into_iter();
                edges
                    .map(|(relation, node, derived)| FilmEdge { relation, target: number(node), derived })
                    .collect()
            })
            .collect();
        for (child, above) in hierarchy.iter() {
            let sorted = |nodes: &mut dyn Iterator<Item = Node>| {
                let mut ids: Vec<EntityId> = nodes.map(number).collect();
                ids.sort_unstable();
                ids
            };
            parts.parents.push((number(child), sorted(&mut above.iter().copied())));
            parts.ancestors.push((number(child), sorted(&mut hierarchy.ancestors(child).into_iter())));
        }
        if let Some(links) = self.links {
            let of = |film: &Film| links.get(&film.id).cloned().unwrap_or_default();
            parts.imdb = films.iter().map(|film| of(film).imdb).collect();
            parts.wikipedia = films.iter().map(|film| of(film).wikipedia).collect();
        }
        Ok(parts)
    }
}

/// Derived roles and countries of films whose columns say who and where.
fn confirmed(films: &[Film], facts: &Facts) -> BTreeMap<String, (usize, usize)> {
    let found: Vec<(Relation, bool)> = films
        .par_iter()
        .flat_map_iter(|film| {
            facts.of(film).into_iter().filter_map(|fact| {
                let column: Vec<&str> = match fact.relation {
                    Relation::Actor => film.cast.iter().map(String::as_str).collect(),
                    Relation::Director => film.directors.iter().map(String::as_str).collect(),
                    Relation::Country => film.countries.iter().map(|name| facts.country(name)).collect(),
                    // Whom the text names in no role: does the catalogue know them to take part?
                    Relation::Mentions => {
                        film.cast.iter().chain(&film.directors).map(String::as_str).collect()
                    }
                    _ => return None,
                };
                let key = entity_key(&fact.name);
                let is_right = column.iter().any(|name| entity_key(name) == key);
                (!column.is_empty()).then_some((fact.relation, is_right))
            })
        })
        .collect();
    let mut confirmed: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (relation, is_right) in found {
        let counts = confirmed.entry(relation.name().to_owned()).or_default();
        counts.0 += 1;
        counts.1 += usize::from(is_right);
    }
    confirmed
}

/// A language by name, where the catalogue has its code.
fn language_name(language: &str) -> &str {
    vocabulary::language(language).unwrap_or(language)
}

/// Tab-separated, with a header: `tmdb_id`, and any of `imdb_id`, `wikipedia_page_id`,
/// `original_language`.
fn read_links(path: &Path) -> Result<HashMap<String, Link>, GraphError> {
    let fault = |what: String| GraphError::Input { setting: "graph.ids", path: path.to_owned(), what };
    let reader = open_decompressed(path).map_err(|error| fault(error.to_string()))?;
    let mut lines = reader.lines();
    let header = lines.next().transpose().map_err(|error| fault(error.to_string()))?.unwrap_or_default();
    let columns: Vec<&str> = header.trim_end().split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let id = column("tmdb_id")
        .or_else(|| column("id"))
        .ok_or_else(|| fault(format!("no column `tmdb_id` (found: {})", columns.join(", "))))?;
    let (imdb, page) = (column("imdb_id"), column("wikipedia_page_id"));
    let language = column("original_language");
    let mut links = HashMap::new();
    for line in lines {
        let line = line.map_err(|error| fault(error.to_string()))?;
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: Option<usize>| at.and_then(|at| cells.get(at)).map_or("", |cell| cell.trim());
        let link = Link {
            imdb: cell(imdb).trim_start_matches("tt").parse().unwrap_or(0),
            wikipedia: cell(page).parse().unwrap_or(0),
            language: cell(language).to_owned(),
        };
        links.insert(cell(Some(id)).to_owned(), link);
    }
    Ok(links)
}
