//! Which words are near which: neighbours, analogies, the one that does not match.
//!
//! Cosines are summed in `f64` in a fixed order, so results are the same on any number of threads; ties
//! come in word order.

use rayon::prelude::*;

use crate::kernels::{Kernels, LANES};
use crate::{WordTable, WordVecError};

/// The `k` words nearest to `query` by cosine with their cosines, best first; ties in word order.
///
/// - `query`: `[dim]`.
/// - `exclude`: words left out, such as those the query was made from.
///
/// # Panics
/// If `query` has another length than the vectors.
pub fn nearest(
    vectors: &(impl WordTable + Sync + ?Sized),
    query: &[f32],
    k: usize,
    exclude: &[&str],
) -> Vec<(usize, f32)> {
    assert_eq!(query.len(), vectors.dim(), "one value a dimension");
    let exclude: Vec<usize> = exclude.iter().filter_map(|word| vectors.index_of(word)).collect();
    let query_length = length(query);
    best(vectors, k, &exclude, |row| {
        let lengths = length(row) * query_length;
        if lengths > 0.0 { (dot(row, query) / lengths) as f32 } else { 0.0 }
    })
}

/// `a` is to `b` as `c` is to the result (3CosAdd): the words nearest to `b̂ - â + ĉ`, with hats for
/// vectors of length 1 and the three words left out.
///
/// # Errors
/// [`WordVecError::UnknownWord`].
///
/// # Source
/// Mikolov, Yih and Zweig, *Linguistic regularities in continuous space word representations* (2013).
pub fn analogy(
    vectors: &(impl WordTable + Sync + ?Sized),
    [a, b, c]: [&str; 3],
    k: usize,
) -> Result<Vec<(usize, f32)>, WordVecError> {
    combine(vectors, &[b, c], &[a], k)
}

/// The words nearest to the mean of `positive` words and negated `negative` words, each of length 1;
/// all of them left out. gensim's `most_similar`.
///
/// # Errors
/// [`WordVecError::UnknownWord`].
pub fn combine(
    vectors: &(impl WordTable + Sync + ?Sized),
    positive: &[&str],
    negative: &[&str],
    k: usize,
) -> Result<Vec<(usize, f32)>, WordVecError> {
    let mut query = vec![0.0; vectors.dim()];
    for (words, sign) in [(positive, 1.0), (negative, -1.0)] {
        for word in words {
            let at = position(vectors, word)?;
            let norm = length(&vectors.row_at(at)) as f32;
            vectors.add_row(at, if norm > 0.0 { sign / norm } else { 0.0 }, &mut query);
        }
    }
    let given: Vec<&str> = positive.iter().chain(negative).copied().collect();
    Ok(nearest(vectors, &query, k, &given))
}

/// [`analogy`] by 3CosMul, which keeps one large similarity from outweighing the others: the words `x`
/// with the largest `s(x,b) · s(x,c) / (s(x,a) + ε)`, with `s = (1 + cosine) / 2` and `ε` = 10⁻⁶ as in
/// gensim (the paper has 10⁻³).
///
/// # Errors
/// [`WordVecError::UnknownWord`].
///
/// # Source
/// Levy and Goldberg, *Linguistic regularities in sparse and explicit word representations* (2014).
pub fn analogy_multiplied(
    vectors: &(impl WordTable + Sync + ?Sized),
    [a, b, c]: [&str; 3],
    k: usize,
) -> Result<Vec<(usize, f32)>, WordVecError> {
    let given = [position(vectors, a)?, position(vectors, b)?, position(vectors, c)?];
    let rows = given.map(|at| vectors.row_at(at).into_owned());
    let lengths = [length(&rows[0]), length(&rows[1]), length(&rows[2])];
    Ok(best(vectors, k, &given, |row| {
        let own = length(row);
        let shifted = |at: usize| {
            let lengths = own * lengths[at];
            f64::midpoint(1.0, if lengths > 0.0 { dot(row, &rows[at]) / lengths } else { 0.0 })
        };
        (shifted(1) * shifted(2) / (shifted(0) + 1e-6)) as f32
    }))
}

/// The word least like the others: the smallest cosine with the mean of all, each of length 1.
///
/// # Errors
/// [`WordVecError::UnknownWord`], or [`WordVecError::TooFewWords`] for fewer than three words.
pub fn doesnt_match<'w>(
    vectors: &(impl WordTable + ?Sized),
    words: &[&'w str],
) -> Result<&'w str, WordVecError> {
    let rows: Vec<Vec<f32>> = words
        .iter()
        .map(|word| {
            let mut row = vectors.row_at(position(vectors, word)?).into_owned();
            let norm = length(&row) as f32;
            row.iter_mut().for_each(|x| *x /= norm.max(f32::MIN_POSITIVE));
            Ok(row)
        })
        .collect::<Result<_, WordVecError>>()?;
    let mut mean = vec![0.0_f32; vectors.dim()];
    for row in &rows {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / rows.len() as f32);
    }
    let scores = rows.iter().map(|row| dot(row, &mean));
    let least = words.iter().zip(scores).min_by(|a, b| a.1.total_cmp(&b.1));
    match least {
        Some((word, _)) if words.len() >= 3 => Ok(word),
        _ => Err(WordVecError::TooFewWords { found: words.len(), least: 3 }),
    }
}

/// Cosine of two words.
///
/// # Errors
/// [`WordVecError::UnknownWord`].
pub fn similarity(vectors: &(impl WordTable + ?Sized), a: &str, b: &str) -> Result<f32, WordVecError> {
    let (a, b) = (vectors.row_at(position(vectors, a)?), vectors.row_at(position(vectors, b)?));
    let lengths = length(&a) * length(&b);
    Ok(if lengths > 0.0 { (dot(&a, &b) / lengths) as f32 } else { 0.0 })
}

