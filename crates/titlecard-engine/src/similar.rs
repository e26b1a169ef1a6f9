//! Films like a film, each with what it has in common with it.
//!
//! The score is a sum of parts one can read: how near the texts are (the trained encoder, word vectors), and what
//! the graph says both films share, the rarer the more: genres, keywords and what these are kinds of, directors,
//! actors, countries, decade, collection, companies. What is shared is weighed against all that is known of the two films, so
//! a film with every keyword is like none:
//!
//! ```text
//! rarity(entity) = ln(films / films with it) / ln(films)                       0 to 1
//! value(relation) = Σ rarity(shared) / √(Σ rarity(of one) · Σ rarity(of the other))
//! score = Σ weight · value, in the order of PARTS
//! ```
//!
//! A keyword that only shares a kind with one of the other film (a sword and a gun: weapon) counts half of the
//! kind's rarity.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::graph::{EntityId, Graph, Kind, Relation};
use crate::index::vectors::VectorIndex;
use crate::index::{Encoded, SearchIndex};
use crate::rank::top_k;

/// Number of parts.
pub const N_PARTS: usize = 10;
/// Names of the parts, in the order in which they are added.
pub const PARTS: [&str; N_PARTS] = [
    "encoder",
    "vectors",
    "genres",
    "keywords",
    "directors",
    "actors",
    "countries",
    "decade",
    "collection",
    "companies",
];
/// Relations of the parts behind `encoder` and `vectors`.
const RELATIONS: [Relation; N_PARTS - 2] = [
    Relation::Genre,
    Relation::Keyword,
    Relation::Director,
    Relation::Actor,
    Relation::Country,
    Relation::Decade,
    Relation::Collection,
    Relation::Company,
];
/// What sharing a kind counts of the kind's rarity.
const BY_KIND: f32 = 0.5;
/// A kind of more than this share of all films says nothing.
const WIDEST_KIND: usize = 20;

/// Weights of the parts, in the order of [`PARTS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SimilarWeights(pub [f32; N_PARTS]);

impl Default for SimilarWeights {
    /// Set on tags people gave to films (`docs/results.md`).
    fn default() -> Self {
        Self([2.0, 0.3, 0.1, 1.0, 0.5, 2.0, 0.1, 0.1, 1.0, 0.1])
    }
}

impl SimilarWeights {
    /// What each part adds to the score.
    pub fn contributions(&self, values: [f32; N_PARTS]) -> [f32; N_PARTS] {
        std::array::from_fn(|part| self.0[part] * values[part])
    }

    /// The contributions added in the order of [`PARTS`].
    pub fn score(&self, values: [f32; N_PARTS]) -> f32 {
        self.contributions(values).into_iter().fold(0.0, |sum, part| sum + part)
    }
}

/// Something two films have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// Number of films that have it.
    pub n_films: usize,
    /// The keywords of the two films that are kinds of it, where they do not share it by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<[String; 2]>,
}

/// One part of a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// One of [`PARTS`].
    pub name: &'static str,
    /// Value of the part: a cosine, or how much is shared.
    pub value: f32,
    /// Weight of the part.
    pub weight: f32,
    /// `weight · value`, what it adds to the score.
    pub contribution: f32,
    /// What is shared, the rarest first; empty for texts.
    pub shared: Vec<Shared>,
}

/// A film like another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Similar {
    /// Place, from 1.
    pub rank: usize,
    /// Its number in the catalogue.
    pub film: u32,
    /// Sum of the contributions, added in the order of the parts.
    pub score: f32,
    /// Where the score comes from: all parts of a weight.
    pub parts: Vec<Part>,
}

/// What films are compared by.
#[derive(Clone, Copy)]
pub struct SimilarFilms<'a> {
    graph: &'a Graph,
    tag_vectors: Option<&'a VectorIndex>,
    encoded: Option<&'a Encoded>,
}

impl<'a> SimilarFilms<'a> {
    /// By the graph alone, or with the texts of an index of the same films.
    pub fn new(graph: &'a Graph, index: Option<&'a SearchIndex>) -> Self {
        let index = index.filter(|index| index.n_films() == graph.n_films());
        Self {
            graph,
            tag_vectors: index.map(|index| &index.tag_vectors),
            encoded: index.and_then(|index| index.encoded.as_ref()),
        }
    }

