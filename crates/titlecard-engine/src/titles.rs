//! Finding a film by its title, however it is typed: one or two slips of the keys, the first letters only, no
//! article, no diacritics, the original title, a year in brackets.
//!
//! Every title is compared with the query; what makes that fast is a filter of 64 bits a title that says which
//! letters it has, once or twice. Titles `d` edits apart differ in at most `d` of these bits on either side, so
//! the filter leaves out no title that is near enough, and the few that pass are compared letter by letter. A second
//! such filter looks at the first letters alone. The table is made at opening, in one pass over the titles of the
//! graph.
//!
//! ```
//! # use titlecard_engine::{catalogue::Film, graph::{self, Graph, GraphConfig}, progress};
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("graph.tcg");
//! # let film = |id: &str, title: &str, year| Film {
//! #     id: id.into(), title: title.into(), tags: "x".into(), year: Some(year), ..Film::default()
//! # };
//! # let films = [film("1", "The Thing", 1982), film("2", "The Thing", 2011), film("3", "Amélie", 2001)];
//! # graph::build(&path, &films, &GraphConfig::default(), &mut progress::silent)?;
//! # let graph = Graph::open(&path)?;
//! use titlecard_engine::titles::{Fit, TitleIndex};
//!
//! let titles = TitleIndex::new(&graph, &[], None);
//! let found = titles.find(&graph, "tihng (2011)", 3);
//! assert_eq!((found.len(), found[0].film, found[0].edits, found[0].fit), (1, 1, 1, Fit::Article));
//! assert_eq!(titles.find(&graph, "ameli", 3)[0].film, 2);
//! # Ok::<(), graph::GraphError>(())
//! ```

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactError, read_bytes, seal_fits, write_sealed};
use crate::catalogue::Film;
use crate::edits::{Edits, MAX_LIMIT, edits};
use crate::graph::{EntityId, Graph, Relation, entity_key};
use crate::index::facts::Facts;
use crate::index::layout::Layout;

/// Another title of a film than the one it is shown by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherTitle {
    /// Its number in the catalogue.
    pub film: u32,
    /// The title.
    pub title: String,
}

/// The original titles that differ from the titles, compared as they are looked up.
pub fn other_titles<'f>(films: impl IntoIterator<Item = &'f Film>) -> Vec<OtherTitle> {
    (0..)
        .zip(films)
        .filter_map(|(film, Film { title, original_title, .. })| {
            let other = original_title.as_ref().filter(|other| title_key(other) != title_key(title))?;
            Some(OtherTitle { film, title: other.clone() })
        })
        .collect()
}

/// What is in the file of other titles.
#[derive(Debug, Serialize, Deserialize)]
struct OtherTitles {
    format: String,
    format_version: u32,
    titles: Vec<OtherTitle>,
}

const FORMAT: &str = "titlecard-other-titles";
/// Version 1 was the bare list.
const VERSION: u32 = 2;
const COMMAND: &str = "titlecard graph build";

/// Writes the original titles that differ, with a checksum.
///
/// # Errors
/// [`ArtifactError::Io`]; the old file is then as it was.
pub(crate) fn write_other_titles(films: &[Film], path: &Path) -> Result<(), ArtifactError> {
    let (format, titles) = (FORMAT.to_owned(), other_titles(films));
    write_sealed(path, &OtherTitles { format, format_version: VERSION, titles })
}

/// Reads what [`write_other_titles`] wrote, or a list of version 1, which has no checksum.
///
/// # Errors
/// [`ArtifactError`] if it is missing, damaged, or of another version.
pub(crate) fn read_other_titles(path: &Path) -> Result<Vec<OtherTitle>, ArtifactError> {
    let bytes = read_bytes(path, COMMAND)?;
    let damaged = |what: String| ArtifactError::Damaged { path: path.to_owned(), what, command: COMMAND };
    if bytes.starts_with(b"[") {
        return serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()));
    }
    let found: OtherTitles = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if found.format != FORMAT {
        return Err(damaged(format!("format `{}`, expected `{FORMAT}`", found.format)));
    }
    if found.format_version != VERSION {
        let (path, found) = (path.to_owned(), found.format_version);
        return Err(ArtifactError::Version { path, found, expected: VERSION, command: COMMAND });
    }
    if seal_fits(&bytes) != Some(true) {
        return Err(damaged("its checksum does not fit".to_owned()));
    }
    Ok(found.titles)
}

