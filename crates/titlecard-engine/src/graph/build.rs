//! From a catalogue to a graph.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::facts::{Fact, Facts};
use super::is_a::{self, Names, Node};
use super::keywords::{KeywordPhrases, PhrasePrecision, SavedPhrases};
use super::store::{EntityId, FilmEdge, Graph, GraphError, Parts, entity_key};
use super::wordnet::WordNet;
use super::{GraphConfig, Kind, Relation, vocabulary};
use crate::artifact::{ArtifactError, read_bytes, seal_fits, write_sealed};
use crate::catalogue::{Film, open_decompressed};
use crate::index::layout::Layout;
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

/// What texts are read by: names of the catalogue's people, phrases that stand for keywords, and WordNet where it is
/// set. A whole build learns them of its catalogue; changed films are read by those of the last whole build.
pub struct Lists {
    facts: Facts,
    keywords: KeywordPhrases,
    keyword_precision: PhrasePrecision,
    wordnet: Option<WordNet>,
}

impl Lists {
    /// Learns the lists of a catalogue.
    ///
    /// # Errors
    /// [`GraphError::Input`] if WordNet is set and cannot be read.
    pub fn learn(films: &[Film], config: &GraphConfig) -> Result<Self, GraphError> {
        let wordnet = read_wordnet(config)?;
        let facts = Facts::learn(films, wordnet.as_ref());
        let (keywords, keyword_precision) =
            KeywordPhrases::learn_and_measure(films, config.min_phrase_precision);
        Ok(Self { facts, keywords, keyword_precision, wordnet })
    }

    /// The lists of a build whose graph is `graph`; `path` is where [`Lists::save`] put what the graph does not have.
    ///
    /// # Errors
    /// [`GraphError`] if a file is missing or damaged.
    pub fn open(path: &Path, graph: &Graph, config: &GraphConfig) -> Result<Self, GraphError> {
        let wordnet = read_wordnet(config)?;
        let people = graph.entities(Kind::Person);
        let people = people.map(|id| (graph.key(id).to_owned(), graph.name(id))).collect();
        let saved = read_saved(path)?;
        let facts = Facts::of_people(people, wordnet.as_ref());
        let (keywords, keyword_precision) = (KeywordPhrases::of_saved(saved), PhrasePrecision::default());
        Ok(Self { facts, keywords, keyword_precision, wordnet })
    }

    /// Saves what [`Lists::open`] cannot take from the graph, whole or not at all.
    ///
    /// # Errors
    /// [`GraphError::Artifact`].
    pub fn save(&self, path: &Path) -> Result<(), GraphError> {
        Ok(write_sealed(path, &self.keywords.saved())?)
    }

    /// Whether the file that [`Lists::save`] wrote is what was written.
    ///
    /// # Errors
    /// [`GraphError::Artifact`] if not.
    pub fn check(path: &Path) -> Result<(), GraphError> {
        read_saved(path).map(drop).map_err(Into::into)
    }
}

fn read_saved(path: &Path) -> Result<SavedPhrases, ArtifactError> {
    let bytes = read_bytes(path, COMMAND)?;
    let damaged = |what: String| ArtifactError::Damaged { path: path.to_owned(), what, command: COMMAND };
    if seal_fits(&bytes) != Some(true) {
        return Err(damaged("its checksum does not fit".to_owned()));
    }
    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
}

const COMMAND: &str = "titlecard graph build";