    /// The `k` films most like film number `film`, best first; of equal ones the first of the catalogue. The film
    /// itself is not among them. Empty if there is no such film.
    pub fn most_like(&self, film: u32, k: usize, weights: &SimilarWeights) -> Vec<Similar> {
        if film as usize >= self.graph.n_films() {
            return Vec::new();
        }
        let values = self.values(film, weights);
        let mut scores: Vec<f32> =
            (0..self.graph.n_films()).map(|other| weights.score(values_of(&values, other))).collect();
        scores[film as usize] = f32::NEG_INFINITY;
        let best = top_k(&scores, k.min(scores.len() - 1));
        best.into_iter()
            .enumerate()
            .map(|(at, other)| {
                let values = values_of(&values, other);
                let contributions = weights.contributions(values);
                let parts = (0..N_PARTS)
                    .filter(|&part| weights.0[part] != 0.0)
                    .map(|part| Part {
                        name: PARTS[part],
                        value: values[part],
                        weight: weights.0[part],
                        contribution: contributions[part],
                        shared: match part.checked_sub(2).filter(|_| values[part] != 0.0) {
                            Some(relation) => self.shared(film, other as u32, RELATIONS[relation]),
                            None => Vec::new(),
                        },
                    })
                    .collect();
                Similar { rank: at + 1, film: other as u32, score: scores[other], parts }
            })
            .collect()
    }

    /// Values of all parts for all films, `[N_PARTS][n_films]`; parts of no weight stay 0.
    pub fn values(&self, film: u32, weights: &SimilarWeights) -> [Vec<f32>; N_PARTS] {
        let n_films = self.graph.n_films();
        let mut values: [Vec<f32>; N_PARTS] = std::array::from_fn(|_| vec![0.0; n_films]);
        let wanted = weights.0.map(|weight| weight != 0.0);
        if let Some(encoded) = self.encoded.filter(|_| wanted[0]) {
            encoded.with_records(&encoded.record(film as usize), &mut values[0]);
        }
        if let Some(vectors) = self.tag_vectors.filter(|_| wanted[1]) {
            vectors.cosine_all(&vectors.row(film as usize), &mut values[1]);
        }
        for (part, relation) in (2..).zip(RELATIONS).filter(|(part, _)| wanted[*part]) {
            self.add_shared(film, relation, &mut values[part]);
        }
        values
    }

    /// How much every film shares with `film` by one relation.
    fn add_shared(&self, film: u32, relation: Relation, values: &mut [f32]) {
        let own = self.mass(film, relation);
        if own == 0.0 {
            return;
        }
        let mut touched = Vec::new();
        let mut credit = vec![0.0_f32; values.len()];
        let mut kinds = HashMap::new();
        for (entity, _) in self.graph.edges(film, relation) {
            let mut credited: Vec<u32> = Vec::new();
            let mut give = |other: u32, rarity: f32| {
                let credit = &mut credit[other as usize];
                if *credit == 0.0 && rarity > 0.0 {
                    credited.push(other);
                }
                *credit = credit.max(rarity);
            };
            let rarity = self.rarity(self.graph.n_films_of(entity) as usize);
            self.graph.films_of(entity, relation).for_each(|other| give(other, rarity));
            if relation == Relation::Keyword {
                for kind in self.kinds_of(entity) {
                    let films = kinds.entry(kind).or_insert_with(|| self.films_of_kind(kind));
                    let rarity = BY_KIND * self.rarity(films.len());
                    films.iter().for_each(|&other| give(other, rarity));
                }
            }
            for other in credited {
                let value = &mut values[other as usize];
                if *value == 0.0 {
                    touched.push(other);
                }
                *value += std::mem::take(&mut credit[other as usize]);
            }
        }
        for other in touched {
            let value = &mut values[other as usize];
            *value = (*value / (own * self.mass(other, relation)).sqrt()).min(1.0);
            if !value.is_finite() {
                *value = 0.0;
            }
        }
    }

    /// Rarity of all that a film is linked to by a relation.
    fn mass(&self, film: u32, relation: Relation) -> f32 {
        let edges = self.graph.edges(film, relation);
        edges.map(|(entity, _)| self.rarity(self.graph.n_films_of(entity) as usize)).sum()
    }

    fn rarity(&self, n_with: usize) -> f32 {
        let n_films = self.graph.n_films().max(2) as f32;
        (n_films / n_with.max(1) as f32).ln().max(0.0) / n_films.ln()
    }

