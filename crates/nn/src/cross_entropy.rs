//! The last layer of a language model with its loss: logits, log-softmax and their gradients, for some
//! hundreds of positions at a time, without ever holding all logits.
//!
//! Logits are kept by token of the vocabulary (`[vocabulary, positions]`): a block of the weights makes a
//! block of memory that stays in the second cache while it is exponentiated, and again while its gradient
//! goes into both products. Exponentials are relative to the largest logit of their block and put right
//! by a factor a block once the sum over all blocks is known.

use rayon::prelude::*;

use crate::product::{Operand, multiply_strided};
use crate::simd::{exp, fma, wide};

/// Positions in one pass over the vocabulary.
const POSITIONS: usize = 256;
/// Tokens of the vocabulary in one block: with [`POSITIONS`] positions half a megabyte of logits.
const BLOCK: usize = 512;
/// Blocks whose part of the gradient by the hidden rows is summed up by one task.
const GROUP: usize = 8;

/// What a block's logits came to, for every position.
struct BlockSums {
    largest: Vec<f32>,
    sums: Vec<f32>,
}

/// Memory for logits, made once and used for every batch.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    shares: Vec<f32>,
}

/// Negative log-likelihood of every target.
///
/// - `hidden`: `[n, width]`; `targets`: `[n]`; `weight`: `[vocabulary, width]`.
///
/// # Panics
/// If lengths do not fit or a target is beyond the vocabulary.
pub fn negative_log_likelihood(
    hidden: &[f32],
    targets: &[u32],
    weight: &[f32],
    scratch: &mut Scratch,
) -> Vec<f32> {
    let mut losses = Vec::with_capacity(targets.len());
    let Some(width) = hidden.len().checked_div(targets.len()) else { return losses };
    for (hidden, targets) in hidden.chunks(POSITIONS * width).zip(targets.chunks(POSITIONS)) {
        losses.extend(Chunk::new(hidden, targets, weight, width, &mut scratch.shares).losses);
    }
    losses
}

/// The same with gradients of `scale · Σ loss`.
///
/// - `grad_hidden`: `[n, width]`, overwritten.
/// - `grad_weight`: `[vocabulary, width]`, if wanted; overwritten, or added to if `accumulate`.
///
/// # Panics
/// If lengths do not fit or a target is beyond the vocabulary.
#[allow(clippy::too_many_arguments, reason = "two inputs, two gradients, and how to write them")]
pub fn loss_and_gradients(
    hidden: &[f32],
    targets: &[u32],
    weight: &[f32],
    scale: f32,
    grad_hidden: &mut [f32],
    mut grad_weight: Option<&mut [f32]>,
    accumulate: bool,
    scratch: &mut Scratch,
) -> Vec<f32> {
    assert_eq!(hidden.len(), grad_hidden.len(), "lengths");
    let mut losses = Vec::with_capacity(targets.len());
    let Some(width) = hidden.len().checked_div(targets.len()) else {
        if let (Some(grad), false) = (grad_weight, accumulate) {
            grad.fill(0.0);
        }
        return losses;
    };
    let chunks = hidden.chunks(POSITIONS * width).zip(targets.chunks(POSITIONS));
    for (at, ((hidden, targets), grad_hidden)) in
        chunks.zip(grad_hidden.chunks_mut(POSITIONS * width)).enumerate()
    {
        let chunk = Chunk::new(hidden, targets, weight, width, &mut scratch.shares);
        losses.extend_from_slice(&chunk.losses);
        chunk.backward(scale, grad_hidden, grad_weight.as_deref_mut(), accumulate || at > 0);
    }
    losses
}

/// Some positions with their exponentiated logits.
struct Chunk<'a> {
    hidden: &'a [f32],
    targets: &'a [u32],
    weight: &'a [f32],
    width: usize,
    /// `[vocabulary, n]`: exponentials, relative to the largest of their block.
    shares: &'a mut [f32],
    /// For every block the factors that turn its exponentials into shares, `[n_blocks, n]`.
    factors: Vec<f32>,
    losses: Vec<f32>,
}