/// Dot products of `query` with many rows, in the widest vectors the processor has; to `f32` rounding,
/// and with bits that depend on the processor.
///
/// - `query`: `[dim]`. - `rows`: `[n, dim]`, row-major. - `scores`: `[n]`, overwritten.
///
/// # Panics
/// If the sizes do not fit together.
pub fn dot_many(query: &[f32], rows: &[f32], scores: &mut [f32]) {
    assert_eq!(rows.len(), query.len() * scores.len(), "one row a score");
    if query.len().is_multiple_of(LANES) {
        (Kernels::fast().dots)(query, rows, scores);
    } else {
        for (score, row) in scores.iter_mut().zip(rows.chunks_exact(query.len())) {
            *score = dot(query, row) as f32;
        }
    }
}

fn position(vectors: &(impl WordTable + ?Sized), word: &str) -> Result<usize, WordVecError> {
    vectors.index_of(word).ok_or_else(|| WordVecError::UnknownWord(word.to_owned()))
}

/// Rows scored at a time by one thread.
const BLOCK: usize = 4096;

/// The `k` positions of highest score.
fn best(
    vectors: &(impl WordTable + Sync + ?Sized),
    k: usize,
    exclude: &[usize],
    score: impl Fn(&[f32]) -> f32 + Sync,
) -> Vec<(usize, f32)> {
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let n_blocks = vectors.len().div_ceil(BLOCK);
    let mut found: Vec<(usize, f32)> = (0..n_blocks)
        .into_par_iter()
        .flat_map_iter(|block| {
            let mut scored: Vec<(usize, f32)> = (block * BLOCK..vectors.len().min((block + 1) * BLOCK))
                .filter(|at| !exclude.contains(at))
                .map(|at| (at, score(&vectors.row_at(at))))
                .collect();
            if scored.len() > k && k > 0 {
                scored.select_nth_unstable_by(k - 1, order);
            }
            scored.truncate(k);
            scored
        })
        .collect();
    found.sort_unstable_by(order);
    found.truncate(k);
    found
}

pub(crate) fn length(v: &[f32]) -> f64 {
    dot(v, v).sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Four sums, so that one addition need not wait for the one before.
    let mut sums = [0.0_f64; 4];
    let (a_chunks, a_rest) = a.as_chunks::<4>();
    let (b_chunks, b_rest) = b.as_chunks::<4>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..4 {
            sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    sums.iter().sum::<f64>()
        + a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WordVectors;

    fn vectors() -> WordVectors {
        let words = ["king", "queen", "man", "woman", "apple"].map(String::from).to_vec();
        WordVectors::new(
            words,
            3,
            vec![1.0, 1.0, 0.0, 1.0, -1.0, 0.0, 0.2, 1.0, 0.1, 0.2, -1.0, 0.1, 0.0, 0.1, 3.0],
        )
        .unwrap()
    }

    #[test]
    fn analogies_and_the_odd_one() {
        let vectors = vectors();
        let word = |found: Vec<(usize, f32)>| vectors.words()[found[0].0].clone();
        assert_eq!(word(analogy(&vectors, ["man", "king", "woman"], 1).unwrap()), "queen");
        assert_eq!(word(analogy_multiplied(&vectors, ["man", "king", "woman"], 1).unwrap()), "queen");
        assert_eq!(doesnt_match(&vectors, &["king", "apple", "man"]).unwrap(), "apple");
        assert!(matches!(analogy(&vectors, ["man", "king", "pear"], 1), Err(WordVecError::UnknownWord(_))));
        assert!(matches!(doesnt_match(&vectors, &["king", "man"]), Err(WordVecError::TooFewWords { .. })));
        assert!((similarity(&vectors, "king", "queen").unwrap()).abs() < 1e-6);
    }

    #[test]
    fn many_products_are_those_of_single_rows() {
        for dim in [5, 32] {
            let rows: Vec<f32> = (0..7 * dim).map(|at| (at * 37 % 19) as f32 - 9.0).collect();
            let query: Vec<f32> = (0..dim).map(|at| at as f32 * 0.5 - 3.0).collect();
            let mut scores = [0.0; 7];
            dot_many(&query, &rows, &mut scores);
            for (score, row) in scores.iter().zip(rows.chunks_exact(dim)) {
                assert!((f64::from(*score) - dot(&query, row)).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn the_best_are_in_order_over_many_blocks() {
        let n = 3 * BLOCK + 17;
        let words = (0..n).map(|at| at.to_string()).collect();
        // Angles from 0 to below a right angle, in shuffled order.
        let angle = |at: usize| (at * 7919 % n) as f32 / n as f32;
        let data = (0..n).flat_map(|at| [angle(at).cos(), angle(at).sin()]).collect();
        let vectors = WordVectors::new(words, 2, data).unwrap();
        let found = nearest(&vectors, &[2.0, 0.0], 50, &["0"]);
        let mut expected: Vec<usize> = (1..n).collect();
        expected.sort_by(|a, b| angle(*a).total_cmp(&angle(*b)));
        // Cosines of very small angles are equal in f32; those come in word order.
        for (pair, cosine) in found.iter().zip(&expected).map(|(found, at)| (found, angle(*at).cos())) {
            assert!((pair.1 - cosine).abs() < 1e-6);
        }
        assert!(found.is_sorted_by(|a, b| a.1 > b.1 || a.1 == b.1 && a.0 < b.0));
    }
}
