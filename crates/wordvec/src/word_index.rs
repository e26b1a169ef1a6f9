//! From a word to its position: an open hash table of positions that a file can hold as it is.
//!
//! The table has a power of two of slots, at least twice as many as words. A slot holds a position or
//! [`EMPTY`]; the search starts at the low bits of [`hash`] and goes on slot by slot. The words
//! themselves are wherever the caller keeps them. Hash and layout are part of the file formats, so
//! neither may change without a new format version.

/// Mark of a slot without a word.
pub(crate) const EMPTY: u32 = u32::MAX;

/// Hash of a word, the same on every platform.
pub(crate) fn hash(word: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = (word.len() as u64 + 1).wrapping_mul(FACTOR);
    let (chunks, rest) = word.as_chunks::<8>();
    for chunk in chunks {
        state = (state ^ u64::from_le_bytes(*chunk)).wrapping_mul(FACTOR).rotate_left(29);
    }
    state = (state ^ up_to_7(rest)).wrapping_mul(FACTOR);
    // High bits depend on all input bits now; the table uses the low ones.
    state ^= state >> 32;
    state = state.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    state ^ (state >> 32)
}

/// At most 7 bytes as a number, the first one lowest.
///
/// Overlapping reads of fixed width: a copy of a length known only at run time would be a call.
fn up_to_7(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << ((bytes.len() - 4) * 8);
    }
    match *bytes {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c, ..] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
    }
}

/// A word in 16 bytes, to be compared without going to the word itself. Words of at most 15 bytes are equal
/// if their keys are; longer ones have the key of their hash, and [`Key::is_whole`] is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u64; 2]);

/// In place of the length, for longer words.
const LONGER: u64 = 0xFF << 56;

impl Key {
    /// Key of a word with this [`hash`].
    pub(crate) fn new(word: &[u8], hash: u64) -> Self {
        let length = (word.len() as u64) << 56;
        match word.as_chunks::<8>() {
            ([], rest) => Self([up_to_7(rest), length]),
            ([first], rest) => Self([u64::from_le_bytes(*first), up_to_7(rest) | length]),
            _ => Self([hash, LONGER]),
        }
    }

    /// Whether the key is the whole word.
    pub(crate) fn is_whole(self) -> bool {
        self.0[1] != LONGER
    }
}

/// Number of slots for `n_words`.
pub(crate) fn slots_for(n_words: usize) -> usize {
    (n_words * 2).next_power_of_two().max(8)
}

/// Position of the word with this `hash` for which `same` holds.
///
/// `slot` reads one slot. Gives up after `n_slots` steps, so a damaged table cannot hang it.
pub(crate) fn find(
    n_slots: usize,
    slot: impl Fn(usize) -> u32,
    hash: u64,
    mut same: impl FnMut(u32) -> bool,
) -> Option<u32> {
    let mask = n_slots.wrapping_sub(1);
    let mut at = hash as usize & mask;
    for _ in 0..n_slots {
        match slot(at) {
            EMPTY => return None,
            position if same(position) => return Some(position),
            _ => at = (at + 1) & mask,
        }
    }
    None
}

/// A table in memory.
#[derive(Clone)]
pub(crate) struct WordIndex {
    slots: Vec<u32>,
    n_words: usize,
}

impl std::fmt::Debug for WordIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WordIndex({} words in {} slots)", self.n_words, self.slots.len())
    }
}

impl WordIndex {
    pub(crate) fn with_capacity(n_words: usize) -> Self {
        Self { slots: vec![EMPTY; slots_for(n_words)], n_words: 0 }
    }

    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        find(self.slots.len(), |at| self.slots[at], hash, same)
    }

    /// Adds a word that is not there yet. `hash_of` gives the hash of a word added before.
    pub(crate) fn insert(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.n_words + 1) * 2 > self.slots.len() {
            let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots_for((self.n_words + 1) * 2)]);
            for before in old.into_iter().filter(|&slot| slot != EMPTY) {
                self.place(hash_of(before), before);
            }
        }
        self.place(hash, position);
        self.n_words += 1;
    }

    fn place(&mut self, hash: u64, position: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = position;
    }

    /// The slots, as files hold them.
    pub(crate) fn slots(&self) -> &[u32] {
        &self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Files depend on these values (fixtures/golden/wordvec.py).
        assert_eq!(hash(b""), 0xb381_129b_d6c6_369a);
        assert_eq!(hash(b"film"), 0x4504_9668_bb77_e0d7);
        assert_eq!(hash("日本映画の歴史".as_bytes()), 0xdd2d_a6ad_dbf0_682d);
    }

    #[test]
    fn bytes_are_read_whatever_their_number() {
        let bytes = [0x81, 2, 3, 4, 5, 6, 0xF7];
        for n in 0..=7 {
            let mut all = [0; 8];
            all[..n].copy_from_slice(&bytes[..n]);
            assert_eq!(up_to_7(&bytes[..n]), u64::from_le_bytes(all), "{n} bytes");
        }
    }

    #[test]
    fn keys_of_short_words_are_the_words() {
        let key = |word: &str| Key::new(word.as_bytes(), hash(word.as_bytes()));
        let words = [
            "",
            "\0",
            "a",
            "b",
            "ab",
            "ab\0",
            "abcdefg",
            "abcdefgh",
            "abcdefgh\0",
            "abcdefghi",
            "abcdefghijklmno",
            "abcdefghijklmnop",
            "abcdefghijklmnoq",
        ];
        for (at, a) in words.iter().enumerate() {
            assert_eq!(key(a).is_whole(), a.len() <= 15, "`{a}`");
            for (other, b) in words.iter().enumerate() {
                assert_eq!(key(a) == key(b), at == other, "`{a}` and `{b}`");
            }
        }
    }

    #[test]
    fn every_word_is_found_and_no_other() {
        let words: Vec<String> = (0..5000).map(|n| format!("w{n}")).collect();
        let hash_of = |at: u32| hash(words[at as usize].as_bytes());
        let mut index = WordIndex::with_capacity(0);
        for at in 0..words.len() as u32 {
            index.insert(hash_of(at), at, hash_of);
        }
        let find = |word: &str| index.find(hash(word.as_bytes()), |at| words[at as usize] == word);
        for (at, word) in words.iter().enumerate() {
            assert_eq!(find(word), Some(at as u32));
        }
        assert_eq!(find("w5000"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn a_full_table_of_a_damaged_file_does_not_hang() {
        assert_eq!(find(8, |_| 3, 5, |_| false), None);
    }
}
