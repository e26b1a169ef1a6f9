//! The names of a catalogue's entities, found in a text by longest match.
//!
//! Names are folded as the tokenizer folds them and kept once each in one string. A name is found by the
//! hash of its words and then compared, so a collision finds nothing wrong. A filter of the hashes of all
//! beginnings of names ends most look-ups at their first or second word.
//!
//! A lexicon is one run of bytes, made in memory or mapped from a file, little endian: `TCLX`, version u32,
//! CRC-32 of what follows u32, checksum of the graph its numbers are of u32, start and length u64 of each of
//! nine sections (see [`Section`]), the sections.

use std::path::Path;

use rayon::prelude::*;
use tantivy::directory::OwnedBytes;

use crate::artifact::{ArtifactError, map_file, write_bytes};
use crate::graph::{EntityId, Graph, Kind};
use crate::text::{Tokenizer, TokenizerConfig, is_stop_word};

/// Longest name in words; longer ones are left out.
const MAX_WORDS: usize = 16;
/// A word that occurs in at least this share of the names (and in at least [`COMMON_MIN`]) is a common word.
const COMMON_SHARE: f64 = 1.5e-4;
const COMMON_MIN: u32 = 12;
const NONE: u32 = u32::MAX;

const MAGIC: &[u8; 4] = b"TCLX";
const VERSION: u32 = 1;
const COMMAND: &str = "titlecard graph build";
const N_SECTIONS: usize = 9;
const HEADER_BYTES: usize = 16 + 16 * N_SECTIONS;

/// What the sections hold, in their order.
#[derive(Debug, Clone, Copy)]
enum Section {
    /// All names, one after the other.
    Names,
    /// Where each name begins, and the end of the last: u32.
    NameStarts,
    /// Where the entities of each name begin in the next two, and the end of the last: u32.
    EntryStarts,
    /// Number of a [`Kind`]: u8.
    Kinds,
    /// Number of an entity: u32.
    Ids,
    /// Hash table: numbers of names, u32, and a byte of the hash beside each.
    Slots,
    SlotBytes,
    /// A bit for the hash of each proper beginning of a name: u64.
    Beginnings,
    /// Hashes of words that occur in many names, rising: u64.
    Common,
}

/// A dictionary of names.
#[derive(Clone)]
pub struct Lexicon {
    bytes: OwnedBytes,
    sections: [(usize, usize); N_SECTIONS],
}

impl std::fmt::Debug for Lexicon {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Lexicon")
            .field("names", &self.len())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A name found: words `first..end` of the text, and its number in the lexicon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub end: usize,
    pub name: u32,
}

impl Default for Lexicon {
    fn default() -> Self {
        Self::from_entities(std::iter::empty())
    }
}

