//! The films worth ranking for a question, with everything the rules may ask of them.

use super::literals::{Fact, KnownGenres, N_NUMBERS, Number, QuestionFacts, Table, facts_of_film};
use super::{N_PARTS, top_k};
use crate::config::SearchConfig;
use crate::graph::Graph;
use crate::index::vectors::RoundedQuery;
use crate::index::{Encoded, SearchIndex};
use crate::query::{Lexicon, Role, Understander, Understanding};
use crate::search::Scores;

/// The graph of the catalogue, and what understands questions by its names.
pub struct Knowledge {
    graph: Graph,
    understander: Understander,
    known_genres: KnownGenres,
    year_of_questions: i32,
    /// Whether words are weighed by what they say of the film.
    weighs_words: bool,
}

impl Knowledge {
    /// From an opened graph; its names are put in order first, which takes some 300 ms for 280,000 films
    /// ([`Knowledge::with_names`] has them ready).
    pub fn new(graph: Graph, config: &SearchConfig) -> Self {
        let names = Lexicon::of_graph(&graph);
        Self::with_names(graph, names, config)
    }

    /// From an opened graph and its names.
    pub fn with_names(graph: Graph, names: Lexicon, config: &SearchConfig) -> Self {
        let known_genres = KnownGenres::of(&graph);
        Self {
            understander: Understander::new(names),
            known_genres,
            graph,
            year_of_questions: config.year_of_questions(),
            weighs_words: config.weigh_words,
        }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether words of a question are weighed by what they say of the film.
    pub fn weighs_words(&self) -> bool {
        self.weighs_words
    }

    /// What `query` says.
    pub fn understand(&self, query: &str) -> Understanding {
        self.understander.understand(query, self.year_of_questions)
    }
}

/// Candidates for one question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pool {
    /// Their positions in the catalogue, best first by the first stage.
    pub films: Vec<u32>,
    /// Parts of the first stage, `[n_films][N_PARTS]`.
    pub parts: Vec<[f32; N_PARTS]>,
    /// Scores of the first stage, `[n_films]`.
    pub first: Vec<f32>,
    /// Facts and numbers.
    pub table: Table,
}

/// Sentences of a question that are compared with films one by one, at most.
const MAX_SENTENCES: usize = 12;
/// Shortest sentence worth comparing, in bytes.
const SENTENCE_BYTES: usize = 25;
/// What a sentence must be worth to be compared.
const SENTENCE_WORTH: f32 = 0.5;
/// Films whose place in a source counts.
const AGREEMENT_DEPTH: usize = 1_000;

