//! The names of a catalogue's entities, found in a text by longest match.
//!
//! Names are folded as the tokenizer folds them and kept once each in one string. A name is found by the
//! hash of its words and then compared, so a collision finds nothing wrong. A filter of the hashes of all
//! beginnings of names ends most look-ups at their first or second word.

use std::collections::HashSet;

use crate::graph::Kind;
use crate::text::{Tokenizer, TokenizerConfig, is_stop_word};

/// Longest name in words; longer ones are left out.
const MAX_WORDS: usize = 16;
/// A word that occurs in at least this share of the names (and in at least [`COMMON_MIN`]) is a common word.
const COMMON_SHARE: f64 = 1.5e-4;
const COMMON_MIN: u32 = 12;
const NONE: u32 = u32::MAX;

/// A dictionary of names.
#[derive(Debug, Clone)]
pub struct Lexicon {
    /// All names, one after the other.
    blob: String,
    /// Where each name begins in `blob`, and the end of the last.
    offsets: Vec<u32>,
    /// Where the entities of each name begin in `kinds` and `ids`, and the end of the last.
    entry_starts: Vec<u32>,
    kinds: Vec<Kind>,
    ids: Vec<u32>,
    slots: Slots,
    /// A bit for the hash of each proper beginning of a name.
    beginnings: Vec<u64>,
    /// Hashes of words that occur in many names.
    common: HashSet<u64>,
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
    /// may come with several names. Names of films and collections are also known without a leading article
    /// (and "collection"), those of keywords and genres in singular and plural.
    pub fn from_entities<'a>(entities: impl IntoIterator<Item = (Kind, u32, &'a str)>) -> Self {
        let mut builder = Builder::default();
        for (kind, id, name) in entities {
            builder.add(kind, id, name);
        }
        builder.finish()
    }

    /// Number of different names.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        self.blob.capacity()
            + 4 * (self.offsets.capacity() + self.entry_starts.capacity() + self.ids.capacity())
            + self.kinds.capacity()
            + 5 * self.slots.numbers.capacity()
            + 8 * self.beginnings.capacity()
            + 9 * self.common.capacity()
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
        name_in(&self.blob, &self.offsets, name)
    }

    pub(super) fn entities(&self, name: u32) -> impl Iterator<Item = (Kind, u32)> + '_ {
        let range = self.entry_starts[name as usize] as usize..self.entry_starts[name as usize + 1] as usize;
        self.kinds[range.clone()].iter().copied().zip(self.ids[range].iter().copied())
    }

    /// Whether `word` occurs in many names, so that alone it names nothing.
    pub(super) fn is_common(&self, word: &str) -> bool {
        self.common.contains(&extend(START, word)) || is_stop_word(word)
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
        let bit = bit_of(hash, self.beginnings.len());
        self.beginnings[bit / 64] >> (bit % 64) & 1 == 1
    }

    fn lookup<'a>(&self, hash: u64, tokens: &(impl Iterator<Item = &'a str> + Clone)) -> Option<u32> {
        self.slots.find(hash, |name| same_words(self.name(name), tokens.clone())).ok()
    }
}

/// Whether `name` is `tokens` joined by spaces.
fn same_words<'a>(name: &str, mut tokens: impl Iterator<Item = &'a str>) -> bool {
    name.split(' ').all(|word| tokens.next() == Some(word)) && tokens.next().is_none()
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

    /// The name for which `is_it` holds, or the number of the free slot where it belongs.
    fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Result<u32, usize> {
        let mask = self.numbers.len() - 1;
        let mixed = mixed(hash);
        let mut at = (mixed >> 8) as usize & mask;
        loop {
            let byte = self.bytes[at];
            if byte == 0 {
                return Err(at);
            }
            let number = self.numbers[at];
            if byte == byte_of(mixed) && is_it(number) {
                return Ok(number);
            }
            at = (at + 1) & mask;
        }
    }

    fn put(&mut self, slot: usize, hash: u64, name: u32) {
        self.numbers[slot] = name;
        self.bytes[slot] = byte_of(mixed(hash));
    }
}

/// A byte of the hash that is never 0, which marks a free slot.
fn byte_of(mixed: u64) -> u8 {
    (mixed >> 56) as u8 | 1
}