impl Lexicon {
    /// A lexicon of these entities: kind, id and name. Several entities may share a name, and one entity
    /// may come with several names. Names of films are also known without a leading article, those of companies and
    /// collections by their [short names](Kind::short_name), those of keywords and genres in singular and plural.
    pub fn from_entities<'a>(entities: impl IntoIterator<Item = (Kind, u32, &'a str)>) -> Self {
        let mut names = Names::default();
        for (kind, id, name) in entities {
            names.add(kind, id, name);
        }
        let mut builder = Builder::default();
        builder.add(&names);
        builder.finish(0)
    }

    /// The names of a graph's entities that questions may name.
    pub fn of_graph(graph: &Graph) -> Self {
        const KINDS: [Kind; 9] = [
            Kind::Film,
            Kind::Genre,
            Kind::Keyword,
            Kind::Person,
            Kind::Country,
            Kind::Language,
            Kind::Place,
            Kind::Company,
            Kind::Collection,
        ];
        let ids: Vec<(Kind, EntityId)> =
            KINDS.into_iter().flat_map(|kind| graph.entities(kind).map(move |id| (kind, id))).collect();
        // Cutting names into words is most of the work; numbers are given in order.
        let cut = |ids: &[(Kind, EntityId)]| {
            let mut names = Names::default();
            ids.iter().for_each(|&(kind, id)| names.add(kind, id.0, graph.name(id)));
            names
        };
        let cut: Vec<Names> = ids.par_chunks(CHUNK).map(cut).collect();
        let mut builder = Builder::default();
        cut.iter().for_each(|names| builder.add(names));
        builder.finish(graph.checksum())
    }

    /// Saves it to a new file renamed into place.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), ArtifactError> {
        write_bytes(path, &self.bytes)
    }

    /// Opens what [`Lexicon::save`] wrote; none if there is no such file, or one of another graph or version:
    /// then [`Lexicon::of_graph`] makes it anew.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`], or [`ArtifactError::Io`].
    pub fn open(path: &Path, graph: &Graph) -> Result<Option<Self>, ArtifactError> {
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = map_file(path, COMMAND)?;
        if bytes.get(4..8).is_some_and(|version| version != VERSION.to_le_bytes()) && bytes.starts_with(MAGIC)
        {
            return Ok(None);
        }
        let lexicon = Self::from_bytes(bytes).map_err(|what| ArtifactError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
            command: COMMAND,
        })?;
        Ok(Some(lexicon).filter(|lexicon| u32_at(&lexicon.bytes, 3) == graph.checksum()))
    }

    fn from_bytes(bytes: OwnedBytes) -> Result<Self, &'static str> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
            return Err("it does not begin as a dictionary of names does");
        }
        if crc32fast::hash(&bytes[12..]) != u32_at(&bytes, 2) {
            return Err("its checksum differs");
        }
        let mut sections = [(0, 0); N_SECTIONS];
        for (at, section) in sections.iter_mut().enumerate() {
            let (start, length) = (u64_at(&bytes, 2 + 2 * at), u64_at(&bytes, 3 + 2 * at));
            let end = start.checked_add(length).filter(|&end| end <= bytes.len() as u64);
            *section = (start as usize, end.ok_or("a section ends behind the file")? as usize);
        }
        let lexicon = Self { bytes, sections };
        let (n_slots, n_names) = (lexicon.section(Section::SlotBytes).len(), lexicon.len());
        let is_sound = n_slots.is_power_of_two()
            && n_names < n_slots
            && lexicon.section(Section::Slots).len() == 4 * n_slots
            && lexicon.section(Section::EntryStarts).len() == 4 * (n_names + 1)
            && lexicon.section(Section::Ids).len() == 4 * lexicon.section(Section::Kinds).len()
            && (lexicon.section(Section::Beginnings).len() / 8).is_power_of_two();
        if is_sound { Ok(lexicon) } else { Err("its tables do not fit together") }
    }

    fn section(&self, section: Section) -> &[u8] {
        let (start, end) = self.sections[section as usize];
        &self.bytes[start..end]
    }

    /// Row `at` of what begins at `starts`.
    fn range(&self, starts: Section, at: u32) -> std::ops::Range<usize> {
        let starts = self.section(starts);
        u32_at(starts, at as usize) as usize..u32_at(starts, at as usize + 1) as usize
    }

    /// Number of different names.
    pub fn len(&self) -> usize {
        (self.section(Section::NameStarts).len() / 4).saturating_sub(1)
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the whole.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The entities called `name`, in any case and with or without diacritics.
    pub fn entities_named(&self, name: &str) -> Vec<(Kind, u32)> {
        let tokens = Tokenizer::new(TokenizerConfig::default()).tokens(name);
        let mut hash = START;
        for token in &tokens {
            hash = extend(hash, token);
        }
        match self.lookup(hash, &tokens.iter().map(String::as_str)) {
            Some(name) => self.entities(name).collect(),
            None => Vec::new(),
        }
    }

    /// The name with this number, folded.
    pub(super) fn name(&self, name: u32) -> &str {
        std::str::from_utf8(self.name_bytes(name)).unwrap_or_default()
    }

    fn name_bytes(&self, name: u32) -> &[u8] {
        self.section(Section::Names).get(self.range(Section::NameStarts, name)).unwrap_or_default()
    }

    pub(super) fn entities(&self, name: u32) -> impl Iterator<Item = (Kind, u32)> + '_ {
        let (kinds, ids) = (self.section(Section::Kinds), self.section(Section::Ids));
        self.range(Section::EntryStarts, name)
            .filter_map(move |at| Some((*Kind::ALL.get(usize::from(*kinds.get(at)?))?, u32_at(ids, at))))
    }

    /// Whether `word` occurs in many names, so that alone it names nothing.
    pub(super) fn is_common(&self, word: &str) -> bool {
        let (hash, common) = (extend(START, word), self.section(Section::Common).as_chunks::<8>().0);
        common.binary_search_by_key(&hash, |other| u64::from_le_bytes(*other)).is_ok() || is_stop_word(word)
    }

    /// Calls `with` for every name that begins at word `first`, shortest first. `word(at)` is the folded
    /// word, `None` past the end of the sentence.
    pub(super) fn names_at<'a>(
        &self,
        first: usize,
        word: impl Fn(usize) -> Option<&'a str> + Clone,
        mut with: impl FnMut(Found),
    ) {
        let mut hash = START;
        for n in 0..MAX_WORDS {
            let Some(token) = word(first + n) else { return };
            hash = extend(hash, token);
            let tokens = (first..=first + n).map_while(&word);
            if let Some(name) = self.lookup(hash, &tokens) {
                with(Found { end: first + n + 1, name });
            }
            if !self.begins(hash) {
                return;
            }
        }
    }

    fn begins(&self, hash: u64) -> bool {
        let beginnings = self.section(Section::Beginnings);
        let bit = bit_of(hash, beginnings.len() / 8);
        u64_at(beginnings, bit / 64) >> (bit % 64) & 1 == 1
    }

    fn lookup<'a>(&self, hash: u64, tokens: &(impl Iterator<Item = &'a str> + Clone)) -> Option<u32> {
        let (numbers, bytes) = (self.section(Section::Slots), self.section(Section::SlotBytes));
        let is_it = |name: u32| same_words(self.name_bytes(name), tokens.clone());
        find_slot(bytes, |at| u32_at(numbers, at), hash, is_it).ok()
    }
}