fn read_wordnet(config: &GraphConfig) -> Result<Option<WordNet>, GraphError> {
    match config.wordnet.as_str() {
        "" => Ok(None),
        folder => WordNet::read(Path::new(folder)).map(Some),
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
    tell(report, STEP, 0, N_STEPS, "lists")?;
    build_by(path, films, &Lists::learn(films, config)?, config, report)
}

/// [`build`] by lists that were learned before.
///
/// # Errors
/// As [`build`].
pub fn build_by(
    path: &Path,
    films: &[Film],
    lists: &Lists,
    config: &GraphConfig,
    report: &mut Report<'_>,
) -> Result<GraphSummary, GraphError> {
    let films: Vec<&Film> = films.iter().collect();
    let (parts, is_a) = parts_of(&films, lists, config, report)?;
    let mut summary = GraphSummary {
        n_films: films.len(),
        entities: BTreeMap::new(),
        edges: BTreeMap::new(),
        is_a: is_a.into_iter().map(|(source, count)| (source.to_owned(), count)).collect(),
        n_ancestors: 0,
        n_phrases: lists.keywords.len(),
        keyword_precision: lists.keyword_precision,
        confirmed: confirmed(&films, &lists.facts),
        n_linked: 0,
    };
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

const STEP: &str = "building the graph";
const N_STEPS: usize = 6;

/// The graph of `films` read by `lists`, and how many is-a edges came from where.
fn parts_of<'f>(
    films: &[&'f Film],
    lists: &Lists,
    config: &GraphConfig,
    report: &mut Report<'_>,
) -> Result<(Parts<'f>, is_a::Sources), GraphError> {
    tell(report, STEP, 1, N_STEPS, "columns")?;
    let links = read_links(config, |_| true)?;
    let mut builder = Builder { links: links.as_ref(), ..Builder::default() };
    for film in films {
        builder.add_columns(film, &lists.facts);
    }
    tell(report, STEP, 2, N_STEPS, "names in overviews")?;
    let found: Vec<_> = films.par_iter().map(|film| lists.facts.of(film)).collect();
    for (at, facts) in found.into_iter().enumerate() {
        builder.add_facts(at, facts);
    }
    tell(report, STEP, 3, N_STEPS, "keywords by phrases")?;
    let derived: Vec<_> = films.par_iter().map(|film| lists.keywords.of(film)).collect();
    for (at, names) in derived.into_iter().enumerate() {
        builder.add_keywords(at, names);
    }
    tell(report, STEP, 4, N_STEPS, "is-a")?;
    let (hierarchy, sources) =
        is_a::build(&mut builder.names, config.is_a, lists.wordnet.as_ref(), &entity_key);
    tell(report, STEP, 5, N_STEPS, "writing")?;
    let heads: Vec<Head<'f>> = films.par_iter().map(|film| Head::of(film, links.as_ref())).collect();
    Ok((builder.finish(heads, &hierarchy, |edges, _| edges)?, sources))
}

impl Graph {
    /// The graph of a changed catalogue, in memory: `new` are the films that are new or changed, and only their
    /// texts are read, by `lists`. It is the graph that a build of all films by the same lists would make, but that an
    /// entity several films spell differently may keep a spelling whose film is gone.
    ///
    /// # Errors
    /// [`GraphError`] if a file named in the settings cannot be read, or there is too much.
    pub fn changed(
        &self,
        new: &[&Film],
        layout: &Layout,
        lists: &Lists,
        config: &GraphConfig,
    ) -> Result<Self, GraphError> {
        let ids: HashSet<&str> = new.iter().map(|film| film.id.as_str()).collect();
        let films: Vec<(bool, usize)> = layout.films().collect();
        let (links, (known, read)) = rayon::join(
            || read_links(config, |id| ids.contains(id)),
            || {
                let read = || new.par_iter().map(|film| (lists.facts.of(film), lists.keywords.of(film)));
                rayon::join(|| self.first_named(&films), || read().collect::<Vec<_>>())
            },
        );
        let links = links?;
        let mut builder = Builder { links: links.as_ref(), ..Builder::default() };
        // In the order of a build, in which the first to name an entity spells it: columns of all films, what overviews
        // name, keywords by phrases. Films that are as they were name again what they named first of all.
        let mut nodes: Vec<Option<Node>> = vec![None; self.n_entities() - self.n_films()];
        let mut known = known.into_iter().peekable();
        let mut name_until = |names: &mut Names, end: u64| {
            while let Some((_, id)) = known.next_if(|&(time, _)| time < end) {
                let node = names.intern(self.kind(id), self.key(id).to_owned(), self.name(id));
                nodes[id.0 as usize - self.n_films()] = Some(node);
            }
        };
        let (mut facts, mut derived): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        for pass in 0..3 {
            for (at, &(_, film)) in films.iter().enumerate().filter(|(_, (is_new, _))| *is_new) {
                name_until(&mut builder.names, time(pass, at, 0));
                match pass {
                    0 => builder.add_columns(new[film], &lists.facts),
                    1 => builder.add_facts(film, std::mem::take(&mut facts[film])),
                    _ => builder.add_keywords(film, std::mem::take(&mut derived[film])),
                }
            }
        }
        name_until(&mut builder.names, u64::MAX);
        let (hierarchy, _) =
            is_a::build(&mut builder.names, config.is_a, lists.wordnet.as_ref(), &entity_key);
        let heads = films.par_iter().map(|&(is_new, film)| {
            if is_new { Head::of(new[film], links.as_ref()) } else { Head::known(self, film as u32) }
        });
        let with_known = |edges: Vec<Vec<FilmEdge>>, number: &(dyn Fn(Node) -> EntityId + Sync)| {
            let targets: Vec<Option<EntityId>> = nodes.iter().map(|node| node.map(number)).collect();
            let of_film = |&(is_new, film): &(bool, usize)| {
                if is_new {
                    return edges[film].clone();
                }
                let mut edges = Vec::new();
                self.each_edge(film as u32, |relation, id, derived| {
                    let target = targets[id.0 as usize - self.n_films()];
                    edges.extend(target.map(|target| FilmEdge { relation, target, derived }));
                });
                edges
            };
            films.par_iter().map(of_film).collect()
        };
        let mut parts = builder.finish(heads.collect(), &hierarchy, with_known)?;
        let (before, new) = layout.places();
        parts.sorted = Some(self.sorted(&before, &new));
        parts.into_graph()
    }

    /// The entities that `films` of this graph name, those that are not new, with when a build would meet each first.
    fn first_named(&self, films: &[(bool, usize)]) -> Vec<(u64, EntityId)> {
        let first: Vec<AtomicU64> =
            (self.n_films()..self.n_entities()).map(|_| AtomicU64::new(u64::MAX)).collect();
        films.par_iter().enumerate().filter(|(_, (is_new, _))| !is_new).for_each(|(at, &(_, film))| {
            let mut nth = 0;
            self.each_edge(film as u32, |relation, id, derived| {
                let pass = match derived {
                    false => 0,
                    true if relation == Relation::Keyword => 2,
                    true => 1,
                };
                first[id.0 as usize - self.n_films()].fetch_min(time(pass, at, nth), Ordering::Relaxed);
                nth += 1;
            });
        });
        let ids = (self.n_films() as u32..).map(EntityId);
        let mut first: Vec<(u64, EntityId)> = first.into_iter().map(AtomicU64::into_inner).zip(ids).collect();
        first.retain(|&(time, _)| time < u64::MAX);
        first.par_sort_unstable();
        first
    }
}

/// A moment of a build: pass, then film, then edge.
fn time(pass: u64, film: usize, edge: u64) -> u64 {
    pass << 60 | (film as u64) << 20 | edge.min((1 << 20) - 1)
}

/// What a film's own row says of it.
struct Head<'a> {
    title: &'a str,
    key: Cow<'a, str>,
    id: &'a str,
    imdb: u32,
    wikipedia: u32,
}

impl<'a> Head<'a> {
    fn of(film: &'a Film, links: Option<&HashMap<String, Link>>) -> Self {
        let link = links.and_then(|links| links.get(&film.id));
        Self {
            title: &film.title,
            key: entity_key(&film.title).into(),
            id: &film.id,
            imdb: link.map_or(0, |link| link.imdb),
            wikipedia: link.map_or(0, |link| link.wikipedia),
        }
    }

    fn known(graph: &'a Graph, film: u32) -> Self {
        let id = graph.film(film);
        Self {
            title: graph.name(id),
            key: graph.key(id).into(),
            id: graph.film_id(film),
            imdb: graph.imdb(film).unwrap_or(0),
            wikipedia: graph.wikipedia(film).unwrap_or(0),
        }
    }
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

    fn add_facts(&mut self, film: usize, facts: Vec<Fact>) {
        for fact in facts {
            self.add_fact(film, fact.relation, &fact.name);
        }
    }

    fn add_keywords(&mut self, film: usize, names: Vec<String>) {
        for name in names {
            self.add(film, Relation::Keyword, Kind::Keyword, &name, true);
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

    /// Gives every entity its number: films first, then kind by kind in the order of keys. `edges_of` makes the edges of
    /// `films` of those added here and the numbers.
    fn finish<'a>(
        mut self,
        films: Vec<Head<'a>>,
        hierarchy: &is_a::Hierarchy,
        edges_of: impl FnOnce(Vec<Vec<FilmEdge>>, &(dyn Fn(Node) -> EntityId + Sync)) -> Vec<Vec<FilmEdge>>,
    ) -> Result<Parts<'a>, GraphError> {
        let mut parts = Parts {
            names: films.iter().map(|film| film.title.into()).collect(),
            film_ids: films.iter().map(|film| film.id).collect(),
            ..Parts::default()
        };
        if self.links.is_some() {
            parts.imdb = films.iter().map(|film| film.imdb).collect();
            parts.wikipedia = films.iter().map(|film| film.wikipedia).collect();
        }
        parts.kinds[1] = count(films.len())?;
        parts.keys = films.into_iter().map(|film| film.key).collect();
        let mut numbers: HashMap<Kind, Vec<u32>> = HashMap::new();
        for (at, kind) in Kind::ALL.into_iter().enumerate().skip(1) {
            let mut rows: Vec<_> = self.names.take_rows(kind).into_iter().enumerate().collect();
            rows.par_sort_unstable_by(|a, b| a.1.0.cmp(&b.1.0));
            let mut of_kind = vec![0; rows.len()];
            for (before, (key, name)) in rows {
                of_kind[before] = count(parts.names.len())?;
                parts.keys.push(key.into());
                parts.names.push(name.into());
            }
            numbers.insert(kind, of_kind);
            parts.kinds[at + 1] = count(parts.names.len())?;
        }
        let number = |(kind, at): Node| EntityId(numbers[&kind][at as usize]);
        let edges = self.edges.into_par_iter().map(|mut edges| {
            edges.sort_by_key(|(relation, ..)| *relation);
            let edges = edges.into_iter();
            edges
                .map(|(relation, node, derived)| FilmEdge { relation, target: number(node), derived })
                .collect()
        });
        parts.edges = edges_of(edges.collect(), &number);
        for (child, above) in hierarchy.iter() {
            let sorted = |nodes: &mut dyn Iterator<Item = Node>| {
                let mut ids: Vec<EntityId> = nodes.map(number).collect();
                ids.sort_unstable();
                ids
            };
            parts.parents.push((number(child), sorted(&mut above.iter().copied())));
            parts.ancestors.push((number(child), sorted(&mut hierarchy.ancestors(child).into_iter())));
        }
        Ok(parts)
    }
}

/// Entities are numbered with 30 bits.
fn count(n: usize) -> Result<u32, GraphError> {
    u32::try_from(n).ok().filter(|n| *n < 1 << 30).ok_or(GraphError::TooLarge("a billion entities"))
}

/// Derived roles and countries of films whose columns say who and where.
fn confirmed(films: &[&Film], facts: &Facts) -> BTreeMap<String, (usize, usize)> {
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
/// Of the films that `wanted` says; none without such a file.
fn read_links(
    config: &GraphConfig,
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<HashMap<String, Link>>, GraphError> {
    if config.ids.is_empty() {
        return Ok(None);
    }
    let path = Path::new(&config.ids);
    let fault = |what: String| GraphError::Input { setting: "graph.ids", path: path.to_owned(), what };
    let mut reader = open_decompressed(path).map_err(|error| fault(error.to_string()))?;
    let mut header = String::new();
    reader.read_line(&mut header).map_err(|error| fault(error.to_string()))?;
    let columns: Vec<&str> = header.trim_end().split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let id = column("tmdb_id")
        .or_else(|| column("id"))
        .ok_or_else(|| fault(format!("no column `tmdb_id` (found: {})", columns.join(", "))))?;
    let (imdb, page) = (column("imdb_id"), column("wikipedia_page_id"));
    let language = column("original_language");
    let mut links = HashMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).map_err(|error| fault(error.to_string()))? == 0 {
            break;
        }
        // Mostly a few of very many are wanted.
        if !line.split('\t').nth(id).is_some_and(|id| wanted(id.trim())) {
            continue;
        }
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: Option<usize>| at.and_then(|at| cells.get(at)).map_or("", |cell| cell.trim());
        let link = Link {
            imdb: cell(imdb).trim_start_matches("tt").parse().unwrap_or(0),
            wikipedia: cell(page).parse().unwrap_or(0),
            language: cell(language).to_owned(),
        };
        links.insert(cell(Some(id)).to_owned(), link);
    }
    Ok(Some(links))
}