impl<'a> Chunk<'a> {
    fn new(
        hidden: &'a [f32],
        targets: &'a [u32],
        weight: &'a [f32],
        width: usize,
        shares: &'a mut Vec<f32>,
    ) -> Self {
        let n = targets.len();
        assert!(hidden.len() == n * width && weight.len().is_multiple_of(width), "lengths");
        let vocabulary = weight.len() / width;
        assert!(targets.iter().all(|&target| (target as usize) < vocabulary), "targets of the vocabulary");
        let mut turned = vec![0.0_f32; n * width];
        for (i, row) in hidden.chunks_exact(width).enumerate() {
            turned[i..].iter_mut().step_by(n).zip(row).for_each(|(to, from)| *to = *from);
        }
        let columns = Operand::rows_of(&turned, width, n);
        shares.resize(vocabulary * n, 0.0);
        let shares = shares.as_mut_slice();
        let blocks: Vec<(BlockSums, Vec<(usize, f32)>)> = shares
            .par_chunks_mut(BLOCK * n)
            .enumerate()
            .map(|(block, logits)| {
                let first = block * BLOCK;
                let rows = logits.len() / n;
                let weights = Operand::rows_of(&weight[first * width..], rows, width);
                multiply_strided(weights, columns, logits, n, 1.0, false);
                let own = targets.iter().enumerate().filter_map(|(i, &target)| {
                    let at = (target as usize).checked_sub(first).filter(|&at| at < rows)?;
                    Some((i, logits[at * n + i]))
                });
                let own: Vec<(usize, f32)> = own.collect();
                (exponentiate(logits, n), own)
            })
            .collect();
        let mut largest = vec![f32::NEG_INFINITY; n];
        for (block, _) in &blocks {
            largest.iter_mut().zip(&block.largest).for_each(|(a, b)| *a = a.max(*b));
        }
        let mut sums = vec![0.0_f64; n];
        for (block, _) in &blocks {
            for i in 0..n {
                sums[i] += f64::from(block.sums[i]) * f64::from(block.largest[i] - largest[i]).exp();
            }
        }
        let log_sums: Vec<f64> =
            sums.iter().zip(&largest).map(|(sum, top)| sum.ln() + f64::from(*top)).collect();
        let mut losses = vec![0.0; n];
        for &(i, logit) in blocks.iter().flat_map(|(_, own)| own) {
            losses[i] = (log_sums[i] - f64::from(logit)) as f32;
        }
        let factors = blocks
            .iter()
            .flat_map(|(block, _)| {
                block
                    .largest
                    .iter()
                    .zip(&log_sums)
                    .map(|(top, log_sum)| (f64::from(*top) - log_sum).exp() as f32)
            })
            .collect();
        Self { hidden, targets, weight, width, shares, factors, losses }
    }

    fn backward(
        self,
        scale: f32,
        grad_hidden: &mut [f32],
        grad_weight: Option<&mut [f32]>,
        accumulate: bool,
    ) {
        let (n, width) = (self.targets.len(), self.width);
        let (hidden, targets, weight, factors) = (self.hidden, self.targets, self.weight, &self.factors);
        // Parts of the gradient by the hidden rows, one a group, added up in order.
        let of_group = |group: usize, shares: &mut [f32], mut grad_weight: Option<&mut [f32]>| {
            let mut part = vec![0.0_f32; n * width];
            for (at, shares) in shares.chunks_mut(BLOCK * n).enumerate() {
                let block = group * GROUP + at;
                let first = block * BLOCK;
                let rows = shares.len() / n;
                let factors = &factors[block * n..][..n];
                wide(
                    #[inline(always)]
                    || {
                        for row in shares.chunks_exact_mut(n) {
                            row.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor * scale);
                        }
                    },
                );
                for (i, &target) in targets.iter().enumerate() {
                    if let Some(at) = (target as usize).checked_sub(first).filter(|&at| at < rows) {
                        shares[at * n + i] -= scale;
                    }
                }
                let slopes = Operand::rows_of(shares, rows, n);
                if let Some(grad) = &mut grad_weight {
                    let grad = &mut grad[at * BLOCK * width..][..rows * width];
                    multiply_strided(
                        slopes,
                        Operand::rows_of(hidden, n, width),
                        grad,
                        width,
                        1.0,
                        accumulate,
                    );
                }
                let weights = Operand::rows_of(&weight[first * width..], rows, width);
                multiply_strided(slopes.t(), weights, &mut part, width, 1.0, true);
            }
            part
        };
        let groups = self.shares.par_chunks_mut(GROUP * BLOCK * n).enumerate();
        let parts: Vec<Vec<f32>> = match grad_weight {
            Some(grad) => groups
                .zip(grad.par_chunks_mut(GROUP * BLOCK * width))
                .map(|((group, shares), grad)| of_group(group, shares, Some(grad)))
                .collect(),
            None => groups.map(|(group, shares)| of_group(group, shares, None)).collect(),
        };
        grad_hidden.fill(0.0);
        for part in parts {
            grad_hidden.iter_mut().zip(part).for_each(|(a, b)| *a += b);
        }
    }
}