/// Number `at` of a table of u32; 0 behind its end.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.as_chunks::<4>().0.get(at).map_or(0, |number| u32::from_le_bytes(*number))
}

/// Number `at` of a table of u64; 0 behind its end.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.as_chunks::<8>().0.get(at).map_or(0, |number| u64::from_le_bytes(*number))
}

/// Whether `name` is `tokens` joined by spaces.
fn same_words<'a>(name: &[u8], mut tokens: impl Iterator<Item = &'a str>) -> bool {
    name.split(|&byte| byte == b' ').all(|word| tokens.next().map(str::as_bytes) == Some(word))
        && tokens.next().is_none()
}

fn name_in<'a>(blob: &'a str, offsets: &[u32], name: u32) -> &'a str {
    &blob[offsets[name as usize] as usize..offsets[name as usize + 1] as usize]
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over a word and the space after it.
fn extend(mut hash: u64, word: &str) -> u64 {
    for byte in word.bytes().chain(std::iter::once(b' ')) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash
}

fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

fn bit_of(hash: u64, n_blocks: usize) -> usize {
    (mixed(hash) as usize) & (n_blocks * 64 - 1)
}

/// A hash table with open addressing from the hashes of names to their numbers. A byte of the hash beside each
/// number spares nearly all comparisons with other names.
#[derive(Debug, Clone)]
struct Slots {
    numbers: Vec<u32>,
    bytes: Vec<u8>,
}

