//! Reasons in words: which rules put a film where it is, what in the question and in the film they rest on,
//! why one film stands above another, and what would change that.

use serde::Serialize;

use super::Pool;
use super::literals::{Fact, Family, Number};
use super::ranker::{Ranker, Reasons};
use crate::catalogue::Film;
use crate::graph::{EntityId, Graph, Kind, Relation};
use crate::query::{Span, Understanding};

/// Something in the question, in the film, or in both that a rule rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// The fact it shows.
    pub fact: &'static str,
    /// Where the question says it, if it does.
    pub question: Option<Span>,
    /// The words of the question, as written.
    pub said: String,
    /// What the film has.
    pub film: String,
}

/// A rule that holds for a film.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleReason {
    /// Number of the rule in its list, from 1.
    pub rule: usize,
    /// The rule as it stands in the list.
    pub text: String,
    /// What it says, a line for every literal, in plain words.
    pub words: Vec<String>,
    /// What it adds to the score.
    pub weight: f64,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// A score of the linear part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreReason {
    /// Its name.
    pub name: &'static str,
    /// What it is, in plain words.
    pub words: &'static str,
    /// Its value.
    pub value: f64,
    /// Its weight.
    pub weight: f64,
    /// `weight · value`, what it adds to the score.
    pub contribution: f64,
}

/// Everything a film's score is the sum of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilmReasons {
    /// The constant of the list.
    pub bias: f64,
    /// Rules that hold, the weightiest first.
    pub rules: Vec<RuleReason>,
    /// Scores.
    pub scores: Vec<ScoreReason>,
    /// The sum of all these.
    pub score: f64,
}

impl FilmReasons {
    /// Adds up what is shown.
    pub fn sum(&self) -> f64 {
        let rules: f64 = self.rules.iter().map(|rule| rule.weight).sum();
        let scores: f64 = self.scores.iter().map(|score| score.contribution).sum();
        self.bias + rules + scores
    }
}

/// What reasons are looked for in.
pub struct Context<'a> {
    /// The rules.
    pub ranker: &'a Ranker,
    /// The graph.
    pub graph: &'a Graph,
    /// The question.
    pub query: &'a str,
    /// What it says.
    pub understood: &'a Understanding,
    /// The candidates.
    pub pool: &'a Pool,
}

