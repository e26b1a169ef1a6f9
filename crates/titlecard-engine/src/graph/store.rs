//! The graph on disk: one file, used by memory map.
//!
//! ```text
//! TCGR, version u32, CRC-32 u32 of all that follows, number of films u32,
//! 13 sections as (offset u64, length u64), then the sections, each on a multiple of 8:
//!   0 kinds      first entity of each kind and the number of entities, u32 x 12
//!   1,2 names    starts u32 x (n + 1), text         3,4 keys       the same, normalised
//!   5,6 film ids starts u32 x (n_films + 1), text
//!   7 films by key of title, 8 films by id          u32 x n_films
//!   9,10 records starts u32 x (n + 1), bytes
//!   11 IMDb numbers, 12 Wikipedia pages             u32 x n_films, 0 for none; empty if unknown
//! ```
//!
//! Films are entities 0 to n_films - 1, in the order of the catalogue; the others follow by kind and,
//! within a kind, by key, so that a name is found by bisection. A record is a run of blocks, each a tag,
//! the number of its items and its length as variable-length integers, then the items. Blocks 0 to 12
//! are relations: of a film, `2 * (entity - first of its kind) + derived` in the order of the catalogue
//! (the leading actor first); of another entity, the films ascending, `2 * difference + derived`.
//! Blocks 13 to 16 are parents, ancestors, children and descendants, ascending differences. The record
//! of an entity that is no film begins with the number of its films.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tantivy::directory::OwnedBytes;

use super::{Kind, Relation};
use crate::artifact::{ArtifactError, map_file, write_atomically};
use crate::text::title_key;

const MAGIC: &[u8; 4] = b"TCGR";
const VERSION: u32 = 1;
const N_SECTIONS: usize = 13;
const HEADER_BYTES: usize = 16 + 16 * N_SECTIONS;
const N_KINDS: usize = Kind::ALL.len();
const COMMAND: &str = "titlecard graph build";

const PARENTS: u8 = 13;
const ANCESTORS: u8 = 14;
const CHILDREN: u8 = 15;
const DESCENDANTS: u8 = 16;

/// Why a graph could not be written, opened or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A file cannot be written, found or trusted.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Graph and index are of two catalogues.
    #[error(
        "the graph `{}` and the index are of different films ({found} and {expected}); bring both up to date with \
         `titlecard graph build` and `titlecard index`",
        path.display()
    )]
    OtherCatalogue {
        /// The file.
        path: PathBuf,
        /// Films in the graph.
        found: usize,
        /// Films in the index.
        expected: usize,
    },
    /// An optional input named in the settings cannot be used.
    #[error("setting `{setting}`: `{}`: {what}; correct it or leave it empty", path.display())]
    Input {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A SPARQL query that is none, or that failed.
    #[error("SPARQL: {0}")]
    Sparql(String),
    /// More than a graph of this format can hold.
    #[error("the graph is too large: {0}")]
    TooLarge(&'static str),
    /// A picture could not be drawn.
    #[error("cannot draw the graph: {0}")]
    Drawing(String),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] crate::progress::Interrupted),
}

/// An entity: a film, or what films are linked to. Films have the numbers of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(pub u32);

/// A name as it is looked up: folded, lower case, words joined by single spaces ("Sci-Fi" is `sci fi`).
pub fn entity_key(name: &str) -> String {
    let key = title_key(name);
    // A name without letters or digits ("$") is its own key.
    if key.is_empty() { name.trim().to_lowercase() } else { key }
}

/// An opened graph.
///
/// Nothing is read at opening but the bytes for the checksum; look-ups work on the mapped file and
/// allocate nothing. A film's number is its position in the catalogue.
pub struct Graph {
    bytes: OwnedBytes,
    sections: [(usize, usize); N_SECTIONS],
    kinds: [u32; N_KINDS + 1],
}