struct Builder {
    blob: String,
    offsets: Vec<u32>,
    slots: Slots,
    /// Number of the name, kind, id.
    entries: Vec<(u32, Kind, u32)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { blob: String::new(), offsets: vec![0], slots: Slots::new(1024), entries: Vec::new() }
    }
}

impl Builder {
    fn add(&mut self, kind: Kind, id: u32, name: &str) {
        let tokens = Tokenizer::new(TokenizerConfig::default()).tokens(name);
        let mut words: Vec<&str> = tokens.iter().map(String::as_str).collect();
        self.add_words(kind, id, &words);
        match kind {
            Kind::Collection if words.len() > 1 && words.last() == Some(&"collection") => {
                words.pop();
                self.add_words(kind, id, &words);
            }
            Kind::Film if words.len() > 2 && matches!(words[0], "the" | "a" | "an") => {
                self.add_words(kind, id, &words[1..]);
            }
            Kind::Keyword | Kind::Genre => {
                if let Some(other) = words.last().and_then(|last| other_number(last)) {
                    words.pop();
                    words.push(&other);
                    self.add_words(kind, id, &words);
                }
            }
            _ => {}
        }
    }

    fn add_words(&mut self, kind: Kind, id: u32, words: &[&str]) {
        if words.is_empty() || words.len() > MAX_WORDS || self.blob.len() > (u32::MAX / 2) as usize {
            return;
        }
        let n_names = self.offsets.len() - 1;
        if n_names * 10 >= self.slots.numbers.len() * 7 {
            self.grow();
        }
        let hash = words.iter().fold(START, |hash, word| extend(hash, word));
        let found = self
            .slots
            .find(hash, |name| same_words(name_in(&self.blob, &self.offsets, name), words.iter().copied()));
        let name = match found {
            Ok(name) => name,
            Err(slot) => {
                for (n, word) in words.iter().enumerate() {
                    if n > 0 {
                        self.blob.push(' ');
                    }
                    self.blob.push_str(word);
                }
                self.offsets.push(self.blob.len() as u32);
                self.slots.put(slot, hash, n_names as u32);
                n_names as u32
            }
        };
        self.entries.push((name, kind, id));
    }

    fn grow(&mut self) {
        let mut slots = Slots::new(self.slots.numbers.len() * 2);
        for name in 0..self.offsets.len() as u32 - 1 {
            let hash = name_in(&self.blob, &self.offsets, name).split(' ').fold(START, extend);
            if let Err(slot) = slots.find(hash, |_| false) {
                slots.put(slot, hash, name);
            }
        }
        self.slots = slots;
    }

    fn finish(mut self) -> Lexicon {
        self.entries.sort_unstable();
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
        let mut beginnings = vec![0_u64; n_blocks];
        let mut counts = std::collections::HashMap::<u64, u32>::new();
        for name in 0..n_names as u32 {
            let text = name_in(&self.blob, &self.offsets, name);
            let n_words = text.split(' ').count();
            let mut hash = START;
            for (n, word) in text.split(' ').enumerate() {
                hash = extend(hash, word);
                if n + 1 < n_words {
                    let bit = bit_of(hash, n_blocks);
                    beginnings[bit / 64] |= 1 << (bit % 64);
                }
                *counts.entry(extend(START, word)).or_default() += 1;
            }
        }
        let least = COMMON_MIN.max((n_names as f64 * COMMON_SHARE) as u32);
        let common = counts.into_iter().filter(|(_, count)| *count >= least).map(|(word, _)| word).collect();
        self.blob.shrink_to_fit();
        self.offsets.shrink_to_fit();
        Lexicon {
            blob: self.blob,
            offsets: self.offsets,
            entry_starts,
            kinds: self.entries.iter().map(|(_, kind, _)| *kind).collect(),
            ids: self.entries.iter().map(|(_, _, id)| *id).collect(),
            slots: self.slots,
            beginnings,
            common,
        }
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
        assert!(lexicon.memory_bytes() < 60_000 * 90, "{}", lexicon.memory_bytes());
        assert!(lexicon.is_common("film") && !lexicon.is_common("41234"));
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
