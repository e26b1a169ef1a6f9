//! Random words for negative sampling.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Draws from some of the words with probability proportional to `count^0.75`, by the alias method
/// (Walker, 1977; Vose, 1991): one random number a draw.
#[derive(Debug)]
pub(crate) struct Noise {
    /// Share of a slot that is its own word's.
    own: Vec<f32>,
    /// Word of the rest of a slot.
    other: Vec<u32>,
}

impl Noise {
    pub(crate) fn new(words: &[u32], counts: &[u64]) -> Self {
        let n = words.len();
        let weights: Vec<f64> = words.iter().map(|&word| (counts[word as usize] as f64).powf(0.75)).collect();
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * n as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&slot| shares[slot] < 1.0);
        let (mut own, mut other) = (vec![1.0; n], (0..n as u32).collect::<Vec<u32>>());
        while let (Some(&from), Some(slot)) = (large.last(), small.pop()) {
            own[slot] = shares[slot] as f32;
            other[slot] = from as u32;
            shares[from] -= 1.0 - shares[slot];
            if shares[from] < 1.0 {
                large.pop();
                small.push(from);
            }
        }
        Self { own, other }
    }

    pub(crate) fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        let bits: u64 = rng.random();
        let slot = ((bits >> 32) * self.own.len() as u64) >> 32;
        let share = (bits & 0xff_ffff) as f32 / 16_777_216.0;
        if share < self.own[slot as usize] { slot as u32 } else { self.other[slot as usize] }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn noise_follows_the_counts() {
        let counts = [1_u64, 16, 81, 256];
        let noise = Noise::new(&[0, 1, 2, 3], &counts);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut drawn = [0_u32; 4];
        for _ in 0..200_000 {
            drawn[noise.draw(&mut rng) as usize] += 1;
        }
        // count^0.75 is 1, 8, 27, 64.
        for (drawn, weight) in drawn.iter().zip([1.0, 8.0, 27.0, 64.0]) {
            assert!((f64::from(*drawn) / 200_000.0 - weight / 100.0).abs() < 0.005, "{drawn} for {weight}");
        }
    }
}
