//! Keywords for films without: phrases of the overview that, in films with keywords, mostly go with one.
//!
//! A keyword is looked for as a run of stemmed words. It is kept if, over the films with keywords, it
//! was the film's keyword in at least [`MIN_FILMS`] of the overviews with the phrase, in a large enough
//! share of them (a setting), and [`MIN_LIFT`] times as often as by chance. Keywords are never complete:
//! a film about a bank robbery may lack the keyword, so the true precision is above the one measured.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::phrases::Phrases;
use super::store::entity_key;
use crate::catalogue::{Film, Split, SplitConfig, split_of};
use crate::text::{Tokenizer, TokenizerConfig};

/// Films a keyword has to be seen in with its phrase.
const MIN_FILMS: u32 = 3;
/// How many times as often as by chance the keyword has to go with its phrase.
const MIN_LIFT: f64 = 10.0;

/// How far derived keywords can be trusted: measured on films with keywords that were not learned from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PhrasePrecision {
    /// Phrases kept, learned from the other half of the films.
    pub n_phrases: usize,
    /// Films with keywords it was measured on.
    pub n_films: usize,
    /// Keywords derived for them.
    pub n_derived: usize,
    /// Those of them that are the film's keywords by the catalogue.
    pub n_right: usize,
    /// Keywords of these films by the catalogue.
    pub n_keywords: usize,
}

impl PhrasePrecision {
    /// Share of the derived keywords that the catalogue has too.
    pub fn precision(&self) -> f64 {
        self.n_right as f64 / self.n_derived.max(1) as f64
    }
}

/// [`KeywordPhrases`] as they are saved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedPhrases {
    /// The keywords that are looked for, in the order of their numbers.
    keywords: Vec<String>,
    /// Numbers of those whose phrase stands for them.
    kept: Vec<u32>,
}

/// Phrases that stand for keywords.
pub(super) struct KeywordPhrases {
    phrases: Phrases,
    names: Vec<String>,
    is_kept: Vec<bool>,
    tokenizer: Tokenizer,
}

impl KeywordPhrases {
    /// Learns from the films with keywords.
    pub(super) fn learn(films: &[&Film], min_precision: f64) -> Self {
        let tokenizer = tokenizer();
        // The most frequent spelling stands for all of one stem ("dream", "dreams").
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for keyword in films.iter().flat_map(|film| &film.keywords) {
            *counts.entry(keyword).or_default() += 1;
        }
        let mut keywords: Vec<(&str, u32)> = counts.into_iter().collect();
        keywords.sort_unstable_by_key(|&(keyword, count)| (std::cmp::Reverse(count), keyword));
        let mut learned =
            Self { phrases: Phrases::default(), names: Vec::new(), is_kept: Vec::new(), tokenizer };
        for (keyword, _) in keywords {
            let number = learned.names.len() as u32;
            // A name without letters stems to nothing.
            if learned.phrases.add(&learned.stem(keyword), number) == Some(number) {
                learned.names.push(keyword.to_owned());
            }
        }
        let n = learned.names.len();
        let (mut seen, mut right, mut all) = (vec![0_u32; n], vec![0_u32; n], vec![0_u32; n]);
        let found: Vec<_> = films
            .par_iter()
            .map(|film| (learned.phrases_in(&film.overview), learned.numbers_of(film)))
            .collect();
        for (phrases, keywords) in &found {
            keywords.iter().for_each(|&keyword| all[keyword as usize] += 1);
            for phrase in phrases {
                seen[*phrase as usize] += 1;
                right[*phrase as usize] += u32::from(keywords.contains(phrase));
            }
        }
        learned.is_kept = (0..n)
            .map(|at| {
                let precision = f64::from(right[at]) / f64::from(seen[at].max(1));
                let chance = f64::from(all[at]) / films.len().max(1) as f64;
                right[at] >= MIN_FILMS && precision >= min_precision && precision >= MIN_LIFT * chance
            })
            .collect();
        learned
    }

    /// What [`KeywordPhrases::saved`] gave.
    pub(super) fn of_saved(saved: SavedPhrases) -> Self {
        let tokenizer = tokenizer();
        let n = saved.keywords.len();
        let (mut phrases, mut is_kept) = (Phrases::default(), vec![false; n]);
        for (number, keyword) in (0..).zip(&saved.keywords) {
            phrases.add(&tokenizer.tokens(keyword).join(" "), number);
        }
        for at in saved.kept {
            if let Some(is_kept) = is_kept.get_mut(at as usize) {
                *is_kept = true;
            }
        }
        Self { phrases, names: saved.keywords, is_kept, tokenizer }
    }

    /// All there is to save.
    pub(super) fn saved(&self) -> SavedPhrases {
        let kept = (0..).zip(&self.is_kept).filter(|(_, is_kept)| **is_kept).map(|(at, _)| at).collect();
        SavedPhrases { keywords: self.names.clone(), kept }
    }

    /// Number of phrases kept.
    pub(super) fn len(&self) -> usize {
        self.is_kept.iter().filter(|kept| **kept).count()
    }