impl Graph {
    /// Opens the file at `path` and checks header, checksum and the lengths of all tables.
    ///
    /// # Errors
    /// [`GraphError::Artifact`]: missing, damaged, or of another version of the format.
    pub fn open(path: &Path) -> Result<Self, GraphError> {
        let bytes = map_file(path, COMMAND)?;
        Self::from_bytes(bytes).map_err(|fault| {
            match fault {
                Fault::Damaged(what) => {
                    ArtifactError::Damaged { path: path.to_owned(), what, command: COMMAND }
                }
                Fault::Version(found) => ArtifactError::Version {
                    path: path.to_owned(),
                    found,
                    expected: VERSION,
                    command: COMMAND,
                },
            }
            .into()
        })
    }

    fn from_bytes(bytes: OwnedBytes) -> Result<Self, Fault> {
        let damaged = |what: &str| Fault::Damaged(what.to_owned());
        if bytes.len() < HEADER_BYTES {
            return Err(Fault::Damaged(format!("{} bytes, a header has {HEADER_BYTES}", bytes.len())));
        }
        if &bytes[..4] != MAGIC {
            return Err(damaged("it does not begin with `TCGR`"));
        }
        let version = word(&bytes, 1);
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        if crc32fast::hash(&bytes[12..]) != word(&bytes, 2) {
            return Err(damaged("its checksum differs"));
        }
        let mut sections = [(0, 0); N_SECTIONS];
        for (at, section) in sections.iter_mut().enumerate() {
            let long = |at: usize| u64::from(word(&bytes, at)) | u64::from(word(&bytes, at + 1)) << 32;
            let (start, length) = (long(4 + 4 * at), long(6 + 4 * at));
            let end = start.checked_add(length).filter(|&end| end <= bytes.len() as u64);
            let Some(end) = end else { return Err(damaged("a section ends behind the file")) };
            *section = (start as usize, end as usize);
        }
        let mut graph = Self { bytes, sections, kinds: [0; N_KINDS + 1] };
        if graph.section(0).len() != 4 * (N_KINDS + 1) {
            return Err(damaged("the table of kinds has another length"));
        }
        for at in 0..=N_KINDS {
            graph.kinds[at] = word(graph.section(0), at);
        }
        if graph.kinds[0] != 0 || !graph.kinds.is_sorted() || graph.kinds[1] != word(&graph.bytes, 3) {
            return Err(damaged("the table of kinds is out of order"));
        }
        let (n, n_films) = (graph.n_entities(), graph.n_films());
        for (at, rows) in [(1, n + 1), (3, n + 1), (5, n_films + 1), (7, n_films), (8, n_films), (9, n + 1)] {
            if graph.section(at).len() != 4 * rows {
                return Err(damaged("a table has another length"));
            }
        }
        for at in [11, 12] {
            if !matches!(graph.section(at).len(), length if length == 0 || length == 4 * n_films) {
                return Err(damaged("a table has another length"));
            }
        }
        Ok(graph)
    }

    fn section(&self, at: usize) -> &[u8] {
        let (start, end) = self.sections[at];
        &self.bytes[start..end]
    }

    /// Row `row` of the table whose starts are section `starts` and whose bytes are the next one.
    fn row(&self, starts: usize, row: usize) -> &[u8] {
        let table = self.section(starts);
        if 4 * row + 8 > table.len() {
            return &[];
        }
        let range = word(table, row) as usize..word(table, row + 1) as usize;
        self.section(starts + 1).get(range).unwrap_or_default()
    }

    fn text(&self, starts: usize, row: usize) -> &str {
        std::str::from_utf8(self.row(starts, row)).unwrap_or_default()
    }

    /// Number of films.
    pub fn n_films(&self) -> usize {
        self.kinds[1] as usize
    }

    /// Number of entities, films among them.
    pub fn n_entities(&self) -> usize {
        self.kinds[N_KINDS] as usize
    }

    /// Checksum of the file: tells one graph from another.
    pub fn checksum(&self) -> u32 {
        word(&self.bytes, 2)
    }

    /// Length of the file in bytes.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of the part that holds the edges, of both directions, with what finds an entity's.
    pub fn n_edge_bytes(&self) -> usize {
        self.section(9).len() + self.section(10).len()
    }