/// How a title fits a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The whole title.
    Whole,
    /// The whole title but for an article at its beginning.
    Article,
    /// The beginning of the title, with or without its article.
    Beginning,
    /// Words inside the title.
    Inside,
}

impl Fit {
    /// What it counts beside the edits, an edit being 2.
    fn cost(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Article => 1,
            Self::Beginning => 2,
            Self::Inside => 5,
        }
    }
}

/// A film whose title fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Its number in the catalogue.
    pub film: u32,
    /// The title that fits: the film's, or another of its titles.
    pub title: String,
    /// Letters left out, added, changed, or exchanged with their neighbour.
    pub edits: u8,
    /// How it fits.
    pub fit: Fit,
    /// How widely the film is known, 0 to 1.
    pub popularity: f32,
}

impl Found {
    /// What it is ranked by, before popularity: two an edit, and what [`Fit`] adds.
    pub fn cost(&self) -> u8 {
        2 * self.edits + self.fit.cost()
    }
}

/// All titles of a catalogue.
#[derive(Debug, Clone, Default)]
pub struct TitleIndex {
    /// Titles as they are compared, one after the other.
    text: String,
    /// Where each begins, and the end of the last.
    starts: Vec<u32>,
    /// Letters in front of the title proper: an article and a space.
    articles: Vec<u8>,
    /// Letters of the title without its article: of its first [`FRONT_LETTERS`] and what slips may push in, and of
    /// all.
    letters: Vec<[u64; 2]>,
    /// The films of the titles behind the first `n_films`.
    others: Vec<OtherTitle>,
    popularity: Vec<f32>,
    n_films: usize,
}

/// Articles that begin titles, in the languages most titles have.
const ARTICLES: [&str; 25] = [
    "a", "an", "das", "de", "den", "der", "det", "die", "ein", "eine", "el", "en", "gli", "het", "i", "il",
    "l", "la", "las", "le", "les", "lo", "los", "the", "une",
];
/// Letters at the front of a query that the front of a title must have.
const FRONT_LETTERS: usize = 12;
/// Shortest query that is looked for inside titles, in letters.
const INSIDE_LETTERS: usize = 4;

impl TitleIndex {
    /// The titles of a graph, and `others`. Without `facts` a film counts as the better known the more the graph
    /// says of it.
    pub fn new(graph: &Graph, others: &[OtherTitle], facts: Option<&Facts>) -> Self {
        let n_films = graph.n_films();
        let popularity = match facts.filter(|facts| facts.n_films() == n_films) {
            Some(facts) => facts.popularity().to_vec(),
            None => (0..n_films as u32).map(|film| known_of(graph, film)).collect(),
        };
        let others: Vec<OtherTitle> =
            others.iter().filter(|other| (other.film as usize) < n_films).cloned().collect();
        let n = n_films + others.len();
        let mut titles = Self {
            text: String::with_capacity(24 * n),
            starts: Vec::with_capacity(n + 1),
            articles: Vec::with_capacity(n),
            letters: Vec::with_capacity(n),
            others: Vec::new(),
            popularity,
            n_films,
        };
        titles.starts.push(0);
        for film in 0..n_films as u32 {
            let id = EntityId(film);
            if graph.name(id).contains('&') {
                titles.push(&title_key(graph.name(id)));
            } else {
                titles.push(graph.key(id));
            }
        }
        others.iter().for_each(|other| titles.push(&title_key(&other.title)));
        titles.others = others;
        titles
    }

