//! Lists of candidates to learn and to measure ranking by: pools as served, with the film sought marked.

use std::io::{self, Write};
use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::literals::{N_NUMBERS, Table};
use super::{N_PARTS, Pool};
use crate::artifact::{ArtifactError, write_atomically};
use crate::index::Encoded;
use crate::index::lexical::LexicalError;
use crate::progress::{Report, tell};
use crate::search::{Engine, Scores, SearchError};

/// One question with its candidates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct List {
    /// Candidates, best first by the first stage.
    pub pool: Pool,
    /// Row of the film sought, if it is among them.
    pub sought: Option<usize>,
    /// Its rank by the first stage among all films (ties share the mean).
    pub first_rank: f64,
    /// How many candidates of the pool each one stands for: more than 1 where only some were drawn. `[n_films]`.
    pub stands_for: Vec<f32>,
}

/// Which candidates of a pool to keep for training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// The best so many by the first stage.
    pub best: usize,
    /// So many of the others, drawn at random.
    pub random: usize,
    /// Seed of the draw.
    pub seed: u64,
}

/// A question to build a list for.
pub struct Wanted<'a> {
    /// What was asked.
    pub text: &'a str,
    /// Position of the film sought.
    pub sought: usize,
    /// Encoder to score with, where it is not that of the index.
    pub encoded: Option<&'a Encoded>,
}

/// Builds the lists of many questions, in their order.
///
/// # Errors
/// [`SearchError`] if the index cannot be read or the run was stopped.
pub fn build_lists(
    engine: &Engine,
    wanted: &[Wanted<'_>],
    sampling: Option<Sampling>,
    report: &mut Report<'_>,
) -> Result<Vec<List>, SearchError> {
    const BLOCK: usize = 64;
    let mut lists = Vec::with_capacity(wanted.len());
    for (block_at, block) in wanted.chunks(BLOCK).enumerate() {
        tell(report, "collecting candidates", lists.len(), wanted.len(), "")?;
        let built: Result<Vec<List>, LexicalError> = block
            .par_iter()
            .enumerate()
            .map_init(Scores::default, |scores, (at, wanted)| {
                let encoded = wanted.encoded.or(engine.index().encoded.as_ref());
                let (pool, _) = engine.pool(wanted.text, encoded, scores)?;
                let first_rank = crate::eval::metrics::mean_rank(&scores.total, wanted.sought);
                let sought = pool.films.iter().position(|&film| film as usize == wanted.sought);
                let stands_for = vec![1.0; pool.films.len()];
                let list = List { pool, sought, first_rank, stands_for };
                Ok(match sampling {
                    Some(sampling) => list.sampled(sampling, (block_at * BLOCK + at) as u64),
                    None => list,
                })
            })
            .collect();
        lists.extend(built?);
    }
    Ok(lists)
}

impl List {
    /// Keeps the film sought, the best candidates and some of the others, in their order.
    fn sampled(self, sampling: Sampling, number: u64) -> Self {
        let n = self.pool.films.len();
        if n <= sampling.best + sampling.random {
            return self;
        }
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(sampling.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut others: Vec<usize> = (sampling.best..n).collect();
        let (drawn, _) = others.partial_shuffle(&mut rng, sampling.random);
        let mut rows: Vec<usize> = (0..sampling.best).chain(drawn.to_vec()).chain(self.sought).collect();
        rows.sort_unstable();
        rows.dedup();
        let sought = self.sought.and_then(|sought| rows.iter().position(|&row| row == sought));
        // Those drawn stand for those left out; the film sought stands for itself.
        let others = (n - sampling.best) as f32 / sampling.random as f32;
        let is_drawn = |row: usize| row >= sampling.best && Some(row) != self.sought;
        let stands_for = rows.iter().map(|&row| if is_drawn(row) { others } else { 1.0 }).collect();
        Self { pool: self.pool.select(&rows), sought, first_rank: self.first_rank, stands_for }
    }
}

impl Pool {
    /// The candidates at `rows`, in that order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let numbers =
            |row: &usize| self.table.numbers[row * N_NUMBERS..(row + 1) * N_NUMBERS].iter().copied();
        Self {
            films: rows.iter().map(|&row| self.films[row]).collect(),
            parts: rows.iter().map(|&row| self.parts[row]).collect(),
            first: rows.iter().map(|&row| self.first[row]).collect(),
            table: Table {
                facts: rows.iter().map(|&row| self.table.facts[row]).collect(),
                numbers: rows.iter().flat_map(numbers).collect(),
            },
        }
    }
}

/// Writes lists for other learners: `films.u32`, `facts.u64`, `numbers.f32` (`[n_rows, N_NUMBERS]`), `parts.f32`
/// (`[n_rows, N_PARTS]`), `first.f32`,
/// `stands_for.f32`, and a list's `sizes.u32`, `sought.i32` (row, -1 if absent), `first_rank.f64`;
/// all little endian.
///
/// # Errors
/// [`ArtifactError`].
pub fn write_lists(folder: &Path, lists: &[List]) -> Result<(), ArtifactError> {
    std::fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
    let write = |name: &str, fill: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let path = folder.join(name);
        write_atomically(&path, |out| fill(out).map_err(ArtifactError::io("write", &path)))
    };
    let pools = || lists.iter().map(|list| &list.pool);
    write("films.u32", &|out| {
        pools().flat_map(|pool| &pool.films).try_for_each(|film| out.write_all(&film.to_le_bytes()))
    })?;
    write("facts.u64", &|out| {
        pools().flat_map(|pool| &pool.table.facts).try_for_each(|facts| out.write_all(&facts.to_le_bytes()))
    })?;
    write("numbers.f32", &|out| {
        pools().flat_map(|pool| &pool.table.numbers).try_for_each(|x| out.write_all(&x.to_le_bytes()))
    })?;
    write("parts.f32", &|out| {
        pools()
            .flat_map(|pool| pool.parts.iter().flat_map(|parts: &[f32; N_PARTS]| parts))
            .try_for_each(|x| out.write_all(&x.to_le_bytes()))
    })?;
    write("first.f32", &|out| {
        pools().flat_map(|pool| &pool.first).try_for_each(|x| out.write_all(&x.to_le_bytes()))
    })?;
    write("stands_for.f32", &|out| {
        lists.iter().flat_map(|list| &list.stands_for).try_for_each(|x| out.write_all(&x.to_le_bytes()))
    })?;
    write("sizes.u32", &|out| {
        pools().try_for_each(|pool| out.write_all(&(pool.films.len() as u32).to_le_bytes()))
    })?;
    write("sought.i32", &|out| {
        lists
            .iter()
            .try_for_each(|list| out.write_all(&list.sought.map_or(-1, |row| row as i32).to_le_bytes()))
    })?;
    write("first_rank.f64", &|out| {
        lists.iter().try_for_each(|list| out.write_all(&list.first_rank.to_le_bytes()))
    })
}

