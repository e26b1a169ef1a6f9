//! Finding many phrases in a text at once: a tree over words.

use std::collections::HashMap;

const NONE: u32 = u32::MAX;

/// Phrases, each a run of words with a number.
#[derive(Debug)]
pub(super) struct Phrases {
    words: HashMap<String, u32>,
    steps: HashMap<(u32, u32), u32>,
    /// Number of the phrase that ends at a node.
    ends: Vec<u32>,
}

impl Default for Phrases {
    fn default() -> Self {
        Self { words: HashMap::new(), steps: HashMap::new(), ends: vec![NONE] }
    }
}

impl Phrases {
    /// Adds a phrase of words separated by spaces; the number given first stays. Returns the one it has.
    pub(super) fn add(&mut self, phrase: &str, number: u32) -> Option<u32> {
        let mut node = 0;
        for word in phrase.split(' ').filter(|word| !word.is_empty()) {
            let next = self.words.len() as u32;
            let word = *self.words.entry(word.to_owned()).or_insert(next);
            let next = self.ends.len() as u32;
            node = *self.steps.entry((node, word)).or_insert(next);
            if node == next {
                self.ends.push(NONE);
            }
        }
        if node == 0 {
            return None;
        }
        let end = &mut self.ends[node as usize];
        if *end == NONE {
            *end = number;
        }
        Some(*end)
    }

    /// The number of a word, for [`Phrases::longest`]; none for a word of no phrase.
    pub(super) fn word(&self, word: &str) -> u32 {
        self.words.get(word).copied().unwrap_or(NONE)
    }

    /// The longest phrase that begins at `at`: its length in words and its number.
    pub(super) fn longest(&self, words: &[u32], at: usize) -> Option<(usize, u32)> {
        let (mut node, mut best) = (0, None);
        for (length, &word) in words[at..].iter().enumerate() {
            if word == NONE {
                break;
            }
            let Some(&next) = self.steps.get(&(node, word)) else { break };
            node = next;
            let end = self.ends[node as usize];
            if end != NONE {
                best = Some((length + 1, end));
            }
        }
        best
    }

    /// The number of exactly this phrase.
    pub(super) fn find(&self, phrase: &str) -> Option<u32> {
        let words: Vec<u32> = phrase.split(' ').map(|word| self.word(word)).collect();
        self.longest(&words, 0).filter(|&(length, _)| length == words.len()).map(|(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_phrase_wins_and_the_first_number_stays() {
        let mut phrases = Phrases::default();
        assert_eq!(phrases.add("new york", 1), Some(1));
        assert_eq!(phrases.add("new york city", 2), Some(2));
        assert_eq!(phrases.add("new york", 3), Some(1));
        assert_eq!(phrases.add("", 4), None);
        let words: Vec<u32> =
            "in new york city and new york".split(' ').map(|word| phrases.word(word)).collect();
        let found: Vec<_> = (0..words.len()).map(|at| phrases.longest(&words, at)).collect();
        assert_eq!(found, [None, Some((3, 2)), None, None, None, Some((2, 1)), None]);
        assert_eq!(phrases.find("new york"), Some(1));
        assert_eq!(phrases.find("new"), None);
        assert_eq!(phrases.find("new york states"), None);
    }
}