impl Context<'_> {
    /// The reasons of film `row` of the pool.
    pub fn of_film(&self, row: usize, film: &Film) -> FilmReasons {
        let reasons = self.ranker.reasons(self.pool, row);
        let mut rules: Vec<RuleReason> =
            reasons.fired.iter().map(|&(rule, weight)| self.of_rule(rule, weight, row, film)).collect();
        rules.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then(a.rule.cmp(&b.rule)));
        FilmReasons { bias: reasons.bias, rules, scores: scores_of(&reasons), score: reasons.score }
    }

    fn of_rule(&self, rule: usize, weight: f64, row: usize, film: &Film) -> RuleReason {
        let list = self.ranker.rules();
        let mut evidence: Vec<Evidence> = Vec::new();
        for literal in self.ranker.literals_of_rule(rule) {
            if let Some(fact) = Fact::named(self.ranker.asks(literal))
                && self.pool.table.holds(row, fact)
            {
                evidence.extend(self.evidence(fact, self.pool.films[row], film));
            }
        }
        RuleReason {
            rule: rule + 1,
            text: list.text(rule),
            words: self.ranker.rule_words(rule),
            weight,
            evidence,
        }
    }

    /// What fact `fact`, which holds, rests on.
    fn evidence(&self, fact: Fact, film_number: u32, film: &Film) -> Vec<Evidence> {
        let evidence = |question: Option<Span>, film: String| Evidence {
            fact: fact.name(),
            question,
            said: question.map(|span| span.of(self.query).to_owned()).unwrap_or_default(),
            film,
        };
        let relations: &[Relation] = match fact {
            Fact::GenreShared | Fact::GenreSharedTwice | Fact::GenreSharedIsA | Fact::GenreDenied => {
                &[Relation::Genre, Relation::Keyword]
            }
            Fact::KeywordShared | Fact::KeywordSharedTwice | Fact::KeywordRare | Fact::KeywordSharedIsA => {
                &[Relation::Keyword]
            }
            Fact::PlaceShared => &[Relation::Place],
            Fact::PersonShared => &[Relation::Actor, Relation::Director],
            Fact::PersonMentioned => &[Relation::Mentions],
            Fact::CountryShared => &[Relation::Country],
            Fact::LanguageShared => &[Relation::Language],
            _ => &[],
        };
        if !relations.is_empty() {
            return self
                .shared(relations, film_number)
                .map(|(span, name)| evidence(Some(span), name))
                .collect();
        }
        let named =
            |kind: Kind| self.understood.entities_of(kind).map(|entity| entity.span).collect::<Vec<Span>>();
        let year = || film.year.map_or_else(|| "of unknown year".to_owned(), |year| year.to_string());
        match fact {
            Fact::GenreConflict => named(Kind::Genre)
                .into_iter()
                .map(|span| evidence(Some(span), film.genres.join(", ")))
                .collect(),
            Fact::CountryConflict => named(Kind::Country)
                .into_iter()
                .map(|span| evidence(Some(span), self.names(film_number, Relation::Country)))
                .collect(),
            Fact::LanguageConflict => named(Kind::Language)
                .into_iter()
                .map(|span| evidence(Some(span), self.names(film_number, Relation::Language)))
                .collect(),
            Fact::PersonConflict | Fact::CoActor => named(Kind::Person)
                .into_iter()
                .map(|span| evidence(Some(span), self.names(film_number, Relation::Actor)))
                .collect(),
            Fact::ForeignAgrees | Fact::ForeignConflict => {
                vec![evidence(self.trait_span(fact), self.names(film_number, Relation::Language))]
            }
            Fact::TitleNamed | Fact::TitleQuoted | Fact::Compared | Fact::Denied => self
                .understood
                .entities
                .iter()
                .filter(|entity| entity.kind == Kind::Film && entity.ids.contains(&film_number))
                .map(|entity| evidence(Some(entity.span), film.title.clone()))
                .collect(),
            Fact::OldAgrees | Fact::OldConflict | Fact::SilentConflict | Fact::RecentAgrees => {
                vec![evidence(self.trait_span(fact), year())]
            }
            _ if fact.family() == Family::Time && fact != Fact::YearUnsaid => {
                let dates = self.understood.dates.iter().filter(|date| !date.negated);
                dates.map(|date| evidence(Some(date.span), year())).collect()
            }
            _ if fact.family() == Family::Genre => {
                vec![evidence(self.trait_span(fact), film.genres.join(", "))]
            }
            _ => Vec::new(),
        }
    }

    /// A trait the question names that a fact of this family speaks of.
    fn trait_span(&self, fact: Fact) -> Option<Span> {
        use crate::query::Trait;
        let about: &[Trait] = match fact {
            Fact::AnimationShared | Fact::AnimationConflict => {
                &[Trait::Animation, Trait::Anime, Trait::StopMotion, Trait::LiveAction]
            }
            Fact::TvShared => &[Trait::TvFilm],
            Fact::ChildrenShared => &[Trait::Children],
            Fact::OldAgrees | Fact::OldConflict => &[Trait::BlackAndWhite, Trait::Old, Trait::Silent],
            Fact::SilentConflict => &[Trait::Silent],
            Fact::RecentAgrees => &[Trait::Recent],
            Fact::ForeignAgrees => &[Trait::Foreign, Trait::Subtitled, Trait::Dubbed],
            _ => &[],
        };
        self.understood.traits.iter().find(|found| about.contains(&found.what)).map(|found| found.span)
    }

    fn names(&self, film: u32, relation: Relation) -> String {
        let names: Vec<&str> =
            self.graph.edges(film, relation).map(|(id, _)| self.graph.name(id)).take(6).collect();
        names.join(", ")
    }

    /// Entities of the film that the question names, itself or by what they are a kind of.
    fn shared(&self, relations: &[Relation], film: u32) -> impl Iterator<Item = (Span, String)> {
        let mut found: Vec<(Span, String)> = Vec::new();
        for &relation in relations {
            for (id, derived) in self.graph.edges(film, relation) {
                for entity in self.understood.entities.iter().filter(|entity| !entity.compared) {
                    let ids: Vec<EntityId> = if entity.ids.is_empty() {
                        self.graph.find(entity.kind, &entity.name).into_iter().collect()
                    } else {
                        entity.ids.iter().map(|&id| EntityId(id)).collect()
                    };
                    let is_kind = self.graph.ancestors(id).find(|above| ids.contains(above));
                    if !ids.contains(&id) && is_kind.is_none()
                        || found.iter().any(|(span, _)| *span == entity.span)
                    {
                        continue;
                    }
                    let mut name = self.graph.name(id).to_owned();
                    if let (false, Some(above)) = (ids.contains(&id), is_kind) {
                        name.push_str(&format!(", a kind of {}", self.graph.name(above)));
                    }
                    if derived {
                        name.push_str(" (from the text)");
                    }
                    found.push((entity.span, name));
                }
            }
        }
        found.into_iter()
    }

    /// Why the film in row `a` stands above, or below, the one in row `b`.
    pub fn compare(&self, a: (usize, &Film), b: (usize, &Film)) -> Comparison {
        let (of_a, of_b) = (self.of_film(a.0, a.1), self.of_film(b.0, b.1));
        let only = |own: &FilmReasons, other: &FilmReasons| -> Vec<RuleReason> {
            own.rules.iter().filter(|rule| other.rules.iter().all(|o| o.rule != rule.rule)).cloned().collect()
        };
        let scores = of_a
            .scores
            .iter()
            .zip(&of_b.scores)
            .map(|(a, b)| (a.name, a.contribution - b.contribution))
            .filter(|(_, difference)| *difference != 0.0)
            .collect();
        Comparison {
            difference: of_a.score - of_b.score,
            only_first: only(&of_a, &of_b),
            only_second: only(&of_b, &of_a),
            scores,
            counterfactual: self.counterfactual(a.0, b.0),
        }
    }

    /// The smallest change of facts of the film that stands lower after which it stands above the other, found
    /// by trying all changes of one fact, then of two, then of three, and ranking again each time.
    pub fn counterfactual(&self, a: usize, b: usize) -> Option<Counterfactual> {
        let scores = self.ranker.scores(self.pool);
        let place = |scores: &[f64], row: usize| {
            Ranker::order(scores).iter().position(|&other| other == row).unwrap_or(usize::MAX)
        };
        let (upper, lower) = if place(&scores, a) < place(&scores, b) { (a, b) } else { (b, a) };
        let mut asked: Vec<Fact> = (0..self.ranker.rules().literals().len())
            .filter_map(|literal| Fact::named(self.ranker.asks(literal)))
            .collect();
        asked.sort_unstable();
        asked.dedup();
        // A fact can become true only if the question makes it possible, so that it is true of some candidate, and can
        // become false only if it is not the question alone that makes it true.
        let facts = &self.pool.table.facts;
        let holds_for = |fact: Fact| facts.iter().filter(|bits| *bits >> fact as u32 & 1 == 1).count();
        asked.retain(|&fact| (1..facts.len()).contains(&holds_for(fact)));
        // The strongest single changes first; pairs and triples of those that help at all.
        let mut helpful: Vec<(f64, Fact)> = asked
            .into_iter()
            .map(|fact| (self.score_with(lower, &[fact]) - scores[lower], fact))
            .filter(|(gain, _)| *gain > 0.0)
            .collect();
        helpful.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        helpful.truncate(16);
        let facts: Vec<Fact> = helpful.iter().map(|(_, fact)| *fact).collect();
        let n = facts.len();
        let singles = (0..n).map(|i| vec![facts[i]]);
        let pairs =
            (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|(i, j)| vec![facts[i], facts[j]]);
        let triples = (0..n)
            .flat_map(|i| (i + 1..n).flat_map(move |j| (j + 1..n).map(move |k| (i, j, k))))
            .map(|(i, j, k)| vec![facts[i], facts[j], facts[k]]);
        let mut tried = singles.chain(pairs).chain(triples);
        tried.find_map(|changes| {
            let score = self.score_with(lower, &changes);
            if score < scores[upper] || score == scores[upper] && lower > upper {
                return None;
            }
            // Ranked again with the changed facts: the sentence below is what was seen, not what was hoped.
            let changed = self.pool.with_flipped(lower, &changes);
            let again = self.ranker.scores(&changed);
            (place(&again, lower) < place(&again, upper)).then(|| Counterfactual {
                film: self.pool.films[lower] as usize,
                changes: changes
                    .iter()
                    .map(|&fact| Change {
                        fact: fact.name(),
                        words: fact.words(),
                        becomes: changed.table.holds(lower, fact),
                    })
                    .collect(),
                score_before: scores[lower],
                score_after: again[lower],
                place_before: place(&scores, lower) + 1,
                place_after: place(&again, lower) + 1,
            })
        })
    }

    fn score_with(&self, row: usize, changes: &[Fact]) -> f64 {
        let changed = self.pool.select(&[row]).with_flipped(0, changes);
        self.ranker.scores(&changed)[0]
    }
}

