//! Finding pairs of words that belong together ("new york"), and joining them.
//!
//! A pair is a phrase if it occurs at least `min_count` times and its score is above the threshold.
//! Applied again to its own output, longer phrases come out.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::WordVecError;
use crate::train::corpus::SentenceSource;

/// How a pair is scored, from its count `ab`, the counts `a` and `b` of its words, the number of different
/// words and pairs `V` and of words in the text `N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhraseScore {
    /// `(ab - min_count) · V / (a · b)`, with a threshold around 10. Mikolov et al. (2013), as gensim
    /// computes it.
    Original,
    /// Normalised pointwise mutual information, `ln(P(ab) / (P(a) P(b))) / -ln P(ab)`, between -1 and 1.
    /// Bouma (2009).
    Npmi,
}

/// Settings of [`Phrases::learn`]; the default is gensim's.
#[derive(Debug, Clone, PartialEq)]
pub struct PhraseConfig {
    /// Least count of a pair and of its words.
    pub min_count: u64,
    /// Least score.
    pub threshold: f64,
    /// How pairs are scored.
    pub score: PhraseScore,
    /// Put between the words of a phrase.
    pub delimiter: String,
}

impl Default for PhraseConfig {
    fn default() -> Self {
        Self { min_count: 5, threshold: 10.0, score: PhraseScore::Original, delimiter: "_".to_owned() }
    }
}

impl PhraseConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`WordVecError::Setting`] naming the first setting out of range.
    pub fn validate(&self) -> Result<(), WordVecError> {
        let setting = |name, found, expected| Err(WordVecError::Setting { name, found, expected });
        if self.delimiter.is_empty() {
            return setting("delimiter", "empty".to_owned(), "at least one character");
        }
        let found = self.threshold.to_string();
        match self.score {
            PhraseScore::Original if !self.threshold.is_finite() => {
                setting("threshold", found, "a finite number")
            }
            // Written so that NaN is outside.
            PhraseScore::Npmi if !(-1.0..=1.0).contains(&self.threshold) => {
                setting("threshold", found, "-1 to 1")
            }
            _ => Ok(()),
        }
    }
}

/// Pairs of words to join.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrases {
    delimiter: String,
    /// First word, then second word, to score.
    pairs: HashMap<String, HashMap<String, f64>>,
    n_pairs: usize,
}

impl Phrases {
    /// Counts words and pairs, and keeps the pairs that are phrases.
    ///
    /// # Errors
    /// [`WordVecError::Setting`], or the source's.
    pub fn learn(source: &mut dyn SentenceSource, config: &PhraseConfig) -> Result<Self, WordVecError> {
        config.validate()?;
        let mut number: HashMap<String, u32> = HashMap::new();
        let mut counts: Vec<u64> = Vec::new();
        let mut pair_counts: HashMap<(u32, u32), u64> = HashMap::new();
        let mut n_seen = 0_u64;
        source.for_each(&mut |sentence| {
            let mut before = None;
            for word in sentence {
                let at = if let Some(&at) = number.get(*word) {
                    at
                } else {
                    number.insert((*word).to_owned(), counts.len() as u32);
                    counts.push(0);
                    counts.len() as u32 - 1
                };
                counts[at as usize] += 1;
                if let Some(before) = before {
                    *pair_counts.entry((before, at)).or_default() += 1;
                }
                before = Some(at);
            }
            n_seen += sentence.len() as u64;
            Ok(())
        })?;
        // gensim's vocabulary holds words and pairs alike.
        let n_different = (counts.len() + pair_counts.len()) as f64;
        let mut words = vec![""; counts.len()];
        number.iter().for_each(|(word, at)| words[*at as usize] = word);
        let mut phrases = Self { delimiter: config.delimiter.clone(), pairs: HashMap::new(), n_pairs: 0 };
        for ((a, b), ab) in pair_counts {
            let (count_a, count_b) = (counts[a as usize], counts[b as usize]);
            if ab.min(count_a).min(count_b) < config.min_count {
                continue;
            }
            let (n, na, nb) = (ab as f64, count_a as f64, count_b as f64);
            let score = match config.score {
                PhraseScore::Original => (n - config.min_count as f64) / na / nb * n_different,
                PhraseScore::Npmi => {
                    let total = n_seen as f64;
                    ((n / total) / ((na / total) * (nb / total))).ln() / -(n / total).ln()
                }
            };
            if score > config.threshold {
                let seconds = phrases.pairs.entry(words[a as usize].to_owned()).or_default();
                seconds.insert(words[b as usize].to_owned(), score);
                phrases.n_pairs += 1;
            }
        }
        Ok(phrases)
    }

    /// Number of phrases.
    pub fn len(&self) -> usize {
        self.n_pairs
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n_pairs == 0
    }

    /// Score of a pair, if it is a phrase.
    pub fn score(&self, first: &str, second: &str) -> Option<f64> {
        self.pairs.get(first)?.get(second).copied()
    }

    /// The sentence with its phrases joined, from left to right; no word is in two.
    pub fn join<'s>(&self, sentence: &[&'s str]) -> Vec<Cow<'s, str>> {
        let mut joined = Vec::with_capacity(sentence.len());
        let mut at = 0;
        while at < sentence.len() {
            match sentence.get(at + 1) {
                Some(next) if self.score(sentence[at], next).is_some() => {
                    joined.push(Cow::Owned([sentence[at], &self.delimiter, next].concat()));
                    at += 2;
                }
                _ => {
                    joined.push(Cow::Borrowed(sentence[at]));
                    at += 1;
                }
            }
        }
        joined
    }
}

/// A source with phrases joined.
pub struct Joined<'p, S> {
    source: S,
    phrases: &'p Phrases,
}

impl<'p, S: SentenceSource> Joined<'p, S> {
    /// Joins the `phrases` of `source`.
    pub fn new(source: S, phrases: &'p Phrases) -> Self {
        Self { source, phrases }
    }
}

impl<S: SentenceSource> SentenceSource for Joined<'_, S> {
    fn for_each(
        &mut self,
        with: &mut dyn FnMut(&[&str]) -> Result<(), WordVecError>,
    ) -> Result<(), WordVecError> {
        self.source.for_each(&mut |sentence| {
            let joined = self.phrases.join(sentence);
            with(&joined.iter().map(AsRef::as_ref).collect::<Vec<&str>>())
        })
    }
}