/// Reads what [`write_lists`] wrote.
///
/// # Errors
/// [`ArtifactError`] if files are missing or do not fit together.
pub fn read_lists(folder: &Path) -> Result<Vec<List>, ArtifactError> {
    const COMMAND: &str = "titlecard train ranker --dump";
    fn numbers<const N: usize, T>(
        folder: &Path,
        name: &str,
        of: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, ArtifactError> {
        let bytes = crate::artifact::read_bytes(&folder.join(name), COMMAND)?;
        Ok(bytes.as_chunks::<N>().0.iter().copied().map(of).collect())
    }
    let sizes = numbers(folder, "sizes.u32", u32::from_le_bytes)?;
    let sought = numbers(folder, "sought.i32", i32::from_le_bytes)?;
    let first_rank = numbers(folder, "first_rank.f64", f64::from_le_bytes)?;
    let films = numbers(folder, "films.u32", u32::from_le_bytes)?;
    let facts = numbers(folder, "facts.u64", u64::from_le_bytes)?;
    let first = numbers(folder, "first.f32", f32::from_le_bytes)?;
    let parts = numbers(folder, "parts.f32", f32::from_le_bytes)?;
    let values = numbers(folder, "numbers.f32", f32::from_le_bytes)?;
    let stands_for = numbers(folder, "stands_for.f32", f32::from_le_bytes)?;
    let n_rows: usize = sizes.iter().map(|&n| n as usize).sum();
    let fits = [
        films.len(),
        facts.len(),
        first.len(),
        stands_for.len(),
        parts.len() / N_PARTS,
        values.len() / N_NUMBERS,
    ] == [n_rows; 6]
        && [sought.len(), first_rank.len()] == [sizes.len(); 2];
    if !fits {
        let what = "files of different lists, or of another version".to_owned();
        return Err(ArtifactError::Damaged { path: folder.to_owned(), what, command: COMMAND });
    }
    let parts = parts.as_chunks::<N_PARTS>().0;
    let mut start = 0;
    Ok(sizes
        .iter()
        .zip(sought.iter().zip(&first_rank))
        .map(|(&size, (&sought, &first_rank))| {
            let rows = start..start + size as usize;
            start = rows.end;
            let pool = Pool {
                films: films[rows.clone()].to_vec(),
                parts: parts[rows.clone()].to_vec(),
                first: first[rows.clone()].to_vec(),
                table: Table {
                    facts: facts[rows.clone()].to_vec(),
                    numbers: values[rows.start * N_NUMBERS..rows.end * N_NUMBERS].to_vec(),
                },
            };
            let stands_for = stands_for[rows].to_vec();
            List { pool, sought: usize::try_from(sought).ok(), first_rank, stands_for }
        })
        .collect())
}

impl List {
    /// Rank of the film sought by the given scores of the pool, where a candidate drawn counts for those it stands
    /// for; behind the pool, that of the first stage.
    pub fn rank_by(&self, scores: &[f64]) -> f64 {
        let Some(sought) = self.sought else {
            let n_pool: f32 = self.stands_for.iter().sum();
            return self.first_rank.max(f64::from(n_pool) + 1.0);
        };
        let is_before =
            |row: usize| scores[row] > scores[sought] || scores[row] == scores[sought] && row < sought;
        let before = (0..scores.len()).filter(|&row| is_before(row));
        1.0 + before.map(|row| f64::from(self.stands_for[row])).sum::<f64>()
    }

    /// The candidates nobody stands for, if the film sought is among them: what a learner that cannot weigh
    /// candidates may learn from.
    pub(super) fn of_the_best(&self) -> Option<Self> {
        let sought = self.sought?;
        let first_drawn = self.stands_for.iter().position(|&n| n > 1.0).unwrap_or(self.pool.films.len());
        if sought >= first_drawn || first_drawn < 2 {
            return None;
        }
        let rows: Vec<usize> = (0..first_drawn).collect();
        let stands_for = vec![1.0; first_drawn];
        Some(Self {
            pool: self.pool.select(&rows),
            sought: Some(sought),
            first_rank: self.first_rank,
            stands_for,
        })
    }
}
