//! Asking back: the one question whose answer tells most about which candidate is meant.
//!
//! The rules are learned with a softmax over the candidates of a question, so the softmax of their scores is what
//! they believe: `p(film)`. A fact a person may remember (the decade, a genre, a country, a language, a keyword)
//! splits the candidates by its values; what it tells is the entropy it can be expected to take away:
//!
//! ```text
//! gain(fact) = sureness(fact) · (1 - p(unknown)) · (H(p) - Σ p(value) · H(p | value))
//! ```
//!
//! An answer goes back as a filter, and a filter drops films of which the fact is not known: their share
//! counts as nothing gained. `sureness` is how far people can be trusted to remember such a fact; it was set by hand.
//! A film has a genre or keyword in the sense of [`crate::filter`], kinds included, so that the shares shown are
//! those of the films the filter keeps.

use std::collections::HashMap;

use serde::Serialize;

use crate::graph::{EntityId, Graph, Kind, Relation};
use crate::index::facts::Facts;
use crate::query::Field;

/// A question back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Question {
    /// What it asks for: `decade`, or field and value as in a filter. Given back as asked, it is not asked again.
    pub id: String,
    /// The question.
    pub text: String,
    /// Answers to choose from.
    pub answers: Vec<Choice>,
    /// Bits that the answer can be expected to take away.
    pub gain_bits: f64,
    /// Bits that are open now.
    pub entropy_bits: f64,
}

/// An answer to choose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Its words.
    pub label: String,
    /// The filter it means.
    pub filter: String,
    /// How likely it is by the rules, in `[0, 1]`.
    pub share: f64,
}

/// A question that takes less is not worth a person's time.
const LEAST_BITS: f64 = 0.1;
/// An answer less likely than this is not offered.
const LEAST_SHARE: f64 = 0.02;
/// Decades offered, at most.
const MAX_DECADES: usize = 6;

/// How far people can be trusted to remember a fact.
fn sureness(field: Field, name: &str) -> f64 {
    match field {
        Field::Genre if name.eq_ignore_ascii_case("animation") => 0.95,
        Field::Genre => 0.75,
        Field::Year | Field::Language => 0.7,
        Field::Country => 0.6,
        _ => 0.35,
    }
}

/// Share of the belief, and the sum of `p · ln p`, of some films.
#[derive(Debug, Clone, Copy, Default)]
struct Mass {
    p: f64,
    p_ln_p: f64,
}

impl Mass {
    fn add(&mut self, p: f64) {
        self.p += p;
        self.p_ln_p += p * p.ln();
    }

    fn without(self, other: Self) -> Self {
        Self { p: self.p - other.p, p_ln_p: self.p_ln_p - other.p_ln_p }
    }

    /// `p · H` of these films, in nats: their entropy if it is one of them, weighed by how likely that is.
    fn open(self) -> f64 {
        if self.p <= 0.0 { 0.0 } else { (self.p * self.p.ln() - self.p_ln_p).max(0.0) }
    }
}

/// The question worth asking most, if one is worth it.
///
/// - `films`, `scores`: the candidates and what they are ranked by, `[n_candidates]` each.
/// - `asked`: [`Question::id`] of what was asked already.
pub fn best_question(
    graph: &Graph,
    facts: &Facts,
    films: &[u32],
    scores: &[f64],
    asked: &[String],
) -> Option<Question> {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - best).exp()).sum();
    let beliefs: Vec<(u32, f64)> = films
        .iter()
        .zip(scores)
        .map(|(&film, score)| (film, (score - best).exp() / sum))
        // Below the smallest normal number a logarithm says nothing.
        .filter(|(_, p)| *p > f64::MIN_POSITIVE)
        .collect();
    let mut all = Mass::default();
    beliefs.iter().for_each(|(_, p)| all.add(*p));
    let decades = decade_question(facts, &beliefs, all);
    let others = yes_or_no(graph, &beliefs, all);
    decades
        .into_iter()
        .chain(others)
        .filter(|question| question.gain_bits >= LEAST_BITS && !asked.contains(&question.id))
        .max_by(|a, b| a.gain_bits.total_cmp(&b.gain_bits).then_with(|| b.id.cmp(&a.id)))
}

fn bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