    /// The titles of a changed catalogue, whose graph and facts are given; `new` are the films that are new or
    /// changed.
    pub fn changed(&self, graph: &Graph, new: &[&Film], layout: &Layout, facts: &Facts) -> Self {
        let (places, places_of_new) = layout.places();
        let moved = |places: &[u32], OtherTitle { film, title }: &OtherTitle| {
            let place = places.get(*film as usize).copied().filter(|&place| place != u32::MAX)?;
            Some(OtherTitle { film: place, title: title.clone() })
        };
        let known = self.others.iter().filter_map(|other| moved(&places, other));
        let others_of_new = other_titles(new.iter().copied());
        let mut others: Vec<OtherTitle> =
            known.chain(others_of_new.iter().filter_map(|other| moved(&places_of_new, other))).collect();
        others.sort_by_key(|other| other.film);
        Self::new(graph, &others, Some(facts))
    }

    fn push(&mut self, key: &str) {
        let article = article_of(key);
        self.text.push_str(key);
        self.starts.push(self.text.len() as u32);
        self.articles.push(article as u8);
        let proper = &key[article..];
        let front = front_of(proper, FRONT_LETTERS + MAX_LIMIT);
        let of_front = letters_of(front, 0);
        self.letters.push([of_front, letters_of(&proper[front.len()..], of_front)]);
    }

