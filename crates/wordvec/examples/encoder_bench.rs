//! Trains and evaluates the static encoder on what `benchmarks/wordvec/retrieval_prepare.py` wrote.
//!
//! ```text
//! encoder_bench train SCRATCH VECTORS OUT.tcse [name=value ...]   train on the train split, then evaluate
//! encoder_bench evaluate SCRATCH ENCODER.tcse                     evaluate a saved encoder
//! encoder_bench averages SCRATCH VECTORS                          mean, SIF and idf of word vectors
//! encoder_bench speed SCRATCH ENCODER.tcse                        films encoded a second, one thread
//! ```
//!
//! One JSON object a result on stdout. Ranks count the films of higher score and half of those of equal
//! score. With `SCRATCH/subset.txt` (1 for films of a sub-catalogue), ranks inside it come too.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::too_many_lines, missing_docs)]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use wordvec::WordVectors;
use wordvec::encoder::{EncoderConfig, Pair, Side, StaticEncoder, TokenBag, hard_negatives, train_encoder};
use wordvec::pool::{self, Idf, Sif};
use wordvec::read::{self, ReadOptions};
use wordvec::similar::dot_many;
use wordvec::write::Precision;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["train", scratch, vectors, out, ref settings @ ..] => {
            train(Path::new(scratch), Path::new(vectors), Path::new(out), settings)
        }
        ["evaluate", scratch, encoder] => {
            let data = Data::read(Path::new(scratch))?;
            data.evaluate("static encoder", &StaticEncoder::open(Path::new(encoder))?);
            Ok(())
        }
        ["averages", scratch, vectors] => averages(Path::new(scratch), Path::new(vectors)),
        ["speed", scratch, encoder] => speed(Path::new(scratch), Path::new(encoder)),
        _ => Err("see the head of this example for its commands".into()),
    }
}

struct Question {
    answer: u32,
    has_title: bool,
    text: String,
}

struct Data {
    films: Vec<String>,
    in_train: Vec<bool>,
    in_subset: Option<Vec<bool>>,
    /// Name and questions.
    dev: Vec<(&'static str, Vec<Question>)>,
}

fn flags(path: &Path) -> Result<Vec<bool>> {
    Ok(std::fs::read_to_string(path)?.lines().map(|line| line == "1").collect())
}

fn questions(path: &Path) -> Result<Vec<Question>> {
    std::fs::read_to_string(path)?
        .lines()
        .map(|line| {
            let mut fields = line.splitn(3, '\t');
            let mut next = || fields.next().ok_or("a line of three fields");
            Ok(Question { answer: next()?.parse()?, has_title: next()? == "1", text: next()?.to_owned() })
        })
        .collect()
}

impl Data {
    fn read(scratch: &Path) -> Result<Self> {
        let dev = ["tot_dev", "descriptions_dev"];
        Ok(Self {
            films: std::fs::read_to_string(scratch.join("docs.txt"))?.lines().map(str::to_owned).collect(),
            in_train: flags(&scratch.join("docs_train.txt"))?,
            in_subset: flags(&scratch.join("subset.txt")).ok(),
            dev: dev
                .into_iter()
                .map(|name| Ok((name, questions(&scratch.join(format!("query_{name}.tsv")))?)))
                .collect::<Result<_>>()?,
        })
    }

    /// Ranks and figures of one way to make vectors.
    fn report(&self, method: &str, dim: usize, embed: &(dyn Fn(&str, Side, &mut [f32]) + Sync)) {
        let mut rows = vec![0.0; self.films.len() * dim];
        rows.par_chunks_mut(dim).zip(&self.films).for_each(|(row, film)| embed(film, Side::Document, row));
        for (name, questions) in &self.dev {
            let mut queries = vec![0.0; questions.len() * dim];
            queries.par_chunks_mut(dim).zip(questions).for_each(|(query, question)| {
                embed(&question.text, Side::Query, query);
            });
            let ranks = self.ranks(questions, dim, &queries, &rows);
            let own = |question: &Question| !question.has_title;
            for (which, size) in [
                (0, self.films.len()),
                (
                    1,
                    self.in_subset.as_ref().map_or(0, |subset| subset.iter().filter(|&&is_in| is_in).count()),
                ),
            ] {
                for without_titles in [false, true] {
                    let ranks: Vec<f64> = ranks
                        .iter()
                        .zip(questions)
                        .filter(|(_, question)| !without_titles || own(question))
                        .map(|(rank, _)| rank[which])
                        .collect();
                    if size > 0 {
                        println!("{}", figures(method, name, size, without_titles, &ranks));
                    }
                }
            }
        }
    }