/// `logits`: `[rows, n]`, become exponentials relative to the largest of their column.
fn exponentiate(logits: &mut [f32], n: usize) -> BlockSums {
    let mut largest = vec![f32::NEG_INFINITY; n];
    let mut sums = vec![0.0_f32; n];
    wide(
        #[inline(always)]
        || {
            for row in logits.chunks_exact(n) {
                for (top, x) in largest.iter_mut().zip(row) {
                    *top = if *x > *top { *x } else { *top };
                }
            }
            for row in logits.chunks_exact_mut(n) {
                for ((x, top), sum) in row.iter_mut().zip(&largest).zip(&mut sums) {
                    *x = exp(*x - top);
                    *sum = fma(*x, 1.0, *sum);
                }
            }
        },
    );
    BlockSums { largest, sums }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn losses_by_hand(hidden: &[f64], targets: &[u32], weight: &[f64]) -> Vec<f64> {
        let width = hidden.len() / targets.len();
        let rows = hidden.chunks_exact(width).zip(targets);
        rows.map(|(row, &target)| {
            let logits: Vec<f64> =
                weight.chunks_exact(width).map(|w| w.iter().zip(row).map(|(a, b)| a * b).sum()).collect();
            logits.iter().map(|x| x.exp()).sum::<f64>().ln() - logits[target as usize]
        })
        .collect()
    }

    #[test]
    fn losses_and_gradients_agree_with_plain_sums() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
        // More positions than a pass, more tokens than a group of blocks.
        let (n, width, vocabulary) = (POSITIONS + 3, 4, GROUP * BLOCK + 37);
        let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-2.0_f32..2.0)).collect::<Vec<f32>>();
        let (hidden, weight) = (draw(n * width), draw(vocabulary * width));
        let targets: Vec<u32> = (0..n).map(|i| ((i * 997) % vocabulary) as u32).collect();
        let double = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (hidden64, weight64) = (double(&hidden), double(&weight));
        let expected = losses_by_hand(&hidden64, &targets, &weight64);
        let mut grad_hidden = vec![9.0; hidden.len()];
        let mut grad_weight = vec![1.0; weight.len()];
        let mut scratch = Scratch::default();
        let losses = loss_and_gradients(
            &hidden,
            &targets,
            &weight,
            0.5,
            &mut grad_hidden,
            Some(&mut grad_weight),
            true,
            &mut scratch,
        );
        for (found, expected) in losses.iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
        assert_eq!(negative_log_likelihood(&hidden, &targets, &weight, &mut scratch), losses);

        let mut fresh = vec![7.0; weight.len()];
        loss_and_gradients(
            &hidden,
            &targets,
            &weight,
            0.5,
            &mut grad_hidden,
            Some(&mut fresh),
            false,
            &mut scratch,
        );
        let numeric = |of_hidden: bool, at: usize| {
            let moved = |by: f64| {
                let (mut hidden, mut weight) = (hidden64.clone(), weight64.clone());
                if of_hidden {
                    hidden[at] += by;
                } else {
                    weight[at] += by;
                }
                0.5 * losses_by_hand(&hidden, &targets, &weight).iter().sum::<f64>()
            };
            (moved(1e-4) - moved(-1e-4)) / 2e-4
        };
        for at in [0, 7, POSITIONS * width + 1] {
            assert!((f64::from(grad_hidden[at]) - numeric(true, at)).abs() < 1e-5, "hidden {at}");
        }
        for at in [0, 997 * width + 2, weight.len() - 1] {
            let slope = numeric(false, at);
            assert!((f64::from(fresh[at]) - slope).abs() < 1e-5, "weight {at}");
            assert!((f64::from(grad_weight[at]) - 1.0 - slope).abs() < 1e-5, "added to {at}");
        }
        let mut without = vec![0.0; hidden.len()];
        loss_and_gradients(
            &hidden,
            &targets,
            &weight,
            0.5,
            &mut without,
            None,
            false,
            &mut Scratch::default(),
        );
        assert_eq!(without, grad_hidden);
    }

    #[test]
    fn large_logits_stay_finite() {
        let losses =
            negative_log_likelihood(&[100.0, 0.0], &[1], &[10.0, 0.0, -10.0, 0.0], &mut Scratch::default());
        assert_eq!(losses, [2000.0]);
        let mut grad = [0.0; 2];
        loss_and_gradients(
            &[100.0, 0.0],
            &[1],
            &[10.0, 0.0, -10.0, 0.0],
            1.0,
            &mut grad,
            None,
            false,
            &mut Scratch::default(),
        );
        assert_eq!(grad, [20.0, 0.0]);
    }

    #[test]
    fn no_positions_are_no_loss() {
        assert!(negative_log_likelihood(&[], &[], &[1.0, 2.0], &mut Scratch::default()).is_empty());
        let mut grad = [5.0, 5.0];
        assert!(
            loss_and_gradients(
                &[],
                &[],
                &[1.0, 2.0],
                1.0,
                &mut [],
                Some(&mut grad),
                false,
                &mut Scratch::default()
            )
            .is_empty()
        );
        assert_eq!(grad, [0.0, 0.0]);
    }
}