impl Pool {
    /// The pool with facts of one film turned round, and what they imply kept true.
    #[must_use]
    pub fn with_flipped(&self, row: usize, changes: &[Fact]) -> Self {
        let mut changed = self.clone();
        for &fact in changes {
            let facts = &mut changed.table.facts[row];
            *facts ^= 1 << fact as u32;
            let becomes = *facts >> fact as u32 & 1 == 1;
            for (narrow, wide) in super::literals::IMPLIED {
                if becomes && fact == narrow {
                    *facts |= 1 << wide as u32;
                }
                if !becomes && fact == wide {
                    *facts &= !(1 << narrow as u32);
                }
            }
        }
        changed
    }
}

/// Why one film stands above another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Score of the first less that of the second.
    pub difference: f64,
    /// Rules that hold for the first alone.
    pub only_first: Vec<RuleReason>,
    /// Rules that hold for the second alone.
    pub only_second: Vec<RuleReason>,
    /// Scores that differ, and by how much.
    pub scores: Vec<(&'static str, f64)>,
    /// The smallest change that turns the order round, if one of at most three facts does.
    pub counterfactual: Option<Counterfactual>,
}

impl Comparison {
    /// Adds up what is shown: the difference of the scores.
    pub fn sum(&self) -> f64 {
        let weights = |rules: &[RuleReason]| rules.iter().map(|rule| rule.weight).sum::<f64>();
        let scores: f64 = self.scores.iter().map(|(_, difference)| difference).sum();
        weights(&self.only_first) - weights(&self.only_second) + scores
    }
}

/// A fact that would have to be otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The fact.
    pub fact: &'static str,
    /// What it means.
    pub words: &'static str,
    /// What it would have to be.
    pub becomes: bool,
}

/// The smallest change of facts that turns two films round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counterfactual {
    /// Position of the film whose facts change.
    pub film: usize,
    /// The changes.
    pub changes: Vec<Change>,
    /// Its score now.
    pub score_before: f64,
    /// Its score with the changes.
    pub score_after: f64,
    /// Its place now.
    pub place_before: usize,
    /// Its place with the changes.
    pub place_after: usize,
}

fn scores_of(reasons: &Reasons) -> Vec<ScoreReason> {
    reasons
        .linear
        .iter()
        .map(|&(number, value, weight, contribution)| ScoreReason {
            name: Number::name(number),
            words: number.words(),
            value,
            weight,
            contribution,
        })
        .collect()
}