fn decade_question(facts: &Facts, beliefs: &[(u32, f64)], all: Mass) -> Option<Question> {
    let mut decades: HashMap<i32, Mass> = HashMap::new();
    let mut known = Mass::default();
    for &(film, p) in beliefs {
        if let Some(year) = facts.year(film as usize) {
            known.add(p);
            decades.entry(year.div_euclid(10) * 10).or_default().add(p);
        }
    }
    // In one order, or the last bit of the sum would change from run to run.
    let mut decades: Vec<(i32, Mass)> = decades.into_iter().collect();
    decades.sort_unstable_by_key(|(decade, _)| *decade);
    let after: f64 = decades.iter().map(|(_, mass)| mass.open()).sum();
    let gain = sureness(Field::Year, "") * known.p * (all.open() - after - all.without(known).open());
    decades.retain(|(_, mass)| mass.p >= LEAST_SHARE);
    decades.sort_by(|a, b| b.1.p.total_cmp(&a.1.p).then(a.0.cmp(&b.0)));
    decades.truncate(MAX_DECADES);
    decades.sort_unstable_by_key(|(decade, _)| *decade);
    (decades.len() > 1).then(|| Question {
        id: "decade".to_owned(),
        text: "When did it come out?".to_owned(),
        answers: decades
            .into_iter()
            .map(|(decade, mass)| Choice {
                label: format!("{decade}s"),
                filter: format!("year:{decade}..{}", decade + 9),
                share: mass.p,
            })
            .collect(),
        gain_bits: bits(gain),
        entropy_bits: bits(all.open()),
    })
}

/// Questions that are answered by yes or no.
fn yes_or_no(graph: &Graph, beliefs: &[(u32, f64)], all: Mass) -> Vec<Question> {
    const FIELDS: [Field; 4] = [Field::Genre, Field::Country, Field::Language, Field::Keyword];
    let mut having: HashMap<EntityId, Mass> = HashMap::new();
    // Films of which the field is known at all.
    let mut known = [Mass::default(); FIELDS.len()];
    let mut of_film: Vec<EntityId> = Vec::new();
    for &(film, p) in beliefs {
        of_film.clear();
        for (at, field) in FIELDS.into_iter().enumerate() {
            let before = of_film.len();
            collect(graph, film, field, &mut of_film);
            if of_film.len() > before {
                known[at].add(p);
            }
        }
        of_film.sort_unstable();
        of_film.dedup();
        of_film.iter().for_each(|entity| having.entry(*entity).or_default().add(p));
    }
    let questions = having.into_iter().filter_map(|(entity, yes)| {
        let (at, field) = match graph.kind(entity) {
            Kind::Genre => (0, Field::Genre),
            Kind::Country => (1, Field::Country),
            Kind::Language => (2, Field::Language),
            Kind::Keyword => (3, Field::Keyword),
            _ => return None,
        };
        let no = all.without(yes);
        if yes.p < LEAST_SHARE || no.p < LEAST_SHARE {
            return None;
        }
        let name = graph.name(entity);
        let gain = sureness(field, name) * known[at].p * (all.open() - yes.open() - no.open());
        let value = quoted(name)?;
        let id = format!("{}:{value}", field.name());
        Some(Question {
            text: text_of(field, name),
            answers: vec![
                Choice { label: "Yes".to_owned(), filter: id.clone(), share: yes.p },
                Choice { label: "No".to_owned(), filter: format!("-{id}"), share: no.p },
            ],
            id,
            gain_bits: bits(gain),
            entropy_bits: bits(all.open()),
        })
    });
    questions.collect()
}

/// What film number `film` has in the sense of a filter on `field`; genres and keywords come together, as both
/// kinds stand for kinds of themselves.
fn collect(graph: &Graph, film: u32, field: Field, found: &mut Vec<EntityId>) {
    let with_kinds = |entity: EntityId, kind: Kind, found: &mut Vec<EntityId>| {
        found.extend(
            std::iter::once(entity).chain(graph.ancestors(entity)).filter(|above| graph.kind(*above) == kind),
        );
    };
    match field {
        Field::Genre => {
            graph.edges(film, Relation::Genre).for_each(|(id, _)| with_kinds(id, Kind::Genre, found));
            graph
                .edges(film, Relation::Keyword)
                .filter(|(_, derived)| !derived)
                .for_each(|(id, _)| with_kinds(id, Kind::Genre, found));
        }
        Field::Keyword => {
            graph.edges(film, Relation::Keyword).for_each(|(id, _)| with_kinds(id, Kind::Keyword, found));
            graph.edges(film, Relation::Genre).for_each(|(id, _)| with_kinds(id, Kind::Keyword, found));
        }
        Field::Country => found.extend(graph.edges(film, Relation::Country).map(|(id, _)| id)),
        Field::Language => found.extend(graph.edges(film, Relation::Language).map(|(id, _)| id)),
        _ => {}
    }
}