impl Pool {
    /// The `size` best films by the first stage and the films the question names, with their facts.
    pub fn new(
        query: &str,
        understood: &Understanding,
        scores: &Scores,
        index: &SearchIndex,
        encoded: Option<&Encoded>,
        knowledge: &Knowledge,
        size: usize,
    ) -> Self {
        let question = QuestionFacts::new(understood, &knowledge.graph);
        // Films that do not pass the filters of the question have no score.
        let passes = |film: &u32| scores.total[*film as usize] > f32::NEG_INFINITY;
        let best = top_k(&scores.total, size).into_iter().map(|film| film as u32);
        let mut films: Vec<u32> = best.filter(passes).collect();
        // Films that are named come in, however they score; few are.
        let mut named: Vec<u32> =
            question.films().filter(|(_, is_meant)| *is_meant).map(|(film, _)| film).collect();
        named.sort_unstable();
        for film in named.into_iter().filter(passes).take(size / 10) {
            if !films.contains(&film) {
                if films.len() == size {
                    films.pop();
                }
                films.insert(0, film);
            }
        }
        films.sort_by(|&a, &b| scores.total[b as usize].total_cmp(&scores.total[a as usize]).then(a.cmp(&b)));

        let parts: Vec<[f32; N_PARTS]> = films.iter().map(|&film| scores.parts(film as usize)).collect();
        let first: Vec<f32> = films.iter().map(|&film| scores.total[film as usize]).collect();
        let sentences: Vec<RoundedQuery> = encoded.map_or_else(Vec::new, |encoded| {
            understood
                .sentences
                .iter()
                .filter(|sentence| sentence.role != Role::Talk && sentence.weight >= SENTENCE_WORTH)
                .map(|sentence| sentence.span.of(query))
                .filter(|sentence| sentence.len() >= SENTENCE_BYTES)
                .take(MAX_SENTENCES)
                .map(|sentence| RoundedQuery::new(&encoded.question(sentence)))
                .collect()
        });
        let mut table =
            Table { facts: Vec::with_capacity(films.len()), numbers: vec![0.0; films.len() * N_NUMBERS] };
        for (row, &film) in films.iter().enumerate() {
            let at = film as usize;
            let year = index.facts.year(at);
            let mut found = facts_of_film(&question, &knowledge.graph, &knowledge.known_genres, film, year);
            let has_plot = index.facts.with_plot().binary_search(&film).is_ok();
            found.facts |= u64::from(has_plot) << Fact::HasPlot as u32;
            found.facts |= u64::from(index.facts.is_brief(at)) << Fact::IsShortOverview as u32;
            table.facts.push(found.facts);
            let numbers = &mut table.numbers[row * N_NUMBERS..(row + 1) * N_NUMBERS];
            let mut set = |number: Number, value: f32| numbers[number as usize] = value;
            let [lexical, plot, encoder, plot_encoder, vectors, regression, popularity, _] = parts[row];
            set(Number::Lexical, lexical);
            set(Number::Plot, plot);
            set(Number::Encoder, encoder);
            set(Number::PlotEncoder, plot_encoder);
            set(Number::EncoderBest, encoder.max(plot_encoder));
            set(Number::Vectors, vectors);
            set(Number::Regression, regression);
            set(Number::Popularity, popularity);
            set(Number::FirstStage, first[row]);
            set(Number::FirstPlace, place_value(row));
            let best_sentence = encoded.map_or(0.0, |encoded| {
                sentences
                    .iter()
                    .map(|sentence| {
                        let record = encoded.with_record(sentence, at);
                        encoded.with_plot(sentence, &index.facts, at).map_or(record, |plot| record.max(plot))
                    })
                    .fold(0.0, f32::max)
            });
            set(Number::BestSentence, best_sentence);
            set(Number::Year, year.map_or(f32::NAN, |year| year as f32));
            let [years_off, genres, rarity] = found.numbers;
            set(Number::YearsOff, years_off);
            set(Number::GenresShared, genres);
            set(Number::TopicRarity, rarity);
        }
        for (number, place) in [
            (Number::Lexical, Number::LexicalPlace),
            (Number::Plot, Number::PlotPlace),
            (Number::EncoderBest, Number::EncoderPlace),
        ] {
            let values: Vec<f32> = (0..films.len()).map(|row| table.number(row, number)).collect();
            for (at, row) in top_k(&values, AGREEMENT_DEPTH).into_iter().enumerate() {
                let value = if values[row] > 0.0 { place_value(at) } else { 0.0 };
                table.numbers[row * N_NUMBERS + place as usize] = value;
            }
        }
        Self { films, parts, first, table }
    }
}

impl Pool {
    /// Rank of a film by the given scores, if it is in the pool; of equal scores the first stage decides.
    pub fn rank_of(&self, scores: &[f64], film: usize) -> Option<f64> {
        let sought = self.films.iter().position(|&other| other as usize == film)?;
        let is_before =
            |row: usize| scores[row] > scores[sought] || scores[row] == scores[sought] && row < sought;
        Some(1.0 + (0..self.films.len()).filter(|&row| is_before(row)).count() as f64)
    }
}

/// `1 / (1 + log2(place))` of a place counted from 0: 1 for the first, falling slowly.
fn place_value(at: usize) -> f32 {
    1.0 / (1.0 + ((at + 1) as f32).log2())
}