impl Slots {
    /// `n_slots` is a power of two.
    fn new(n_slots: usize) -> Self {
        Self { numbers: vec![NONE; n_slots], bytes: vec![0; n_slots] }
    }

    /// See [`find_slot`].
    fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Result<u32, usize> {
        find_slot(&self.bytes, |at| self.numbers[at], hash, is_it)
    }

    fn put(&mut self, slot: usize, hash: u64, name: u32) {
        self.numbers[slot] = name;
        self.bytes[slot] = byte_of(mixed(hash));
    }
}

/// The name for which `is_it` holds, or the number of the free slot where it belongs.
fn find_slot(
    bytes: &[u8],
    number: impl Fn(usize) -> u32,
    hash: u64,
    mut is_it: impl FnMut(u32) -> bool,
) -> Result<u32, usize> {
    let mask = bytes.len() - 1;
    let mixed = mixed(hash);
    let first = (mixed >> 8) as usize & mask;
    // Once round at most: a damaged table may have no free slot.
    for at in (first..=mask).chain(0..first) {
        let byte = bytes[at];
        if byte == 0 {
            return Err(at);
        }
        if byte == byte_of(mixed) && is_it(number(at)) {
            return Ok(number(at));
        }
    }
    Err(first)
}

/// A byte of the hash that is never 0, which marks a free slot.
fn byte_of(mixed: u64) -> u8 {
    (mixed >> 56) as u8 | 1
}

/// Names that are cut into words at a time.
const CHUNK: usize = 4096;

/// Names as they are found, of entities in their order: words joined by spaces.
#[derive(Default)]
struct Names {
    blob: String,
    /// Where a name ends in `blob`, its hash, and whose it is.
    rows: Vec<(u32, u64, Kind, u32)>,
}

impl Names {
    fn add(&mut self, kind: Kind, id: u32, name: &str) {
        let start = self.blob.len();
        Tokenizer::new(TokenizerConfig::default()).for_each(name, |word| {
            if self.blob.len() > start {
                self.blob.push(' ');
            }
            self.blob.push_str(word);
        });
        let other = match kind {
            Kind::Company | Kind::Collection => {
                let key = &self.blob[start..];
                let short = kind.short_name(key);
                (short.len() < key.len()).then(|| short.to_owned())
            }
            Kind::Film => match self.blob[start..].split_once(' ') {
                Some(("the" | "a" | "an", rest)) if rest.contains(' ') => Some(rest.to_owned()),
                _ => None,
            },
            Kind::Keyword | Kind::Genre => {
                let key = &self.blob[start..];
                let (before, last) = key.rfind(' ').map_or(("", key), |at| key.split_at(at + 1));
                other_number(last).map(|other| format!("{before}{other}"))
            }
            _ => None,
        };
        self.end_row(start, kind, id);
        if let Some(other) = other {
            let start = self.blob.len();
            self.blob.push_str(&other);
            self.end_row(start, kind, id);
        }
    }

    /// What was written from `start` on is a name, if it is not too long.
    fn end_row(&mut self, start: usize, kind: Kind, id: u32) {
        let name = &self.blob[start..];
        if name.is_empty() || name.split(' ').count() > MAX_WORDS || self.blob.len() > (u32::MAX / 2) as usize
        {
            self.blob.truncate(start);
            return;
        }
        let hash = name.split(' ').fold(START, extend);
        self.rows.push((self.blob.len() as u32, hash, kind, id));
    }
}

struct Builder {
    blob: String,
    offsets: Vec<u32>,
    hashes: Vec<u64>,
    slots: Slots,
    /// Number of the name, kind, id.
    entries: Vec<(u32, Kind, u32)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            blob: String::new(),
            offsets: vec![0],
            hashes: Vec::new(),
            slots: Slots::new(1024),
            entries: Vec::new(),
        }
    }
}

