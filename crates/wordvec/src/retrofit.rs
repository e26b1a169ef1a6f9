//! Moving vectors towards those of related words.
//!
//! Given links between words (synonyms, say), each word's vector `q_i` is set to what lies between its
//! old vector `q̂_i` and the mean of its `n_i` neighbours',
//! `q_i = (α q̂_i + (β / n_i) Σ_j q_j) / (α + β)`, word after word, until that holds for all of them
//! (the paper's update, where `α = β = 1`); it converges quickly.
//!
//! Source: Faruqui et al., *Retrofitting word vectors to semantic lexicons* (2015).

use std::collections::HashSet;

use crate::{WordTable, WordVecError, WordVectors};

/// Settings of [`retrofit`]; the default is the paper's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetrofitConfig {
    /// Weight of staying where the vector was, `α`.
    pub stay: f32,
    /// Weight of all links of a word together, `β`.
    pub pull: f32,
    /// Sweeps over all words.
    pub sweeps: usize,
}

impl Default for RetrofitConfig {
    fn default() -> Self {
        Self { stay: 1.0, pull: 1.0, sweeps: 10 }
    }
}

impl RetrofitConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`WordVecError::Setting`].
    pub fn validate(&self) -> Result<(), WordVecError> {
        for (name, found) in [("stay", self.stay), ("pull", self.pull)] {
            if !(found > 0.0 && found.is_finite()) {
                return Err(WordVecError::Setting { name, found: found.to_string(), expected: "above 0" });
            }
        }
        Ok(())
    }
}

/// Links between all words of every group that have vectors, each pair once.
///
/// - `groups`: such as the words of a WordNet synset, or a keyword and its related keywords.
pub fn links_of_groups<'a, G: IntoIterator<Item = &'a str>>(
    vectors: &(impl WordTable + ?Sized),
    groups: impl IntoIterator<Item = G>,
) -> Vec<(usize, usize)> {
    let mut seen = HashSet::new();
    let mut links = Vec::new();
    for group in groups {
        let known: Vec<usize> = group.into_iter().filter_map(|word| vectors.index_of(word)).collect();
        for (at, &a) in known.iter().enumerate() {
            for &b in known[at + 1..].iter().filter(|&&b| b != a) {
                if seen.insert((a.min(b), a.max(b))) {
                    links.push((a, b));
                }
            }
        }
    }
    links
}

/// Vectors moved along `links`, pairs of positions that pull both ways. Words without links stay.
///
/// # Errors
/// [`WordVecError::Link`] if a position is out of range, or [`WordVecError::Setting`].
pub fn retrofit(
    vectors: &WordVectors,
    links: &[(usize, usize)],
    config: &RetrofitConfig,
) -> Result<WordVectors, WordVecError> {
    config.validate()?;
    let (n_words, dim) = (vectors.len(), vectors.dim());
    let mut neighbours = vec![Vec::new(); n_words];
    for (link, &(a, b)) in links.iter().enumerate() {
        if let Some(position) = [a, b].into_iter().find(|&at| at >= n_words) {
            return Err(WordVecError::Link { link, position, n_words });
        }
        neighbours[a].push(b);
        neighbours[b].push(a);
    }
    let mut moved = vectors.as_slice().to_vec();
    let mut sum = vec![0.0_f32; dim];
    for _ in 0..config.sweeps {
        for (at, linked) in neighbours.iter().enumerate().filter(|(_, linked)| !linked.is_empty()) {
            sum.iter_mut().zip(vectors.row(at)).for_each(|(sum, old)| *sum = config.stay * old);
            let pull = config.pull / linked.len() as f32;
            for &other in linked {
                let row = &moved[other * dim..(other + 1) * dim];
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += pull * x);
            }
            let total = config.stay + config.pull;
            moved[at * dim..(at + 1) * dim].iter_mut().zip(&sum).for_each(|(x, sum)| *x = sum / total);
        }
    }
    let moved = WordVectors::new(vectors.words().to_vec(), dim, moved)?;
    match vectors.counts() {
        Some(counts) => moved.with_counts(counts.to_vec()),
        None => Ok(moved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> WordVectors {
        let words = ["film", "movie", "picture", "boat"].map(String::from).to_vec();
        WordVectors::new(words, 2, vec![1.0, 0.0, 0.0, 1.0, 0.5, -1.0, -1.0, -1.0]).unwrap()
    }

    #[test]
    fn every_linked_word_is_where_the_update_leaves_it() {
        let vectors = vectors();
        let links =
            links_of_groups(&vectors, [vec!["film", "movie", "unknown"], vec!["movie", "picture", "movie"]]);
        assert_eq!(links, [(0, 1), (1, 2)]);
        let config = RetrofitConfig { stay: 0.7, pull: 1.3, sweeps: 200 };
        let moved = retrofit(&vectors, &links, &config).unwrap();
        for (at, linked) in [(0, vec![1]), (1, vec![0, 2]), (2, vec![1])] {
            for dim in 0..2 {
                let q = |at: usize| f64::from(moved.row(at)[dim]);
                let pulled: f64 =
                    linked.iter().map(|&other| 1.3 / linked.len() as f64 * (q(at) - q(other))).sum();
                let residue = 0.7 * (q(at) - f64::from(vectors.row(at)[dim])) + pulled;
                assert!(residue.abs() < 1e-5, "{residue} at {at}");
            }
        }
        assert_eq!(moved.row(3), vectors.row(3));
    }

    #[test]
    fn bad_links_and_settings_are_refused() {
        let links = [(0, 1), (2, 4)];
        let error = retrofit(&vectors(), &links, &RetrofitConfig::default()).unwrap_err();
        assert_eq!(error.to_string(), "link 1 names word 4, but there are 4");
        let config = RetrofitConfig { stay: 0.0, ..RetrofitConfig::default() };
        assert!(matches!(retrofit(&vectors(), &[], &config), Err(WordVecError::Setting { .. })));
    }
}