    /// Rank of the answer of every question among all films and those of the sub-catalogue.
    ///
    /// Films in blocks that stay in a cache while all questions go past them: one question after the other
    /// would fetch all films from memory for each.
    fn ranks(&self, questions: &[Question], dim: usize, queries: &[f32], rows: &[f32]) -> Vec<[f64; 2]> {
        const BLOCK: usize = 512;
        let right: Vec<f32> = questions
            .iter()
            .zip(queries.chunks_exact(dim))
            .map(|(question, query)| {
                let at = question.answer as usize;
                let mut score = [0.0];
                dot_many(query, &rows[at * dim..(at + 1) * dim], &mut score);
                score[0]
            })
            .collect();
        let of_block = |(block, rows): (usize, &[f32])| {
            let first = block * BLOCK;
            let mut scores = vec![0.0; rows.len() / dim];
            let mut above = vec![[0.0; 2]; questions.len()];
            for (at, query) in queries.chunks_exact(dim).enumerate() {
                dot_many(query, rows, &mut scores);
                for (film, score) in scores.iter().enumerate().filter(|(_, score)| **score >= right[at]) {
                    let film = first + film;
                    // The answer itself is at the head of those of equal score.
                    let share = match film == questions[at].answer as usize {
                        true => 1.0,
                        false if *score > right[at] => 1.0,
                        false => 0.5,
                    };
                    above[at][0] += share;
                    if self.in_subset.as_ref().is_some_and(|subset| subset[film]) {
                        above[at][1] += share;
                    }
                }
            }
            above
        };
        rows.par_chunks(BLOCK * dim).enumerate().map(of_block).reduce(
            || vec![[0.0; 2]; questions.len()],
            |mut sum, above| {
                sum.iter_mut().zip(above).for_each(|(sum, above)| {
                    sum[0] += above[0];
                    sum[1] += above[1];
                });
                sum
            },
        )
    }

    fn evaluate(&self, method: &str, encoder: &StaticEncoder) {
        for &dim in encoder.dims() {
            let method = if dim == encoder.dim() {
                method.to_owned()
            } else {
                format!("{method}, {dim} of {}", encoder.dim())
            };
            self.report(&method, dim, &|text, side, row| {
                let mut full = vec![0.0; encoder.dim()];
                encoder.encode(text.split(' '), side, &mut full);
                row.copy_from_slice(wordvec::encoder::cut(&mut full, dim));
            });
        }
    }
}

fn figures(method: &str, set: &str, n_films: usize, without_titles: bool, ranks: &[f64]) -> String {
    let n = ranks.len() as f64;
    let within = |k: f64| ranks.iter().filter(|&&rank| rank <= k).count() as f64 / n;
    let mrr = ranks.iter().map(|rank| 1.0 / rank).sum::<f64>() / n;
    format!(
        "{{\"method\": \"{method}\", \"set\": \"{set}\", \"films\": {n_films}, \"without_own_title\": {without_titles}, \
         \"n\": {n}, \"mrr\": {mrr:.4}, \"s10\": {:.4}, \"r100\": {:.4}, \"r1000\": {:.4}}}",
        within(10.0),
        within(100.0),
        within(1000.0)
    )
}

fn train(scratch: &Path, vectors: &Path, out: &Path, settings: &[&str]) -> Result<()> {
    let mut config = EncoderConfig::default();
    let (mut share, mut n_buckets, mut rounds, mut tot_copies, mut report_all) =
        (1.0_f64, 1 << 16, 2, 4, true);
    let mut kinds = "plot rest totplot".to_owned();
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or("settings are name=value")?;
        match name {
            "epochs" => config.epochs = value.parse()?,
            "batch" => config.batch = value.parse()?,
            "hard" => config.hard_negatives = value.parse()?,
            "random" => config.random_negatives = value.parse()?,
            "temperature" => config.temperature = value.parse()?,
            "rate" => config.learning_rate = value.parse()?,
            "weight_rate" => config.weight_learning_rate = value.parse()?,
            "dropout" => config.dropout = value.parse()?,
            "seed" => config.seed = value.parse()?,
            "share" => share = value.parse()?,
            "buckets" => n_buckets = value.parse()?,
            "rounds" => rounds = value.parse()?,
            "tot_copies" => tot_copies = value.parse()?,
            "kinds" => kinds = value.replace('+', " "),
            "report" => report_all = value == "all",
            _ => return Err(format!("no setting {name}").into()),
        }
    }
    let data = Data::read(scratch)?;
    let (vectors, _) = read::read_path(vectors, &ReadOptions::default())?;
    let dims: Vec<usize> =
        [64, 128, 256].into_iter().filter(|dim| *dim < vectors.dim()).chain([vectors.dim()]).collect();
    let mut encoder = StaticEncoder::new(&vectors, &dims, n_buckets, config.seed)?;
    let bag = |text: &str| encoder.bag(text.split(' '));
    // Films of the train split only: nothing of another split takes part, not even as a negative.
    let mut number = vec![u32::MAX; data.films.len()];
    let mut documents: Vec<TokenBag> = Vec::new();
    for (at, film) in data.films.iter().enumerate().filter(|(at, _)| data.in_train[*at]) {
        number[at] = documents.len() as u32;
        documents.push(bag(film));
    }
    let n_films = documents.len() as u32;
    let mut pairs = Vec::new();
    // A share of the films, to see what more training data is worth.
    let wanted = |at: u32| f64::from(at.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX) < share;
    let mut n_real = 0;
    for name in ["tot_train", "descriptions_train"] {
        let copies = if name == "tot_train" { tot_copies } else { 1 };
        for question in questions(&scratch.join(format!("query_{name}.tsv")))? {
            let document = number[question.answer as usize];
            if wanted(question.answer) {
                n_real += 1;
                let pair = Pair { query: bag(&question.text), document, negatives: Vec::new() };
                pairs.extend(std::iter::repeat_n(pair, copies));
            }
        }
    }
    for (kind, line_number, line) in kinds
        .split_whitespace()
        .map(|kind| Ok((kind, std::fs::read_to_string(scratch.join(format!("pairs_{kind}.tsv")))?)))
        .collect::<Result<Vec<(&str, String)>>>()?
        .iter()
        .flat_map(|(kind, text)| text.lines().enumerate().map(|(at, line)| (*kind, at as u32, line)))
    {
        let (document, query) = line.split_once('\t').ok_or("a line of two fields")?;
        let is_number = kind == "plot";
        let (document, key) = if is_number {
            let at: u32 = document.parse()?;
            (number[at as usize], at)
        } else {
            documents.push(bag(document));
            (documents.len() as u32 - 1, line_number)
        };
        if wanted(key) {
            pairs.push(Pair { query: bag(query), document, negatives: Vec::new() });
        }
    }
    let started = Instant::now();
    let films: Vec<u32> = (0..n_films).collect();
    for round in 0..rounds {
        if round > 0 && config.hard_negatives > 0 {
            // Hard negatives are films, so they belong to queries whose documents are films.
            let (of_films, others): (Vec<Pair>, Vec<Pair>) =
                pairs.into_iter().partition(|pair| pair.document < n_films);
            let found = hard_negatives(&encoder, &documents, &films, &of_films, 5, 30);
            pairs =
                of_films.into_iter().zip(found).map(|(pair, negatives)| Pair { negatives, ..pair }).collect();
            pairs.extend(others);
        }
        let config = EncoderConfig { seed: config.seed + round, ..config.clone() };
        let (mut sum, mut n) = (0.0, 0);
        train_encoder(&mut encoder, &documents, &pairs, &config, &mut |state| {
            sum += state.loss;
            n += 1;
            if n == 50 || state.steps_done == state.steps_total {
                eprintln!(
                    "round {round} step {} of {}: loss {:.3}, {:.0} s",
                    state.steps_done,
                    state.steps_total,
                    sum / n as f32,
                    started.elapsed().as_secs_f64()
                );
                (sum, n) = (0.0, 0);
            }
            ControlFlow::Continue(())
        })?;
    }
    encoder.save(out, Precision::F16)?;
    println!(
        "{{\"trained\": \"{}\", \"share\": {share}, \"pairs\": {}, \"real_queries\": {n_real}, \"words\": {}, \"train_s\": {:.0}}}",
        settings.join(" "),
        pairs.len(),
        encoder.words().len(),
        started.elapsed().as_secs_f64()
    );
    if report_all {
        data.evaluate("static encoder", &encoder);
    } else {
        data.report("static encoder", encoder.dim(), &|text, side, row| {
            encoder.encode(text.split(' '), side, row);
        });
    }
    Ok(())
}