impl Builder {
    fn add(&mut self, names: &Names) {
        let mut start = 0;
        for &(end, hash, kind, id) in &names.rows {
            let text = &names.blob[start..end as usize];
            start = end as usize;
            if self.blob.len() > (u32::MAX / 2) as usize {
                return;
            }
            if self.hashes.len() * 10 >= self.slots.numbers.len() * 7 {
                self.grow();
            }
            let found = self.slots.find(hash, |name| name_in(&self.blob, &self.offsets, name) == text);
            let name = found.unwrap_or_else(|slot| {
                let name = self.hashes.len() as u32;
                self.blob.push_str(text);
                self.offsets.push(self.blob.len() as u32);
                self.hashes.push(hash);
                self.slots.put(slot, hash, name);
                name
            });
            self.entries.push((name, kind, id));
        }
    }

    fn grow(&mut self) {
        let mut slots = Slots::new(self.slots.numbers.len() * 2);
        for (name, &hash) in (0..).zip(&self.hashes) {
            if let Err(slot) = slots.find(hash, |_| false) {
                slots.put(slot, hash, name);
            }
        }
        self.slots = slots;
    }

    fn finish(mut self, graph: u32) -> Lexicon {
        self.entries.par_sort_unstable();
        self.entries.dedup();
        let n_names = self.offsets.len() - 1;
        let mut entry_starts = vec![0_u32; n_names + 1];
        for (name, _, _) in &self.entries {
            entry_starts[*name as usize + 1] += 1;
        }
        for name in 0..n_names {
            entry_starts[name + 1] += entry_starts[name];
        }
        let n_blocks = (n_names / 4).next_power_of_two().max(16);
        let names = || (0..n_names as u32).map(|name| name_in(&self.blob, &self.offsets, name));
        let beginnings = || {
            let mut beginnings = vec![0_u64; n_blocks];
            for name in names() {
                let mut hash = START;
                // The name without its last word, word by word.
                let before = name.rsplit_once(' ').map(|(before, _)| before.split(' '));
                for word in before.into_iter().flatten() {
                    hash = extend(hash, word);
                    let bit = bit_of(hash, n_blocks);
                    beginnings[bit / 64] |= 1 << (bit % 64);
                }
            }
            beginnings
        };
        let words = || {
            let mut words: Vec<u64> =
                names().flat_map(|name| name.split(' ')).map(|word| extend(START, word)).collect();
            words.sort_unstable();
            words
        };
        let (beginnings, words) = rayon::join(beginnings, words);
        let least = COMMON_MIN.max((n_names as f64 * COMMON_SHARE) as u32);
        let common: Vec<u64> = words
            .chunk_by(|a, b| a == b)
            .filter(|same| same.len() >= least as usize)
            .map(|same| same[0])
            .collect();
        let u32s = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let u64s = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let parts: [Vec<u8>; N_SECTIONS] = [
            self.blob.into_bytes(),
            u32s(&self.offsets),
            u32s(&entry_starts),
            self.entries.iter().map(|(_, kind, _)| *kind as u8).collect(),
            self.entries.iter().flat_map(|(_, _, id)| id.to_le_bytes()).collect(),
            u32s(&self.slots.numbers),
            self.slots.bytes,
            u64s(&beginnings),
            u64s(&common),
        ];
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(graph.to_le_bytes());
        let mut sections = [(0, 0); N_SECTIONS];
        let mut start = HEADER_BYTES;
        for (part, section) in parts.iter().zip(&mut sections) {
            *section = (start, start + part.len());
            bytes.extend((start as u64).to_le_bytes());
            bytes.extend((part.len() as u64).to_le_bytes());
            start = section.1.next_multiple_of(8);
        }
        for part in parts {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let checksum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        Lexicon { bytes: OwnedBytes::new(bytes), sections }
    }
}

/// The plural of a singular and the other way round, for regular English nouns.
fn other_number(word: &str) -> Option<String> {
    if !word.is_ascii() || word.len() < 3 {
        return None;
    }
    if let Some(stem) = word.strip_suffix("ies") {
        return Some(format!("{stem}y"));
    }
    if ["sses", "shes", "ches", "xes"].iter().any(|ending| word.ends_with(ending)) {
        return Some(word[..word.len() - 2].to_owned());
    }
    if word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        return None;
    }
    if let Some(stem) = word.strip_suffix('s') {
        return Some(stem.to_owned());
    }
    if ["sh", "ch", "x"].iter().any(|ending| word.ends_with(ending)) {
        return Some(format!("{word}es"));
    }
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => Some(format!("{stem}ies")),
        _ => Some(format!("{word}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_folded_and_in_both_numbers() {
        let lexicon = Lexicon::from_entities([
            (Kind::Film, 1, "Amélie"),
            (Kind::Film, 2, "The Lost World"),
            (Kind::Film, 3, "Cinderella"),
            (Kind::Film, 4, "Cinderella"),
            (Kind::Keyword, 7, "witch"),
            (Kind::Collection, 9, "Alien Collection"),
        ]);
        assert_eq!(lexicon.entities_named("amelie"), [(Kind::Film, 1)]);
        assert_eq!(lexicon.entities_named("lost world"), [(Kind::Film, 2)]);
        assert_eq!(lexicon.entities_named("CINDERELLA").len(), 2);
        assert_eq!(lexicon.entities_named("witches"), [(Kind::Keyword, 7)]);
        assert_eq!(lexicon.entities_named("alien"), [(Kind::Collection, 9)]);
        assert_eq!(lexicon.entities_named("lost"), []);
        assert_eq!(lexicon.entities_named(""), []);
    }

    #[test]
    fn many_names_stay_small_and_are_all_found() {
        let names: Vec<String> = (0..60_000).map(|n| format!("film number {n} of {}", n % 97)).collect();
        let lexicon = Lexicon::from_entities(
            names.iter().enumerate().map(|(id, name)| (Kind::Film, id as u32, name.as_str())),
        );
        for (id, name) in names.iter().enumerate() {
            assert_eq!(lexicon.entities_named(name), [(Kind::Film, id as u32)]);
        }
        assert!(lexicon.n_bytes() < 60_000 * 90, "{}", lexicon.n_bytes());
        assert!(lexicon.is_common("film") && !lexicon.is_common("41234"));
    }

    #[test]
    fn a_damaged_dictionary_is_an_error_and_never_a_panic() {
        let names = [(Kind::Film, 1, "Amélie"), (Kind::Person, 4, "Jean-Pierre Jeunet")];
        let lexicon = Lexicon::from_entities(names);
        let bytes = lexicon.bytes.as_slice().to_vec();
        assert_eq!(Lexicon::from_bytes(OwnedBytes::new(bytes.clone())).unwrap().len(), lexicon.len());
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            // The graph's checksum and the version are looked at by who opens the file.
            let is_checked = !(4..8).contains(&at);
            assert_eq!(Lexicon::from_bytes(OwnedBytes::new(bytes.clone())).is_err(), is_checked, "byte {at}");
            // With a checksum that fits, look-ups may miss names but end.
            let checksum = crc32fast::hash(&bytes[12..]).to_le_bytes();
            bytes[8..12].copy_from_slice(&checksum);
            if let Ok(lexicon) = Lexicon::from_bytes(OwnedBytes::new(bytes)) {
                lexicon.entities_named("amelie");
                lexicon.entities_named("jean pierre");
                lexicon.is_common("jean");
            }
        }
        for cut in 0..bytes.len() {
            assert!(Lexicon::from_bytes(OwnedBytes::new(bytes[..cut].to_vec())).is_err());
        }
    }

    #[test]
    fn singular_and_plural() {
        let pairs = [("vampires", "vampire"), ("story", "stories"), ("witch", "witches"), ("boy", "boys")];
        for (from, to) in pairs {
            assert_eq!(other_number(from).as_deref(), Some(to));
        }
        assert_eq!(other_number("chess"), None);
    }
}