    /// A keyword and the keywords it is a kind of.
    fn kinds_of(&self, keyword: EntityId) -> impl Iterator<Item = EntityId> + use<'a> {
        let graph = self.graph;
        let above = graph.ancestors(keyword).filter(|&kind| graph.kind(kind) == Kind::Keyword);
        std::iter::once(keyword).chain(above)
    }

    /// Films of a keyword and of all its kinds, rising; empty if it is too wide to say anything.
    fn films_of_kind(&self, kind: EntityId) -> Vec<u32> {
        let graph = self.graph;
        let all = || {
            std::iter::once(kind)
                .chain(graph.descendants(kind).filter(|&below| graph.kind(below) == Kind::Keyword))
        };
        let n: usize = all().map(|entity| graph.n_films_by(entity, Relation::Keyword) as usize).sum();
        if n > graph.n_films().div_ceil(WIDEST_KIND) {
            return Vec::new();
        }
        let mut films: Vec<u32> =
            all().flat_map(|entity| graph.films_of(entity, Relation::Keyword)).collect();
        films.sort_unstable();
        films.dedup();
        films
    }

    /// What two films share by a relation, the rarest first.
    fn shared(&self, film: u32, other: u32, relation: Relation) -> Vec<Shared> {
        let graph = self.graph;
        let theirs: Vec<EntityId> = graph.edges(other, relation).map(|(entity, _)| entity).collect();
        let name = |entity: EntityId| graph.name(entity).to_owned();
        let mut shared: Vec<Shared> = Vec::new();
        for (entity, _) in graph.edges(film, relation) {
            if theirs.contains(&entity) {
                let n_films = graph.n_films_of(entity) as usize;
                shared.push(Shared { name: name(entity), n_films, kinds: None });
                continue;
            }
            if relation != Relation::Keyword {
                continue;
            }
            // The narrowest kind both are of; a keyword of the one may be a kind of the other's.
            let narrowest = self
                .kinds_of(entity)
                .filter_map(|kind| {
                    let is_of = |&&their: &&EntityId| {
                        their == kind || graph.ancestors(their).any(|above| above == kind)
                    };
                    let their = *theirs.iter().find(is_of)?;
                    let n_films = self.films_of_kind(kind).len();
                    (n_films > 0).then_some((n_films, kind, their))
                })
                .min();
            if let Some((n_films, kind, their)) = narrowest {
                shared.push(Shared { name: name(kind), n_films, kinds: Some([name(entity), name(their)]) });
            }
        }
        shared.sort_by_key(|a| (a.kinds.is_some(), a.n_films));
        shared.dedup();
        shared
    }
}

fn values_of(values: &[Vec<f32>; N_PARTS], film: usize) -> [f32; N_PARTS] {
    values.each_ref().map(|values| values[film])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Film;
    use crate::graph::{GraphConfig, build};

    fn graph_of(films: &[Film]) -> Graph {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.tcg");
        build(&path, films, &GraphConfig::default(), &mut crate::progress::silent).unwrap();
        Graph::open(&path).unwrap()
    }

    fn sample() -> Graph {
        let mut films = Vec::new();
        crate::sample::read_films(&crate::catalogue::ReadOptions::default(), &mut |film| {
            films.push(film);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        graph_of(&films)
    }

    #[test]
    fn the_score_is_the_sum_of_its_parts_and_the_film_is_left_out() {
        let graph = sample();
        let films = SimilarFilms::new(&graph, None);
        let weights = SimilarWeights::default();
        for film in 0..graph.n_films() as u32 {
            let found = films.most_like(film, 10, &weights);
            assert_eq!(found.len(), 10);
            assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            for one in found {
                assert_ne!(one.film, film);
                let sum = one.parts.iter().fold(0.0, |sum, part| sum + part.contribution);
                assert_eq!(sum.to_bits(), one.score.to_bits());
                for part in &one.parts {
                    assert_eq!(part.contribution.to_bits(), (part.weight * part.value).to_bits());
                    assert!((0.0..=1.0).contains(&part.value), "{part:?}");
                    assert_eq!(part.value > 0.0, !part.shared.is_empty(), "{part:?}");
                }
            }
        }
        assert_eq!(films.most_like(u32::MAX, 10, &weights), []);
        assert_eq!(films.most_like(0, 1_000, &weights).len(), graph.n_films() - 1);
    }

    #[test]
    fn what_is_rare_counts_more_and_a_kind_counts_half() {
        let film = |id: &str, keywords: &[&str]| Film {
            id: id.to_owned(),
            title: id.to_owned(),
            tags: "x".to_owned(),
            keywords: keywords.iter().map(|&keyword| keyword.to_owned()).collect(),
            ..Film::default()
        };
        let mut films = vec![
            film("one", &["vampire", "castle"]),
            film("by name", &["vampire", "castle"]),
            film("by kind", &["zombie"]),
            film("common", &["castle"]),
        ];
        films.extend((0..40).map(|at| film(&format!("castle {at}"), &["castle", "king"])));
        films.extend((0..40).map(|at| film(&format!("other {at}"), &["farm"])));
        let graph = graph_of(&films);
        let mut weights = [0.0; N_PARTS];
        weights[3] = 1.0;
        let found = SimilarFilms::new(&graph, None).most_like(0, 3, &SimilarWeights(weights));
        assert_eq!(found[0].film, 1);
        assert_eq!(found[0].score, 1.0);
        let names: Vec<&str> = found[0].parts[0].shared.iter().map(|shared| shared.name.as_str()).collect();
        assert_eq!(names, ["vampire", "castle"]);
        let by_kind = found.iter().find(|one| one.film == 2).expect("an undead like the first");
        let shared = &by_kind.parts[0].shared[0];
        assert_eq!(shared.kinds, Some(["vampire".to_owned(), "zombie".to_owned()]), "{shared:?}");
        assert!(by_kind.score < 0.6, "{by_kind:?}");
    }
}