fn averages(scratch: &Path, vectors: &Path) -> Result<()> {
    let data = Data::read(scratch)?;
    let (vectors, _) = read::read_path(vectors, &ReadOptions::default())?;
    let dim = vectors.dim();
    let of_films = || data.films.iter().step_by(14).map(|film| film.split(' '));
    let (sif, idf) = (Sif::fit(&vectors, 1e-3, of_films())?, Idf::fit(&vectors, of_films()));
    let average = |pool: &(dyn Fn(&WordVectors, &str, &mut [f32]) -> usize + Sync), name: &str| {
        data.report(name, dim, &|text, _, row| {
            pool(&vectors, text, row);
            wordvec::encoder::cut(row, dim);
        });
    };
    average(&|vectors, text, row| sif.embed(vectors, text.split(' '), row), "word vectors, SIF");
    average(&|vectors, text, row| idf.embed(vectors, text.split(' '), row), "word vectors, idf");
    average(&|vectors, text, row| pool::mean(vectors, text.split(' '), row), "word vectors, mean");
    average(&|vectors, text, row| pool::max_abs(vectors, text.split(' '), row), "word vectors, max-abs");
    Ok(())
}

fn speed(scratch: &Path, encoder: &Path) -> Result<()> {
    let films = std::fs::read_to_string(scratch.join("docs.txt"))?;
    let encoder = StaticEncoder::open(encoder)?;
    let mut row = vec![0.0; encoder.dim()];
    let (mut n, mut sum) = (0_u32, 0.0);
    let started = Instant::now();
    for film in films.lines() {
        encoder.encode(film.split(' '), Side::Document, &mut row);
        sum += row[0];
        n += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{{\"films\": {n}, \"seconds\": {seconds:.2}, \"films_per_s\": {:.0}, \"sum\": {sum}}}",
        f64::from(n) / seconds
    );
    Ok(())
}
