//! Search beside the plainest program that could answer: random small catalogues, films compared one by one over lists
//! of words, no index, no graph, no sorting but one. Ids, scores and the order of ties are the same to the bit.
//!
//! A few dozen catalogues by default, `TITLECARD_CATALOGUES` for more; figures in `docs/reliability.md`. Tokens, pooled
//! vectors, the net and what a question means are taken from the program (they have tests of their own); BM25 with its
//! rounded lengths, cosines of rounded rows, popularity, years, filters, the sum and the order are written anew here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use titlecard_engine::catalogue::Film;
use titlecard_engine::config::Config;
use titlecard_engine::embedding::{Embedder, Pooling};
use titlecard_engine::graph::{self, Graph, entity_key};
use titlecard_engine::index::lexical::{FieldWeights, LexicalConfig};
use titlecard_engine::index::{SearchIndex, lexical_tokenizer, word_tokenizer};
use titlecard_engine::query::Understanding;
use titlecard_engine::rank::{FusionWeights, Knowledge};
use titlecard_engine::regressor::Regressor;
use titlecard_engine::search::{Engine, SearchError};
use titlecard_engine::text::{Tokenizer, TokenizerConfig, is_stop_word};
use wordvec::WordVectors;
use wordvec::encoder::{Side, StaticEncoder};

use crate::go_on;

/// Few words, so that films share them and scores tie; some come in several forms, some say nothing.
const WORDS: [&str; 18] = [
    "shark", "sharks", "beach", "war", "ship", "king", "kings", "love", "robot", "moon", "the", "of", "a",
    "it", "funny", "scary", "Žižek", "1985",
];
const GENRES: [&str; 4] = ["Horror", "Comedy", "Drama", "Western"];
const PEOPLE: [&str; 4] = ["Ann Lee", "Bo Xu", "Carla Diaz", "Deniz Ak"];
const DIM: usize = 3;

type Random = Xoshiro256PlusPlus;

fn words(random: &mut Random, n: std::ops::Range<usize>) -> String {
    let n = random.random_range(n);
    (0..n).map(|_| *WORDS.choose(random).unwrap()).collect::<Vec<_>>().join(" ")
}

fn some(random: &mut Random, of: &[&str]) -> Vec<String> {
    of.iter().filter(|_| random.random_bool(0.3)).map(|&name| name.to_owned()).collect()
}

fn catalogue(random: &mut Random) -> Vec<Film> {
    let n_films = random.random_range(1..14);
    let (with_plots, with_votes) = (random.random_bool(0.5), random.random_bool(0.6));
    (0..n_films)
        .map(|at| Film {
            id: format!("f{at}"),
            title: words(random, 1..4),
            // Lengths from 40 on are rounded in the index.
            tags: if random.random_bool(0.2) { words(random, 30..200) } else { words(random, 1..12) },
            overview: words(random, 0..10),
            plot: if with_plots && random.random_bool(0.6) { words(random, 1..30) } else { String::new() },
            original_title: random.random_bool(0.2).then(|| words(random, 1..3)),
            genres: some(random, &GENRES),
            cast: some(random, &PEOPLE),
            directors: some(random, &PEOPLE),
            year: random.random_bool(0.8).then(|| random.random_range(1970..2000)),
            votes: (with_votes && random.random_bool(0.8)).then(|| random.random_range(0..3000)),
            ..Film::default()
        })
        .collect()
}