    /// The entity of film number `film`.
    pub fn film(&self, film: u32) -> EntityId {
        EntityId(film)
    }

    /// The film number of an entity, if it is a film.
    pub fn film_number(&self, id: EntityId) -> Option<u32> {
        (id.0 < self.kinds[1]).then_some(id.0)
    }

    /// What an entity is. Of a number beyond the graph, [`Kind::Collection`].
    pub fn kind(&self, id: EntityId) -> Kind {
        let at = self.kinds[1..N_KINDS].partition_point(|&start| start <= id.0);
        Kind::ALL[at]
    }

    /// The name of an entity as the catalogue writes it; a film's is its title.
    pub fn name(&self, id: EntityId) -> &str {
        self.text(1, id.0 as usize)
    }

    /// The name of an entity as it is looked up, see [`entity_key`].
    pub fn key(&self, id: EntityId) -> &str {
        self.text(3, id.0 as usize)
    }

    /// The catalogue's id of film number `film`.
    pub fn film_id(&self, film: u32) -> &str {
        self.text(5, film as usize)
    }

    /// The ids of all films, in the order of the catalogue.
    pub fn film_ids(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.n_films()).map(|film| self.text(5, film))
    }

    /// All entities of a kind, films in the order of the catalogue, others by key.
    pub fn entities(&self, kind: Kind) -> impl ExactSizeIterator<Item = EntityId> + use<> {
        let at = kind as usize;
        (self.kinds[at]..self.kinds[at + 1]).map(EntityId)
    }

    /// The entity of a kind with this name, however it is cased, hyphenated or accented. Of several
    /// films of one title the first; [`Graph::films_titled`] gives all.
    pub fn find(&self, kind: Kind, name: &str) -> Option<EntityId> {
        self.find_key(kind, &entity_key(name))
    }

    /// [`Graph::find`] for a name that is normalised already: what to call for every run of words of
    /// a query.
    pub fn find_key(&self, kind: Kind, key: &str) -> Option<EntityId> {
        if kind == Kind::Film {
            return self.films_with_key(key).next().map(EntityId);
        }
        let (start, end) = (self.kinds[kind as usize], self.kinds[kind as usize + 1]);
        let at = partition(start, end, |id| self.key(EntityId(id)) < key);
        (at < end && self.key(EntityId(at)) == key).then_some(EntityId(at))
    }

    /// Numbers of the films of this title, in the order of the catalogue.
    pub fn films_titled(&self, title: &str) -> impl Iterator<Item = u32> {
        self.films_with_key(&entity_key(title))
    }

    fn films_with_key(&self, key: &str) -> impl Iterator<Item = u32> + use<'_> {
        let n = self.kinds[1];
        let at = |row: u32| word(self.section(7), row as usize);
        let key_of = |row: u32| self.key(EntityId(at(row)));
        let start = partition(0, n, |row| key_of(row) < key);
        let end = partition(start, n, |row| key_of(row) <= key);
        (start..end).map(at).filter(move |&film| film < n)
    }

    /// Number of the film with this id in its catalogue.
    pub fn film_with_id(&self, id: &str) -> Option<u32> {
        let at = |row: u32| word(self.section(8), row as usize);
        let row = partition(0, self.kinds[1], |row| self.film_id(at(row)) < id);
        (row < self.kinds[1] && at(row) < self.kinds[1] && self.film_id(at(row)) == id).then(|| at(row))
    }

    /// Number in the film's IMDb id (94675 for `tt0094675`), if known.
    pub fn imdb(&self, film: u32) -> Option<u32> {
        self.link(11, film)
    }

    /// Page id of the film in the English Wikipedia, if known.
    pub fn wikipedia(&self, film: u32) -> Option<u32> {
        self.link(12, film)
    }

    fn link(&self, section: usize, film: u32) -> Option<u32> {
        let number = self.section(section).as_chunks::<4>().0.get(film as usize)?;
        Some(u32::from_le_bytes(*number)).filter(|&number| number != 0)
    }

    /// The record of an entity without its head, and the number of its films (1 for a film).
    fn record(&self, id: EntityId) -> (u32, &[u8]) {
        let mut bytes = self.row(9, id.0 as usize);
        if id.0 < self.kinds[1] { (1, bytes) } else { (take(&mut bytes).unwrap_or(0), bytes) }
    }

    /// Number and bytes of the items in block `tag`.
    fn block(&self, id: EntityId, tag: u8) -> (u32, &[u8]) {
        let (_, mut bytes) = self.record(id);
        while let Some((&found, rest)) = bytes.split_first() {
            bytes = rest;
            let (Some(count), Some(length)) = (take(&mut bytes), take(&mut bytes)) else { break };
            let Some((items, rest)) = bytes.split_at_checked(length as usize) else { break };
            if found >= tag {
                // An item has a byte at least: a damaged number must not reserve memory for items that are not there.
                return if found == tag { (count.min(items.len() as u32), items) } else { (0, &[]) };
            }
            bytes = rest;
        }
        (0, &[])
    }

    /// What film number `film` is linked to by `relation`, and whether the edge was derived from text.
    /// In the order of the catalogue: the leading actor first.
    pub fn edges(&self, film: u32, relation: Relation) -> Edges<'_> {
        let base = self.kinds[relation.targets()[0] as usize];
        let end = self.kinds[N_KINDS];
        if film >= self.kinds[1] {
            return Edges { bytes: &[], base, end, left: 0 };
        }
        let (left, bytes) = self.block(EntityId(film), relation.number());
        Edges { bytes, base, end, left }
    }

    /// Films by key and by id, after films have come and gone: `before` and `new` are the places of those of this graph
    /// (`u32::MAX` for one that is gone) and of new ones, which come last and in no order.
    pub(super) fn sorted(&self, before: &[u32], new: &[u32]) -> [Vec<u32>; 2] {
        [7, 8].map(|section| {
            let films = (0..self.n_films()).map(|row| word(self.section(section), row) as usize);
            let places = films.filter_map(|film| before.get(film).copied().filter(|&place| place < u32::MAX));
            places.chain(new.iter().copied()).collect()
        })
    }

    /// All edges of a film, by relation, else in the order of the catalogue: one walk over its record.
    pub(super) fn each_edge(&self, film: u32, mut with: impl FnMut(Relation, EntityId, bool)) {
        let (_, mut bytes) = self.record(EntityId(film));
        while let Some((&tag, rest)) = bytes.split_first() {
            bytes = rest;
            let (Some(left), Some(length)) = (take(&mut bytes), take(&mut bytes)) else { return };
            let Some((items, rest)) = bytes.split_at_checked(length as usize) else { return };
            let Some(&relation) = Relation::ALL.get(usize::from(tag)) else { return };
            bytes = rest;
            let base = self.kinds[relation.targets()[0] as usize];
            for (target, derived) in (Edges { bytes: items, base, end: self.kinds[N_KINDS], left }) {
                with(relation, target, derived);
            }
        }
    }

    /// Numbers of the films linked to an entity by `relation`, ascending.
    pub fn films_of(&self, entity: EntityId, relation: Relation) -> Films<'_> {
        let (left, bytes) =
            if entity.0 < self.kinds[1] { (0, &[][..]) } else { self.block(entity, relation.number()) };
        Films { bytes, last: 0, end: self.kinds[1], left }
    }

    /// Number of films linked to an entity by any relation, each counted once: how rare it is. 1 for a film.
    pub fn n_films_of(&self, entity: EntityId) -> u32 {
        self.record(entity).0
    }

    /// Number of films linked to an entity by `relation`, without walking them.
    pub fn n_films_by(&self, entity: EntityId, relation: Relation) -> u32 {
        self.films_of(entity, relation).left
    }

    /// What an entity directly is a kind of (a keyword or genre), or lies in (a year in its decade, a
    /// place in its country).
    pub fn parents(&self, id: EntityId) -> Relatives<'_> {
        self.relatives(id, PARENTS)
    }

    /// All that an entity is a kind of or lies in, however far: the transitive closure of
    /// [`Graph::parents`], without the entity itself, ascending.
    pub fn ancestors(&self, id: EntityId) -> Relatives<'_> {
        self.relatives(id, ANCESTORS)
    }

    /// What is directly a kind of an entity.
    pub fn children(&self, id: EntityId) -> Relatives<'_> {
        self.relatives(id, CHILDREN)
    }

    /// All that is a kind of an entity, however far.
    pub fn descendants(&self, id: EntityId) -> Relatives<'_> {
        self.relatives(id, DESCENDANTS)
    }

    fn relatives(&self, id: EntityId, tag: u8) -> Relatives<'_> {
        let (left, bytes) = if id.0 < self.kinds[1] { (0, &[][..]) } else { self.block(id, tag) };
        Relatives { bytes, last: 0, end: self.kinds[N_KINDS], left }
    }

    /// Number of edges of a relation: from a column, and derived from text. Walks all films.
    pub fn count_edges(&self, relation: Relation) -> (usize, usize) {
        let mut counts = (0, 0);
        for film in 0..self.kinds[1] {
            for (_, derived) in self.edges(film, relation) {
                if derived { counts.1 += 1 } else { counts.0 += 1 }
            }
        }
        counts
    }

    /// Number of direct is-a edges.
    pub fn count_is_a(&self) -> usize {
        (self.kinds[1]..self.kinds[N_KINDS]).map(|id| self.parents(EntityId(id)).len()).sum()
    }
}