    /// The keywords that the phrases of an overview stand for.
    pub(super) fn derive(&self, overview: &str) -> Vec<&str> {
        let found = self.phrases_in(overview);
        found
            .into_iter()
            .filter(|&number| self.is_kept[number as usize])
            .map(|number| self.names[number as usize].as_str())
            .collect()
    }

    fn stem(&self, text: &str) -> String {
        self.tokenizer.tokens(text).join(" ")
    }

    fn numbers_of(&self, film: &Film) -> Vec<u32> {
        let mut numbers: Vec<u32> =
            film.keywords.iter().filter_map(|keyword| self.phrases.find(&self.stem(keyword))).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Numbers of the phrases in a text, each once, ascending; a word belongs to the longest one alone.
    fn phrases_in(&self, text: &str) -> Vec<u32> {
        let mut words = Vec::new();
        self.tokenizer.for_each(text, |word| words.push(self.phrases.word(word)));
        let mut found = Vec::new();
        let mut at = 0;
        while at < words.len() {
            match self.phrases.longest(&words, at) {
                Some((length, number)) => {
                    found.push(number);
                    at += length;
                }
                None => at += 1,
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn tokenizer() -> Tokenizer {
    Tokenizer::new(TokenizerConfig { stem: true, stop_words: true, ..TokenizerConfig::default() })
}

/// Learns from one half of the films with keywords (those of the training split) and measures on the other.
pub(super) fn measure(films: &[&Film], min_precision: f64) -> PhrasePrecision {
    let is_for_learning = |film: &&Film| split_of(&film.id, &SplitConfig::default()) == Split::Train;
    let (learn, test): (Vec<&Film>, Vec<&Film>) = films.iter().copied().partition(is_for_learning);
    let phrases = KeywordPhrases::learn(&learn, min_precision);
    let mut measured =
        PhrasePrecision { n_phrases: phrases.len(), n_films: test.len(), ..PhrasePrecision::default() };
    for film in test {
        let keys: Vec<String> = film.keywords.iter().map(|keyword| phrases.stem(keyword)).collect();
        measured.n_keywords += keys.len();
        for keyword in phrases.derive(&film.overview) {
            measured.n_derived += 1;
            measured.n_right += usize::from(keys.contains(&phrases.stem(keyword)));
        }
    }
    measured
}

impl KeywordPhrases {
    /// Keywords for a film that has none.
    pub(super) fn of(&self, film: &Film) -> Vec<String> {
        if !film.keywords.is_empty() || film.overview.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<String> =
            self.derive(&film.overview).iter().map(|&name| name.to_owned()).collect();
        names.sort_by_cached_key(|name| entity_key(name));
        names
    }

    /// Learns from the films with keywords, and measures how far what is derived can be trusted.
    pub(super) fn learn_and_measure(films: &[Film], min_precision: f64) -> (Self, PhrasePrecision) {
        let with: Vec<&Film> = films.iter().filter(|film| !film.keywords.is_empty()).collect();
        (Self::learn(&with, min_precision), measure(&with, min_precision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(id: usize, overview: &str, keywords: &[&str]) -> Film {
        Film {
            id: id.to_string(),
            overview: overview.to_owned(),
            keywords: keywords.iter().map(|&keyword| keyword.to_owned()).collect(),
            ..Film::default()
        }
    }

    /// "bank robbery" goes with its keyword, "love" does not.
    fn films() -> Vec<Film> {
        let mut films: Vec<Film> = (0..400).map(|id| film(id, "They love the sea.", &["sea"])).collect();
        for id in 0..8 {
            films[id] = film(id, "They plan bank robberies.", &["bank robbery"]);
            films[50 + id] = film(50 + id, "He likes it.", &["love"]);
        }
        films
    }

    #[test]
    fn only_phrases_that_mostly_go_with_the_keyword_are_kept() {
        let films = films();
        let all: Vec<&Film> = films.iter().collect();
        let phrases = KeywordPhrases::learn(&all, 0.5);
        assert_eq!(phrases.derive("A Bank Robbery, for love, at the sea."), ["bank robbery"]);
        // The keyword "sea" is in nearly every film: seeing the word says nothing.
        assert_eq!(phrases.len(), 1);
        let measured = measure(&all, 0.5);
        assert_eq!(measured.n_right, measured.n_derived, "{measured:?}");
    }

    #[test]
    fn films_with_keywords_get_no_derived_ones() {
        let mut films = films();
        films.push(film(1000, "After the bank robbery", &[]));
        let (phrases, _) = KeywordPhrases::learn_and_measure(&films, 0.5);
        let derived: Vec<(usize, Vec<String>)> = films
            .iter()
            .map(|film| phrases.of(film))
            .enumerate()
            .filter(|(_, names)| !names.is_empty())
            .collect();
        assert_eq!(derived, [(400, vec!["bank robbery".to_owned()])]);
        // What is saved finds the same.
        let saved = serde_json::to_string(&phrases.saved()).unwrap();
        let again = KeywordPhrases::of_saved(serde_json::from_str(&saved).unwrap());
        assert!(films.iter().all(|film| again.of(film) == phrases.of(film)));
    }
}