/// A filter as it is written, and what it asks.
#[derive(Debug, Clone)]
enum Filter {
    Years(i32, i32),
    Genre(&'static str),
    Person(&'static str),
    Actor(&'static str),
    Director(&'static str),
    Title(&'static str),
}

impl Filter {
    fn random(random: &mut Random) -> Self {
        let from = random.random_range(1965..2005);
        match random.random_range(0..6) {
            0 => Self::Years(from, from + random.random_range(0..20)),
            1 => Self::Genre(GENRES.choose(random).unwrap()),
            2 => Self::Person(PEOPLE.choose(random).unwrap()),
            3 => Self::Actor(PEOPLE.choose(random).unwrap()),
            4 => Self::Director(PEOPLE.choose(random).unwrap()),
            _ => Self::Title(["shark", "moon", "ship"].choose(random).unwrap()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Years(from, to) => format!("year:{from}..{to}"),
            Self::Genre(name) => format!("genre:{}", name.to_lowercase()),
            Self::Person(name) => format!("person:\"{name}\""),
            Self::Actor(name) => format!("actor:\"{name}\""),
            Self::Director(name) => format!("director:\"{name}\""),
            Self::Title(word) => format!("title:{word}"),
        }
    }

    fn holds(&self, film: &Film) -> bool {
        let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
        match self {
            Self::Years(from, to) => film.year.is_some_and(|year| (*from..=*to).contains(&year)),
            Self::Genre(name) => has(&film.genres, name),
            Self::Person(name) => has(&film.cast, name) || has(&film.directors, name),
            Self::Actor(name) => has(&film.cast, name),
            Self::Director(name) => has(&film.directors, name),
            Self::Title(word) => entity_key(&film.title).split(' ').any(|other| other == *word),
        }
    }

    /// Whether any film says what this asks for; if none does, the filter is an error.
    fn is_known(&self, films: &[Film]) -> bool {
        match self {
            Self::Years(..) | Self::Title(_) => true,
            Self::Genre(_) => films.iter().any(|film| self.holds(film)),
            // People are people, whatever they did.
            Self::Person(name) | Self::Actor(name) | Self::Director(name) => {
                films.iter().any(|film| Self::Person(name).holds(film))
            }
        }
    }
}

/// A film passes if it meets all that is wanted, one of the spans of years, and nothing that is not wanted.
fn passes(film: &Film, filters: &[(Filter, bool)]) -> bool {
    let years: Vec<&Filter> = filters
        .iter()
        .filter(|(filter, wanted)| *wanted && matches!(filter, Filter::Years(..)))
        .map(|f| &f.0)
        .collect();
    let others = |filter: &Filter| !matches!(filter, Filter::Years(..));
    (years.is_empty() || years.iter().any(|filter| filter.holds(film)))
        && filters.iter().all(|(filter, wanted)| match wanted {
            true => !others(filter) || filter.holds(film),
            false => !filter.holds(film),
        })
}

/// Lengths are kept in eight bits: exact up to 40, then in steps that double every eighth: 42, 44, … 56, 60, 64, …
fn rounded_length(length: usize) -> usize {
    let (mut rounded, mut step, mut n) = (0, 1, 0);
    while rounded + step <= length {
        rounded += step;
        n += 1;
        if n >= 40 && (n - 40) % 8 == 0 {
            step *= 2;
        }
    }
    rounded
}

/// The formula in the head of `index/lexical.rs` over lists of words, in 32 bits and the order of fields and terms.
fn bm25(
    texts: &[Vec<Vec<String>>],
    weights: &[f32],
    terms: &[(String, f32)],
    config: &LexicalConfig,
    n_films: usize,
) -> Vec<f32> {
    let mut scores = vec![0.0; n_films];
    for (texts, weight) in texts.iter().zip(weights).filter(|(_, weight)| **weight != 0.0) {
        let average = texts.iter().map(Vec::len).sum::<usize>() as f32 / n_films as f32;
        for (term, worth) in terms {
            let n_matching = texts.iter().filter(|text| text.contains(term)).count() as f32;
            let idf = (1.0 + (n_films as f32 - n_matching + 0.5) / (n_matching + 0.5)).ln();
            for (score, text) in scores.iter_mut().zip(texts) {
                let frequency = text.iter().filter(|word| *word == term).count() as f32;
                if frequency > 0.0 {
                    let length = rounded_length(text.len()) as f32;
                    let norm = config.k1 * (1.0 - config.b + config.b * length / average);
                    *score += weight * worth * idf * (frequency * (config.k1 + 1.0) / (frequency + norm));
                }
            }
        }
    }
    let best = scores.iter().copied().fold(0.0, f32::max);
    if best > 0.0 {
        scores.iter_mut().for_each(|score| *score /= best);
    }
    scores
}

/// A vector as whole numbers of at most `levels`, and what one of them is worth where the vector has length 1.
fn rounded(vector: &[f32], levels: f32) -> (Vec<i64>, f32) {
    let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt() as f32;
    let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    if norm == 0.0 {
        return (vec![0; vector.len()], 0.0);
    }
    (vector.iter().map(|x| (x * (levels / largest)).round() as i64).collect(), largest / norm / levels)
}

fn cosine(query: &[f32], row: &[f32]) -> f32 {
    let ((query, query_scale), (row, row_scale)) = (rounded(query, 2047.0), rounded(row, 127.0));
    let sum: i64 = query.iter().zip(&row).map(|(a, b)| a * b).sum();
    sum as f32 * (query_scale * row_scale)
}

/// What does not change from catalogue to catalogue.
struct Models {
    embedder: Embedder,
    regressor: Regressor,
    encoder: StaticEncoder,
}

impl Models {
    fn new() -> Self {
        let mut random = Random::seed_from_u64(1);
        let mut vectors = |dim: usize| {
            let names = WORDS[..12].iter().map(|word| word.to_lowercase()).collect::<Vec<_>>();
            let data = (0..dim * names.len()).map(|_| random.random_range(-1.0..1.0)).collect();
            WordVectors::new(names, dim, data).unwrap()
        };
        let tokenizer = word_tokenizer(&Config::default());
        let embedder =
            Embedder::fit(Arc::new(vectors(DIM)), tokenizer, &["shark beach", "war ship king"]).unwrap();
        let saved = include_bytes!("../../../../fixtures/saved/regressor_v1.safetensors");
        let regressor = Regressor::from_bytes(saved).unwrap();
        let encoder = StaticEncoder::new(&vectors(4), &[2, 4], 5, 1).unwrap();
        Self { embedder, regressor, encoder }
    }
}

/// One catalogue with its settings, and all that can be known of its films without a question.
struct Case {
    films: Vec<Film>,
    config: Config,
    weights: [f32; 8],
    with_encoder: bool,
    /// Words of each field of each film, `[n_fields][n_films]`.
    texts: Vec<Vec<Vec<String>>>,
}

impl Case {
    fn random(random: &mut Random) -> Self {
        let films = catalogue(random);
        let mut config = Config::default();
        config.run.threads = 1;
        config.graph.is_a = false;
        config.search.year = 2020;
        config.search.weigh_words = random.random_bool(0.5);
        config.text.stem = random.random_bool(0.5);
        let mut weight =
            |share: f64| if random.random_bool(share) { random.random_range(0.1..2.0) } else { 0.0 };
        let mut fields: [f32; 6] = std::array::from_fn(|_| weight(0.6));
        fields[1] = weight(1.0);
        let mut weights: [f32; 8] = std::array::from_fn(|_| weight(0.6));
        weights[0] = weight(1.0);
        config.lexical = LexicalConfig {
            k1: random.random_range(0.0..3.0),
            b: random.random_range(0.0..1.0),
            weights: FieldWeights::from_array(fields),
        };
        let tokenizer = lexical_tokenizer(&config);
        let texts_of = |text_of: &dyn Fn(&Film) -> String| -> Vec<Vec<String>> {
            films.iter().map(|film| tokenizer.tokens(&text_of(film))).collect()
        };
        let lines = |lists: [&Vec<String>; 2]| lists.map(|list| list.join("\n")).join("\n");
        let texts = vec![
            texts_of(&|film| {
                [film.title.clone(), film.original_title.clone().unwrap_or_default()].join("\n")
            }),
            texts_of(&|film| film.tags.clone()),
            texts_of(&|film| film.overview.clone()),
            texts_of(&|film| lines([&film.cast, &film.directors])),
            texts_of(&|film| lines([&film.keywords, &film.genres])),
            texts_of(&|film| film.plot.clone()),
        ];
        Self { films, config, weights, with_encoder: random.random_bool(0.5), texts }
    }

    fn engine(&self, folder: &Path, models: &Models) -> Engine {
        let encoder = self.with_encoder.then_some(&models.encoder);
        let index = folder.join("index");
        SearchIndex::build(
            &index,
            &self.films,
            &models.embedder,
            &models.regressor,
            encoder,
            &self.config,
            &mut go_on,
        )
        .unwrap();
        let graph = folder.join("graph.tcg");
        graph::build(&graph, &self.films, &self.config.graph, &mut go_on).unwrap();
        let knowledge = Knowledge::new(Graph::open(&graph).unwrap(), &self.config.search);
        Engine::new(
            SearchIndex::open(&index, false).unwrap(),
            self.config.lexical,
            FusionWeights::from_array(self.weights),
        )
        .with_knowledge(knowledge)
    }

    /// Distinct terms of a question in order, with what each is worth.
    fn terms(
        &self,
        question: &str,
        described: std::ops::Range<usize>,
        understood: &Understanding,
    ) -> Vec<(String, f32)> {
        let mut terms: Vec<(String, String, f32, f32)> = Vec::new();
        lexical_tokenizer(&self.config).for_each_with_span(question, |term, span| {
            let worth = if self.config.search.weigh_words {
                understood.weight_at(span.start)
            } else {
                f32::from(u8::from(described.contains(&span.start)))
            };
            if worth > 0.0 {
                match terms.iter_mut().find(|known| known.0 == term) {
                    Some(known) => (known.2, known.3) = (known.2 + 1.0, known.3.max(worth)),
                    None => terms.push((term.to_owned(), question[span].to_owned(), 1.0, worth)),
                }
            }
        });
        if terms.iter().any(|term| !is_stop_word(&term.1)) {
            terms.retain(|term| !is_stop_word(&term.1));
        }
        terms.into_iter().map(|(term, _, count, worth)| (term, worth * (1.0 + count.ln()))).collect()
    }

    /// The score of every film, filters aside; none if nothing of the question is known. `place` is that of the
    /// description, between or beside filters.
    fn scores(
        &self,
        models: &Models,
        engine: &Engine,
        question: &str,
        place: std::ops::Range<usize>,
    ) -> Option<Vec<f32>> {
        let understood = engine.understand(question).unwrap();
        let described = &question[place.clone()];
        let terms = self.terms(question, place, &understood);
        let n_films = self.films.len();
        let mut fields = self.config.lexical.weights.as_array();
        let of_plots = std::mem::take(&mut fields[5]);
        let lexical = bm25(&self.texts, &fields, &terms, &self.config.lexical, n_films);
        let plot =
            bm25(&self.texts, &[0.0, 0.0, 0.0, 0.0, 0.0, of_plots], &terms, &self.config.lexical, n_films);

        let pooled = |embedder: &Embedder, text: &str, pooling: Pooling| {
            let mut vector = vec![0.0; DIM];
            (embedder.embed_into(text, pooling, &mut vector), vector)
        };
        // The index keeps word vectors in eight bits, for films and questions alike.
        let stored = &engine.index().embedder;
        let (n_known, by_sif) = pooled(stored, described, Pooling::Sif);
        let pooling = models.regressor.config().pooling;
        let predicted = models.regressor.predict_one(&pooled(stored, described, pooling).1);

        let tokenizer = Tokenizer::new(TokenizerConfig::default());
        let encode = |text: &str| {
            let (mut vector, tokens) = (vec![0.0; 4], tokenizer.tokens(text));
            models.encoder.encode(tokens.iter().map(String::as_str), Side::Document, &mut vector);
            vector
        };
        let asked = engine.index().encoded.as_ref().map(|encoded| encoded.question(described));
        let most = self.films.iter().map(|film| film.votes.unwrap_or(0)).max().unwrap();
        let release = understood.release().map(|release| release.release_years());

        let wants = |part: usize| self.weights[part] > 0.0;
        let is_known = lexical.iter().any(|&score| score > 0.0)
            || wants(1) && plot.iter().any(|&score| score > 0.0)
            || (wants(2) || wants(3)) && asked.as_ref().is_some_and(|asked| asked.iter().any(|&x| x != 0.0))
            || (wants(4) || wants(5)) && n_known > 0;
        let score = |(at, film): (usize, &Film)| {
            let with_asked = |text: String| asked.as_ref().map_or(0.0, |asked| cosine(asked, &encode(&text)));
            let parts = [
                lexical[at],
                plot[at],
                with_asked(format!("{}. {}", film.title, film.tags)),
                // Plots this short are one passage.
                if film.plot.is_empty() { 0.0 } else { with_asked(film.plot.clone()) },
                cosine(&by_sif, &pooled(stored, &film.tags, Pooling::Sif).1),
                if n_known == 0 { 0.0 } else { cosine(&predicted, &pooled(stored, &film.title, pooling).1) },
                match most {
                    0 => 0.0,
                    most => {
                        (f64::from(film.votes.unwrap_or(0)).ln_1p() * (1.0 / f64::from(most).ln_1p())) as f32
                    }
                },
                match release {
                    None | Some((None, None)) => 0.0,
                    Some((from, to)) => film.year.map_or(1.0 / 3.0, |year| {
                        let before = from.map_or(0, |from| from - year);
                        let after = to.map_or(0, |to| year - to);
                        1.0 - before.max(after).clamp(0, 10) as f32 / 10.0
                    }),
                },
            ];
            parts
                .iter()
                .zip(self.weights)
                .filter(|(_, weight)| *weight != 0.0)
                .fold(0.0, |sum, (x, w)| sum + w * x)
        };
        is_known.then(|| self.films.iter().enumerate().map(score).collect())
    }
}

/// How questions ended, by kind.
type Tally = BTreeMap<&'static str, usize>;

fn ask(case: &Case, models: &Models, engine: &Engine, random: &mut Random, name: &str, tally: &mut Tally) {
    let filters: Vec<(Filter, bool)> = match random.random_range(0..3) {
        0 => Vec::new(),
        n => (0..n).map(|_| (Filter::random(random), random.random_bool(0.7))).collect(),
    };
    let mut described = words(random, 1..7);
    if random.random_bool(0.3) {
        described += [" from the 1980s", " released in 1991", " made before 1979"].choose(random).unwrap();
    }
    let written: Vec<String> = filters
        .iter()
        .map(|(filter, wanted)| format!("{}{}", if *wanted { "" } else { "-" }, filter.written()))
        .collect();
    let written = written.join(" ");
    let (question, start) = match (written.as_str(), random.random_bool(0.5)) {
        ("", _) => (described.clone(), 0),
        (_, true) => (format!("{written} {described}"), written.len() + 1),
        (_, false) => (format!("{described} {written}"), 0),
    };
    let question = question.as_str();
    let place = format!("{name}: `{question}`");
    let k = random.random_range(1..16);
    let found = engine.search(question, k);
    let ended = match &found {
        Ok(_) => "answers",
        Err(SearchError::EmptyQuery) => "empty",
        Err(SearchError::NoKnownWord { .. }) => "nothing known",
        Err(SearchError::Filter(_)) => "unknown value",
        Err(SearchError::NothingPasses) => "nothing passes",
        Err(error) => panic!("{place}: {error}"),
    };
    *tally.entry(ended).or_default() += 1;
    let Some(scores) = case.scores(models, engine, question, start..start + described.len()) else {
        assert_eq!(ended, "nothing known", "{place}");
        return;
    };
    if filters.iter().any(|(filter, _)| !filter.is_known(&case.films)) {
        assert_eq!(ended, "unknown value", "{place}");
        return;
    }
    let mut expected: Vec<(usize, f32)> =
        scores.into_iter().enumerate().filter(|(at, _)| passes(&case.films[*at], &filters)).collect();
    if expected.is_empty() {
        assert_eq!(ended, "nothing passes", "{place}");
        return;
    }
    // A stable sort: films of one score stay in the order of the catalogue.
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    expected.truncate(k);
    let hits = found.unwrap_or_else(|error| panic!("{place}: {error}")).hits;
    let said: Vec<(&str, f64)> = hits.iter().map(|hit| (hit.film.id.as_str(), hit.score)).collect();
    let expected: Vec<(&str, f64)> =
        expected.iter().map(|&(at, score)| (case.films[at].id.as_str(), f64::from(score))).collect();
    assert_eq!(said, expected, "{place}");
    for hit in &hits {
        assert_eq!(hit.film, case.films[hit.film_idx], "{place}");
    }
    let ranked: Vec<(usize, f64)> = hits.iter().map(|hit| (hit.film_idx, hit.score)).collect();
    assert_eq!(engine.rank(question, k).unwrap(), ranked, "{place}");
}

#[test]
fn lengths_are_rounded_as_the_index_keeps_them() {
    for code in 0..=u8::MAX {
        let length = tantivy::fieldnorm::FieldNormReader::id_to_fieldnorm(code) as usize;
        // Beyond a million words the loop above is slow, and no text is as long.
        if length < 1_000_000 {
            assert_eq!(rounded_length(length), length, "code {code}");
            assert!(length == 0 || rounded_length(length - 1) < length, "code {code}");
        }
    }
}

#[test]
fn search_is_brute_force_on_random_catalogues() {
    const QUESTIONS: usize = 4;
    let n = std::env::var("TITLECARD_CATALOGUES")
        .map_or(40, |text| text.parse().expect("a number of catalogues"));
    let models = Models::new();
    let mut tally = Tally::new();
    for case in 0..n {
        let mut random = Random::seed_from_u64(case);
        let made = Case::random(&mut random);
        let folder = tempfile::tempdir().unwrap();
        let engine = made.engine(folder.path(), &models);
        for question in 0..QUESTIONS {
            let name = format!("catalogue {case}, question {question}");
            ask(&made, &models, &engine, &mut random, &name, &mut tally);
        }
    }
    eprintln!("{n} catalogues, {QUESTIONS} questions each: {tally:?}");
    assert!(tally["answers"] as u64 > n, "{tally:?}");
}