/// Entities a film is linked to, with whether the edge is derived; see [`Graph::edges`].
#[derive(Debug, Clone)]
pub struct Edges<'a> {
    bytes: &'a [u8],
    base: u32,
    /// Number of entities: what a damaged file names beyond ends the list.
    end: u32,
    left: u32,
}

impl Iterator for Edges<'_> {
    type Item = (EntityId, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let value = take(&mut self.bytes)?;
        self.left = self.left.saturating_sub(1);
        let id = self.base.saturating_add(value >> 1);
        (id < self.end).then_some((EntityId(id), value & 1 == 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Edges<'_> {}

/// Numbers of films, ascending; see [`Graph::films_of`].
#[derive(Debug, Clone)]
pub struct Films<'a> {
    bytes: &'a [u8],
    last: u32,
    /// Number of films: what a damaged file names beyond ends the list.
    end: u32,
    left: u32,
}

impl<'a> Films<'a> {
    /// The films with whether each edge is derived.
    pub fn with_derived(mut self) -> impl Iterator<Item = (u32, bool)> + use<'a> {
        std::iter::from_fn(move || self.take_next())
    }

    fn take_next(&mut self) -> Option<(u32, bool)> {
        let value = take(&mut self.bytes)?;
        self.left = self.left.saturating_sub(1);
        self.last = self.last.saturating_add(value >> 1);
        (self.last < self.end).then_some((self.last, value & 1 == 1))
    }
}

impl Iterator for Films<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.take_next().map(|(film, _)| film)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Films<'_> {}

/// Entities above or below another, ascending; see [`Graph::ancestors`].
#[derive(Debug, Clone)]
pub struct Relatives<'a> {
    bytes: &'a [u8],
    last: u32,
    /// Number of entities: what a damaged file names beyond ends the list.
    end: u32,
    left: u32,
}