/// A value as it stands in a filter; none if it cannot.
fn quoted(name: &str) -> Option<String> {
    if name.contains(['"', '\u{201c}', '\u{201d}']) {
        return None;
    }
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-');
    Some(if is_plain { name.to_owned() } else { format!("\"{name}\"") })
}

fn text_of(field: Field, name: &str) -> String {
    match field {
        Field::Genre if name.eq_ignore_ascii_case("animation") => "Is it animated?".to_owned(),
        Field::Genre if name.eq_ignore_ascii_case("documentary") => "Is it a documentary?".to_owned(),
        Field::Genre => format!("Would you call it \u{201c}{name}\u{201d}?"),
        Field::Country => format!("Was it made in {name}?"),
        Field::Language => format!("Is it in {name}?"),
        _ => format!("Does it have to do with \u{201c}{name}\u{201d}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Film;
    use crate::filter::FilmSet;
    use crate::graph::{self, GraphConfig};
    use crate::progress;
    use crate::query::parse_filters;

    fn catalogue() -> (tempfile::TempDir, Graph, Facts) {
        let film = |id: usize, year: i32, genres: &[&str], keywords: &[&str]| Film {
            id: id.to_string(),
            title: format!("Film {id}"),
            tags: "x".to_owned(),
            year: Some(year),
            genres: genres.iter().map(|&genre| genre.to_owned()).collect(),
            keywords: keywords.iter().map(|&keyword| keyword.to_owned()).collect(),
            ..Film::default()
        };
        let films = [
            film(1, 1981, &["Horror"], &["slasher"]),
            film(2, 1984, &["Comedy"], &[]),
            film(3, 1985, &["Comedy", "Romance"], &[]),
            film(4, 1988, &["Drama"], &["vampire"]),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.tcg");
        graph::build(&path, &films, &GraphConfig::default(), &mut progress::silent).unwrap();
        let graph = Graph::open(&path).unwrap();
        (folder, graph, Facts::of_films(&films))
    }

    /// Four films, equally likely: two bits are open. Half are comedies and no other fact halves them; the
    /// answer takes one bit, of which .75 counts.
    #[test]
    fn the_fact_that_halves_the_candidates_is_asked() {
        let (_folder, graph, facts) = catalogue();
        let question = best_question(&graph, &facts, &[0, 1, 2, 3], &[1.0; 4], &[]).unwrap();
        assert!((question.entropy_bits - 2.0).abs() < 1e-12);
        // A vampire makes horror too, so horror halves them as well; of equal ones the first by name.
        assert!((question.gain_bits - 0.75).abs() < 1e-12, "{question:?}");
        assert_eq!(question.id, "genre:Comedy");
        assert_eq!(question.answers.iter().map(|answer| answer.share).collect::<Vec<_>>(), [0.5, 0.5]);
        let next = best_question(&graph, &facts, &[0, 1, 2, 3], &[1.0; 4], &[question.id]).unwrap();
        assert_ne!(next.id, "genre:Comedy");
    }

    /// Nothing is asked where the rules are sure, or where all candidates agree.
    #[test]
    fn nothing_is_asked_without_need() {
        let (_folder, graph, facts) = catalogue();
        assert_eq!(best_question(&graph, &facts, &[0, 1, 2, 3], &[40.0, 0.0, 0.0, 0.0], &[]), None);
        assert_eq!(best_question(&graph, &facts, &[1], &[1.0], &[]), None);
        assert_eq!(best_question(&graph, &facts, &[], &[], &[]), None);
    }

    /// The share of an answer is the belief in the films its filter keeps.
    #[test]
    fn shares_are_those_of_the_filter() {
        let (_folder, graph, facts) = catalogue();
        let scores = [0.3_f64, 1.2, 0.1, 0.9];
        let sum: f64 = scores.iter().map(|score| score.exp()).sum();
        let mut asked = Vec::new();
        let mut n = 0;
        while let Some(question) = best_question(&graph, &facts, &[0, 1, 2, 3], &scores, &asked) {
            for answer in &question.answers {
                let (filters, errors) = parse_filters(&answer.filter);
                assert!(errors.is_empty(), "{errors:?}");
                let passing = FilmSet::of(&filters, &graph, &facts).unwrap().unwrap();
                let share: f64 = passing.iter().map(|film| scores[film as usize].exp() / sum).sum();
                assert!((share - answer.share).abs() < 1e-9, "{}: {share} {}", answer.filter, answer.share);
            }
            asked.push(question.id);
            n += 1;
        }
        assert!(n >= 3, "{n} questions");
    }
}