    /// Number of titles.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        self.text.capacity()
            + 4 * (self.starts.capacity() + self.popularity.capacity())
            + 16 * self.letters.capacity()
            + self.articles.capacity()
            + self.others.iter().map(|other| other.title.capacity() + size_of::<OtherTitle>()).sum::<usize>()
    }

    fn key(&self, at: usize) -> &str {
        &self.text[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn film(&self, at: usize) -> u32 {
        if at < self.n_films { at as u32 } else { self.others[at - self.n_films].film }
    }

    /// The at most `k` films whose titles fit `query` best: by [`Found::cost`], then the better known. A year in
    /// brackets at its end keeps films of that year, if any fits. `graph` is the one the titles are of.
    pub fn find(&self, graph: &Graph, query: &str, k: usize) -> Vec<Found> {
        let (title, year) = split_year(query);
        let key = key_of_query(title);
        let mut fitting = self.fitting(&Query::new(&key));
        if fitting.is_empty() {
            fitting = self.inside_with_slips(&Query::new(&key));
        }
        if let Some(year) = year {
            let is_of_year = |found: &(u8, usize, u8, Fit)| year_of(graph, self.film(found.1)) == Some(year);
            if fitting.iter().any(is_of_year) {
                fitting.retain(is_of_year);
            }
        }
        let rank = |&(cost, at, ..): &(u8, usize, u8, Fit)| {
            let film = self.film(at);
            (cost, Reverse(self.popularity[film as usize].to_bits()), film, at)
        };
        fitting.sort_unstable_by_key(rank);
        let mut seen = HashSet::new();
        fitting
            .into_iter()
            .filter(|&(_, at, ..)| seen.insert(self.film(at)))
            .take(k)
            .map(|(_, at, edits, fit)| {
                let film = self.film(at);
                let title = match at.checked_sub(self.n_films) {
                    None => graph.name(EntityId(film)).to_owned(),
                    Some(other) => self.others[other].title.clone(),
                };
                Found { film, title, edits, fit, popularity: self.popularity[film as usize] }
            })
            .collect()
    }

    /// Titles that fit: cost, title, edits, how.
    fn fitting(&self, query: &Query) -> Vec<(u8, usize, u8, Fit)> {
        let mut fitting = Vec::new();
        if query.proper.is_empty() {
            return fitting;
        }
        let mut buffer = Vec::new();
        for (at, &[front, letters]) in self.letters.iter().enumerate() {
            // Letters of the query that the title lacks; an article may hold some of them.
            let article = usize::from(self.articles[at]);
            let lacking = (query.letters & !letters).count_ones() as usize;
            let near_front = (query.front & !front).count_ones() as usize <= query.limit;
            let near_article = article > 0 && query.may_hold_article && lacking <= query.limit + article;
            if !near_article && lacking > 0 && !(near_front && lacking <= query.limit) {
                continue;
            }
            let key = self.key(at);
            let mut best: Option<(u8, u8, Fit)> = None;
            let is_near = (letters & !query.letters).count_ones() as usize <= query.limit;
            let same_article = key[..article] == *query.article;
            let whole = if same_article { Fit::Whole } else { Fit::Article };
            let proper = &key[article..];
            if near_front && lacking <= query.limit && (is_near || lacking <= query.beginning_limit) {
                let found = query.compare(proper, &mut buffer);
                offer(&mut best, found.whole, query.limit, whole);
                offer(&mut best, found.beginning, query.beginning_limit, Fit::Beginning);
            }
            if near_article && is_near {
                // A slip in the article itself.
                let found = query.compare(key, &mut buffer);
                offer(&mut best, found.whole, query.limit, Fit::Whole);
            }
            if lacking == 0 && best.is_none() && query.proper.len() >= INSIDE_LETTERS {
                let is_inside = key.match_indices(query.proper.as_str()).any(|(start, found)| {
                    let end = start + found.len();
                    (start == 0 || key.as_bytes()[start - 1] == b' ')
                        && key.as_bytes().get(end).is_none_or(|&byte| byte == b' ')
                });
                offer(&mut best, is_inside.then_some(0), 0, Fit::Inside);
            }
            fitting.extend(best.map(|(cost, edits, fit)| (cost, at, edits, fit)));
        }
        fitting
    }

    /// Titles that have the query inside, with slips.
    fn inside_with_slips(&self, query: &Query) -> Vec<(u8, usize, u8, Fit)> {
        let mut fitting = Vec::new();
        if query.n_letters < 2 * INSIDE_LETTERS {
            return fitting;
        }
        let mut buffer = Vec::new();
        for (at, &[_, letters]) in self.letters.iter().enumerate() {
            if (query.letters & !letters).count_ones() as usize > query.beginning_limit {
                continue;
            }
            let key = self.key(at);
            let starts = key.match_indices(' ').map(|(space, _)| space + 1);
            let least = starts
                .filter_map(|start| query.compare(&key[start..], &mut buffer).beginning)
                .min()
                .filter(|&edits| usize::from(edits) <= query.beginning_limit);
            fitting.extend(least.map(|edits| (2 * edits + Fit::Inside.cost(), at, edits, Fit::Inside)));
        }
        fitting
    }
}

/// A query as it is compared.
struct Query {
    /// Its article with the space behind it; empty without one.
    article: String,
    /// All behind the article.
    proper: String,
    /// The same as letters.
    wide: Vec<char>,
    n_letters: usize,
    /// Letters of its front, and of all.
    front: u64,
    letters: u64,
    /// Edits allowed to a whole title.
    limit: usize,
    /// Edits allowed to the beginning of one.
    beginning_limit: usize,
    /// Whether its first word may be an article with a slip.
    may_hold_article: bool,
}

impl Query {
    fn new(key: &str) -> Self {
        let article = article_of(key);
        let proper = &key[article..];
        let wide: Vec<char> = proper.chars().collect();
        let n_letters = wide.len();
        let first_word = proper.find(' ');
        Self {
            front: letters_of(front_of(proper, FRONT_LETTERS), 0),
            letters: letters_of(proper, 0),
            limit: match n_letters {
                0..=2 => 0,
                3..=4 => 1,
                5..=11 => 2,
                _ => 3,
            },
            beginning_limit: match n_letters {
                0..=4 => 0,
                5..=7 => 1,
                _ => 2,
            },
            may_hold_article: article == 0 && first_word.is_some_and(|end| end <= 5),
            article: key[..article].to_owned(),
            proper: proper.to_owned(),
            wide,
            n_letters,
        }
    }

    /// Edits to `text`; `buffer` is only reused.
    fn compare(&self, text: &str, buffer: &mut Vec<char>) -> Edits {
        if self.proper.is_ascii() && text.is_ascii() {
            return edits(self.proper.as_bytes(), text.as_bytes(), self.limit);
        }
        buffer.clear();
        buffer.extend(text.chars());
        edits(&self.wide, buffer, self.limit)
    }
}

/// Keeps the cheapest fit of a title.
fn offer(best: &mut Option<(u8, u8, Fit)>, edits: Option<u8>, limit: usize, fit: Fit) {
    if let Some(edits) = edits.filter(|&edits| usize::from(edits) <= limit) {
        let cost = 2 * edits + fit.cost();
        if best.is_none_or(|(least, ..)| cost < least) {
            *best = Some((cost, edits, fit));
        }
    }
}

/// A title as it is compared: folded, lower case, single spaces, "&" as "and".
fn title_key(title: &str) -> String {
    if title.contains('&') { entity_key(&title.replace('&', " and ")) } else { entity_key(title) }
}

/// The same for a query, in which the article may stand behind ("Godfather, The").
fn key_of_query(title: &str) -> String {
    if let Some((front, behind)) = title.rsplit_once(',') {
        let article = entity_key(behind);
        if ARTICLES.binary_search(&article.as_str()).is_ok() && !front.trim().is_empty() {
            return format!("{article} {}", title_key(front));
        }
    }
    title_key(title)
}

/// Length of the article at the beginning of a title, with its space; 0 if there is none or nothing behind it.
fn article_of(key: &str) -> usize {
    match key.as_bytes().iter().take(5).position(|&byte| byte == b' ') {
        Some(space) if ARTICLES.binary_search(&&key[..space]).is_ok() => space + 1,
        _ => 0,
    }
}

/// The first `n` letters.
fn front_of(text: &str, n: usize) -> &str {
    let end = if text.is_ascii() {
        text.len().min(n)
    } else {
        text.char_indices().nth(n).map_or(text.len(), |(end, _)| end)
    };
    &text[..end]
}

/// Which letters a text has, added to those `known`: two bits each for a to z (one or more, two or more), six for
/// digits, six for others. A letter more or less changes at most one bit.
fn letters_of(text: &str, known: u64) -> u64 {
    let mut letters = known;
    for character in text.chars() {
        match character {
            'a'..='z' => {
                let at = 2 * (character as u32 - 'a' as u32);
                letters |= ((letters >> at & 1) << 1 | 1) << at;
            }
            ' ' => {}
            '0'..='9' => letters |= 1 << (52 + (character as u32 - '0' as u32) % 6),
            other => letters |= 1 << (58 + other as u32 % 6),
        }
    }
    letters
}

/// Title and year of "Solaris (1972)".
fn split_year(query: &str) -> (&str, Option<i32>) {
    let query = query.trim();
    let split = query.strip_suffix(')').and_then(|inner| inner.rsplit_once('('));
    match split {
        Some((title, year)) if year.len() == 4 && !title.trim().is_empty() => match year.parse() {
            Ok(year) => (title.trim(), Some(year)),
            Err(_) => (query, None),
        },
        _ => (query, None),
    }
}

fn year_of(graph: &Graph, film: u32) -> Option<i32> {
    let (year, _) = graph.edges(film, Relation::Year).next()?;
    graph.name(year).parse().ok()
}

/// How much the graph says of a film, 0 to 1.
fn known_of(graph: &Graph, film: u32) -> f32 {
    let n: usize = [Relation::Keyword, Relation::Actor, Relation::Director]
        .into_iter()
        .map(|relation| graph.edges(film, relation).len())
        .sum();
    1.0 - 1.0 / (1.0 + n as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphConfig, build};
    use proptest::prelude::*;

    fn graph_of(films: &[Film]) -> Graph {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.tcg");
        build(&path, films, &GraphConfig::default(), &mut crate::progress::silent).unwrap();
        Graph::open(&path).unwrap()
    }

    fn film(title: &str, year: i32, votes: u32) -> Film {
        let (id, tags) = (format!("{title} {year}"), "x".to_owned());
        Film { id, title: title.to_owned(), year: Some(year), votes: Some(votes), tags, ..Film::default() }
    }

    fn films() -> Vec<Film> {
        vec![
            film("The Godfather", 1972, 900),
            film("The Godfather Part II", 1974, 500),
            film("Alien", 1979, 800),
            film("Aliens", 1986, 700),
            film("The Thing", 1982, 400),
            film("The Thing", 2011, 300),
            film("The Thing from Another World", 1951, 100),
            film("Fast & Furious", 2009, 300),
            film("Star Wars: Episode V - The Empire Strikes Back", 1980, 900),
            Film {
                original_title: Some("千と千尋の神隠し".to_owned()), ..film("Spirited Away", 2001, 800)
            },
            Film {
                original_title: Some("Le Fabuleux Destin d'Amélie Poulain".to_owned()),
                ..film("Amélie", 2001, 600)
            },
            film("M", 1931, 200),
            film("It", 2017, 700),
        ]
    }

    #[test]
    fn titles_are_found_however_they_are_typed() {
        let films = films();
        let graph = graph_of(&films);
        let titles = TitleIndex::new(&graph, &other_titles(&films), Some(&Facts::of_films(&films)));
        assert_eq!(titles.len(), 15);
        for (query, expected, edits, fit) in [
            ("the godfather", "The Godfather 1972", 0, Fit::Whole),
            ("GODFATHER", "The Godfather 1972", 0, Fit::Article),
            ("Godfather, The", "The Godfather 1972", 0, Fit::Whole),
            ("teh godfather", "The Godfather 1972", 1, Fit::Whole),
            ("the godfahter", "The Godfather 1972", 1, Fit::Whole),
            ("gofdathr", "The Godfather 1972", 2, Fit::Article),
            ("the godfather par", "The Godfather Part II 1974", 0, Fit::Beginning),
            ("alien", "Alien 1979", 0, Fit::Whole),
            ("aliens", "Aliens 1986", 0, Fit::Whole),
            ("alein", "Alien 1979", 1, Fit::Whole),
            ("thing", "The Thing 1982", 0, Fit::Article),
            ("thing (2011)", "The Thing 2011", 0, Fit::Article),
            ("the thing (1999)", "The Thing 1982", 0, Fit::Whole),
            ("the thing fr", "The Thing from Another World 1951", 0, Fit::Beginning),
            ("fast and furious", "Fast & Furious 2009", 0, Fit::Whole),
            ("empire strikes back", "Star Wars: Episode V - The Empire Strikes Back 1980", 0, Fit::Inside),
            ("empire stirkes bakc", "Star Wars: Episode V - The Empire Strikes Back 1980", 2, Fit::Inside),
            ("amelie", "Amélie 2001", 0, Fit::Whole),
            ("le fabuleux destin", "Amélie 2001", 0, Fit::Beginning),
            ("fabuleux destin d'amelie poulian", "Amélie 2001", 1, Fit::Article),
            ("千と千尋の神隠", "Spirited Away 2001", 0, Fit::Beginning),
            ("m", "M 1931", 0, Fit::Whole),
            ("it", "It 2017", 0, Fit::Whole),
        ] {
            let found = titles.find(&graph, query, 3);
            let Some(best) = found.first() else { panic!("nothing for {query}") };
            assert_eq!((graph.film_id(best.film), best.edits, best.fit), (expected, edits, fit), "{query}");
        }
        for query in ["", "(1982)", "...", "zzzzzz", "xq"] {
            assert_eq!(titles.find(&graph, query, 3), [], "{query}");
        }
        assert_eq!(titles.find(&graph, "the thing", 10).len(), 3);
    }

    proptest! {
        /// The filter of letters leaves out nothing: no title within the limit is missed.
        #[test]
        fn edits_change_few_bits(a in "[a-e0-2é ]{0,12}", b in "[a-e0-2é ]{0,12}") {
            let (left, right) = (letters_of(&a, 0), letters_of(&b, 0));
            let apart = strsim::osa_distance(&a, &b);
            prop_assert!((left & !right).count_ones() as usize <= apart);
            prop_assert!((right & !left).count_ones() as usize <= apart);
        }
    }
}