impl Iterator for Relatives<'_> {
    type Item = EntityId;

    fn next(&mut self) -> Option<EntityId> {
        let value = take(&mut self.bytes)?;
        self.left = self.left.saturating_sub(1);
        self.last = self.last.saturating_add(value);
        (self.last < self.end).then_some(EntityId(self.last))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Relatives<'_> {}

enum Fault {
    Damaged(String),
    Version(u32),
}

/// Word `at` of a table of u32; 0 behind its end.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(4 * at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

/// First number in `start..end` for which `before` is false.
fn partition(mut start: u32, mut end: u32, before: impl Fn(u32) -> bool) -> u32 {
    while start < end {
        let middle = start + (end - start) / 2;
        if before(middle) { start = middle + 1 } else { end = middle }
    }
    start
}

/// Takes a variable-length integer: 7 bits a byte, the lowest first, the high bit says "more".
#[inline]
fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for at in 0..5 {
        let byte = *bytes.get(at)?;
        value |= u32::from(byte & 127) << (7 * at);
        if byte < 128 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

fn put(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// An edge of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FilmEdge {
    pub(super) relation: Relation,
    pub(super) target: EntityId,
    pub(super) derived: bool,
}

/// A graph in memory, complete and in order, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    /// First entity of each kind, then their number.
    pub(super) kinds: [u32; N_KINDS + 1],
    /// Names of all entities.
    pub(super) names: Vec<Cow<'a, str>>,
    /// Keys of all entities; of a kind other than films ascending and unique.
    pub(super) keys: Vec<Cow<'a, str>>,
    pub(super) film_ids: Vec<&'a str>,
    /// Edges of each film, by relation, else in the order of the catalogue.
    pub(super) edges: Vec<Vec<FilmEdge>>,
    /// Direct parents, ascending, without loops.
    pub(super) parents: Vec<(EntityId, Vec<EntityId>)>,
    /// All ancestors, ascending.
    pub(super) ancestors: Vec<(EntityId, Vec<EntityId>)>,
    /// Empty if there is no file of links.
    pub(super) imdb: Vec<u32>,
    pub(super) wikipedia: Vec<u32>,
    /// Films by key and by id, as far as they are known to be in order: sorting takes less then.
    pub(super) sorted: Option<[Vec<u32>; 2]>,
}

impl Parts<'_> {
    /// Writes the file at `path`, whole or not at all; the same parts give the same bytes.
    pub(super) fn write(&self, path: &Path) -> Result<(), GraphError> {
        let bytes = self.to_bytes()?;
        write_atomically(path, |out| {
            out.write_all(&bytes).map_err(|error| ArtifactError::io("write", path)(error).into())
        })
    }

    /// The graph that would be opened from the file.
    pub(super) fn into_graph(self) -> Result<Graph, GraphError> {
        let bytes = OwnedBytes::new(self.to_bytes()?);
        Graph::from_bytes(bytes).map_err(|_| GraphError::TooLarge("more than its tables can say"))
    }

    fn to_bytes(&self) -> Result<Vec<u8>, GraphError> {
        let n_films = self.film_ids.len();
        let rows = |order: usize| match &self.sorted {
            Some(sorted) => sorted[order].clone(),
            None => (0..n_films as u32).collect(),
        };
        let by_key = || {
            let mut rows = rows(0);
            rows.sort_by(|&a, &b| self.keys[a as usize].cmp(&self.keys[b as usize]).then(a.cmp(&b)));
            rows
        };
        let by_id = || {
            let mut rows = rows(1);
            rows.sort_by(|&a, &b| self.film_ids[a as usize].cmp(self.film_ids[b as usize]).then(a.cmp(&b)));
            rows
        };
        let ((by_key, by_id), (names, records)) = rayon::join(
            || rayon::join(by_key, by_id),
            || (table(self.names.iter().map(|name| name.as_bytes())), self.records()),
        );
        let (names, records) = (names?, records?);
        let keys = table(self.keys.iter().map(|key| key.as_bytes()))?;
        let ids = table(self.film_ids.iter().map(|id| id.as_bytes()))?;
        let sections = [
            words(&self.kinds),
            names.0,
            names.1,
            keys.0,
            keys.1,
            ids.0,
            ids.1,
            words(&by_key),
            words(&by_id),
            records.0,
            records.1,
            words(&self.imdb),
            words(&self.wikipedia),
        ];
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend((n_films as u32).to_le_bytes());
        let mut start = HEADER_BYTES as u64;
        for section in &sections {
            bytes.extend(start.to_le_bytes());
            bytes.extend((section.len() as u64).to_le_bytes());
            start += (section.len() as u64).next_multiple_of(8);
        }
        for section in &sections {
            bytes.extend(section);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let checksum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// The records of all entities: where each begins, and their bytes.
    fn records(&self) -> Result<(Vec<u8>, Vec<u8>), GraphError> {
        let n_films = self.film_ids.len();
        let n = self.names.len();
        let mut starts = vec![0_u32];
        let mut bytes = Vec::new();
        let mut end_record = |bytes: &[u8]| {
            let end =
                u32::try_from(bytes.len()).map_err(|_| GraphError::TooLarge("4 GiB of text or edges"))?;
            starts.push(end);
            Ok::<(), GraphError>(())
        };
        // Films of each entity by relation: first how many edges lead to it, then the edges, entity by entity.
        let mut place = vec![0_usize; n - n_films + 1];
        for edge in self.edges.iter().flatten() {
            place[edge.target.0 as usize - n_films + 1] += 1;
        }
        for at in 0..n - n_films {
            place[at + 1] += place[at];
        }
        let first = place.clone();
        let n_edges = place.last().copied().unwrap_or(0);
        let mut incoming: Vec<(Relation, u32, bool)> = vec![(Relation::Genre, 0, false); n_edges];
        let mut items = Vec::new();
        for (film, edges) in self.edges.iter().enumerate() {
            for run in edges.chunk_by(|a, b| a.relation == b.relation) {
                let relation = run[0].relation;
                let base = self.kinds[relation.targets()[0] as usize];
                items.clear();
                for edge in run {
                    put(&mut items, (edge.target.0 - base) << 1 | u32::from(edge.derived));
                    let next = &mut place[edge.target.0 as usize - n_films];
                    incoming[*next] = (relation, film as u32, edge.derived);
                    *next += 1;
                }
                put_block(&mut bytes, relation.number(), run.len(), &items);
            }
            end_record(&bytes)?;
        }
        // Both directions of is-a; few entities have any.
        let mut relatives: HashMap<u32, [Vec<u32>; 4]> = HashMap::new();
        for (up, down, pairs) in [(0, 2, &self.parents), (1, 3, &self.ancestors)] {
            for (id, above) in pairs {
                for other in above {
                    relatives.entry(id.0).or_default()[up].push(other.0);
                    relatives.entry(other.0).or_default()[down].push(id.0);
                }
            }
        }
        let mut films: Vec<u32> = Vec::new();
        for at in 0..n - n_films {
            let incoming = &mut incoming[first[at]..first[at + 1]];
            films.clear();
            films.extend(incoming.iter().map(|(_, film, _)| *film));
            films.sort_unstable();
            films.dedup();
            put(&mut bytes, films.len() as u32);
            // Films are pushed in ascending order, so only the relation has to be sorted by.
            incoming.sort_by_key(|(relation, ..)| *relation);
            for run in incoming.chunk_by(|a, b| a.0 == b.0) {
                items.clear();
                let mut last = 0;
                for &(_, film, derived) in run {
                    put(&mut items, (film - last) << 1 | u32::from(derived));
                    last = film;
                }
                put_block(&mut bytes, run[0].0.number(), run.len(), &items);
            }
            let relatives = relatives.remove(&((n_films + at) as u32)).unwrap_or_default();
            for (mut others, tag) in relatives.into_iter().zip([PARENTS, ANCESTORS, CHILDREN, DESCENDANTS]) {
                if others.is_empty() {
                    continue;
                }
                others.sort_unstable();
                others.dedup();
                items.clear();
                let mut last = 0;
                for &other in &others {
                    put(&mut items, other - last);
                    last = other;
                }
                put_block(&mut bytes, tag, others.len(), &items);
            }
            end_record(&bytes)?;
        }
        Ok((words(&starts), bytes))
    }
}

fn put_block(record: &mut Vec<u8>, tag: u8, count: usize, items: &[u8]) {
    record.push(tag);
    put(record, count as u32);
    put(record, items.len() as u32);
    record.extend(items);
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Starts and joined bytes of rows.
fn table<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Vec<u8>), GraphError> {
    let (mut starts, mut bytes) = (vec![0_u32], Vec::new());
    for row in rows {
        bytes.extend(row);
        let end = u32::try_from(bytes.len()).map_err(|_| GraphError::TooLarge("4 GiB of text or edges"))?;
        starts.push(end);
    }
    Ok((words(&starts), bytes))
}
