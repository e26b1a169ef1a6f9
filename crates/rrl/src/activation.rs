//! The soft functions behind the logical nodes, whose derivatives guide training.
//!
//! A node sees its binary inputs through the marks `m_j`: for a conjunction `m_j = 1` where the input is
//! 0 (the input can break it), for a disjunction where the input is 1 (the input can make it true). Over
//! binary inputs both published functions then depend on the weights through one sum per node,
//! `S = sum over m_j = 1 of term(w_j)`:
//!
//! | | product with projection | NLAF |
//! |---|---|---|
//! | `term(w)` | `ln(1 - w)` | `u(1) u(w)`, `u(v) = z / (1 - z)`, `z = (alpha v)^beta` |
//! | truth of a conjunction | `1 / (1 - S)` | `(1 + S)^-gamma` |
//! | truth of a disjunction | one minus that | one minus that |
//! | slope in `S`, without sign | `P^2`, or `1 / (1 - 2 ln P)` if estimated | `gamma (1 + S)^(-gamma - 1)` |
//! | `factor(w)` | `1 / (1 - w + 1e-10)` | `u(1) u'(w)` |
//!
//! and the derivative in `w_j` is `-+ slope * m_j * factor(w_j)`, minus for conjunctions.
//! Source: Wang et al., arXiv:2109.15103 (product, projection, estimate) and arXiv:2310.14336 (NLAF).

// Whether these few instructions are part of a kernel decides which instructions they are compiled to.
#![allow(clippy::inline_always)]

use serde::{Deserialize, Serialize};

use crate::real::Real;

/// Keeps divisions by `1 - w` finite, as the reference does.
pub(crate) const EPSILON: f64 = 1e-10;

/// The soft function whose derivative trains the logical weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// Product of the inputs that count, projected by `1 / (1 - ln product)`.
    Product {
        /// Replace the projection's slope `P^2` by the larger `1 / (1 - 2 ln P)`.
        estimated: bool,
    },
    /// The novel logical activation functions of 2023, which need no logarithm.
    Nlaf {
        /// Scale of the inputs, in (0, 1).
        alpha: f64,
        /// Power of the inputs, above 1.
        beta: f64,
        /// Power of the sum, positive.
        gamma: f64,
    },
}

impl Activation {
    /// The product with the plain slope of the projection.
    pub const PRODUCT: Self = Self::Product { estimated: false };
    /// NLAF with alpha .9, beta 3, gamma 3, the mildest of the recommended settings.
    pub const NLAF: Self = Self::Nlaf { alpha: 0.9, beta: 3.0, gamma: 3.0 };
}

/// One activation with its constants fixed, so that inner loops are compiled for it.
pub(crate) trait Soft<R: Real>: Copy + Send + Sync {
    /// What one marked input of weight `w` adds to the sum of a node.
    fn term(self, w: R) -> R;
    /// The part of the weight's derivative that depends on the weight alone.
    fn factor(self, w: R) -> R;
    /// Absolute derivative of the node's truth in its sum.
    fn slope(self, sum: R) -> R;
    /// Truth of a conjunction from its sum; a disjunction is one minus that.
    fn truth(self, sum: R) -> R;
    /// Derivative of the truth in an input, over the slope: for a marked input, and for another.
    fn input_factors(self, w: R) -> (R, R);
}

/// The product with projection.
#[derive(Clone, Copy)]
pub(crate) struct Product<const ESTIMATED: bool>;

impl<R: Real, const ESTIMATED: bool> Soft<R> for Product<ESTIMATED> {
    #[inline(always)]
    fn term(self, w: R) -> R {
        (R::ONE - w).ln()
    }
    #[inline(always)]
    fn factor(self, w: R) -> R {
        R::ONE / (R::ONE - w + R::from_f64(EPSILON))
    }
    #[inline(always)]
    fn slope(self, sum: R) -> R {
        if ESTIMATED {
            R::ONE / (R::ONE + R::from_f64(2.0) * (R::ONE - sum).ln())
        } else {
            let truth = R::ONE / (R::ONE - sum);
            truth * truth
        }
    }
    #[inline(always)]
    fn truth(self, sum: R) -> R {
        R::ONE / (R::ONE - sum)
    }
    #[inline(always)]
    fn input_factors(self, w: R) -> (R, R) {
        (w * Soft::<R>::factor(self, w), w / (R::ONE + R::from_f64(EPSILON)))
    }
}

/// NLAF; `BETA` and `GAMMA` are whole powers, or 0 to use the real ones.
#[derive(Clone, Copy)]
pub(crate) struct Nlaf<R, const BETA: u32, const GAMMA: u32> {
    alpha: R,
    beta: R,
    gamma: R,
    u_one: R,
    u_slope_one: R,
}

#[inline(always)]
fn whole_power<R: Real>(value: R, power: u32) -> R {
    let mut product = R::ONE;
    for _ in 0..power {
        product *= value;
    }
    product
}

impl<R: Real, const BETA: u32, const GAMMA: u32> Nlaf<R, BETA, GAMMA> {
    pub(crate) fn new(alpha: f64, beta: f64, gamma: f64) -> Self {
        let [alpha, beta, gamma] = [alpha, beta, gamma].map(R::from_f64);
        let bare = Self { alpha, beta, gamma, u_one: R::ONE, u_slope_one: R::ONE };
        Self { u_one: bare.u(R::ONE), u_slope_one: bare.u_slope(R::ONE), ..bare }
    }

    /// `z / (1 - z)` with `z = (alpha v)^beta`.
    #[inline(always)]
    pub(crate) fn u(self, v: R) -> R {
        let v = self.alpha * v;
        let z = if BETA > 0 { whole_power(v, BETA) } else { v.powf(self.beta) };
        z / (R::ONE - z)
    }

    /// Derivative of [`Self::u`].
    #[inline(always)]
    pub(crate) fn u_slope(self, v: R) -> R {
        let v = self.alpha * v;
        let low = if BETA > 0 { whole_power(v, BETA - 1) } else { v.powf(self.beta - R::ONE) };
        let rest = R::ONE - low * v;
        self.beta * self.alpha * low / (rest * rest)
    }
}

impl<R: Real, const BETA: u32, const GAMMA: u32> Soft<R> for Nlaf<R, BETA, GAMMA> {
    #[inline(always)]
    fn term(self, w: R) -> R {
        self.u_one * self.u(w)
    }
    #[inline(always)]
    fn factor(self, w: R) -> R {
        self.u_one * self.u_slope(w)
    }
    #[inline(always)]
    fn slope(self, sum: R) -> R {
        let base = R::ONE + sum;
        if GAMMA > 0 {
            self.gamma / whole_power(base, GAMMA + 1)
        } else {
            self.gamma * base.powf(-self.gamma - R::ONE)
        }
    }
    #[inline(always)]
    fn truth(self, sum: R) -> R {
        let base = R::ONE + sum;
        if GAMMA > 0 { R::ONE / whole_power(base, GAMMA) } else { base.powf(-self.gamma) }
    }
    #[inline(always)]
    fn input_factors(self, w: R) -> (R, R) {
        (self.u_slope_one * self.u(w), R::ZERO)
    }
}

/// Runs `$body` with `$soft` bound to the compiled form of `$activation`.
macro_rules! with_soft {
    ($activation:expr, $real:ty, $soft:ident => $body:expr) => {{
        use $crate::activation::{Activation, Nlaf, Product};
        match $activation {
            Activation::Product { estimated: false } => {
                let $soft = Product::<false>;
                $body
            }
            Activation::Product { estimated: true } => {
                let $soft = Product::<true>;
                $body
            }
            Activation::Nlaf { alpha, beta, gamma } if beta == 3.0 && gamma == 3.0 => {
                let $soft = Nlaf::<$real, 3, 3>::new(alpha, beta, gamma);
                $body
            }
            Activation::Nlaf { alpha, beta, gamma } if beta == 8.0 && gamma == 1.0 => {
                let $soft = Nlaf::<$real, 8, 1>::new(alpha, beta, gamma);
                $body
            }
            Activation::Nlaf { alpha, beta, gamma } if beta == 8.0 && gamma == 3.0 => {
                let $soft = Nlaf::<$real, 8, 3>::new(alpha, beta, gamma);
                $body
            }
            Activation::Nlaf { alpha, beta, gamma } => {
                let $soft = Nlaf::<$real, 0, 0>::new(alpha, beta, gamma);
                $body
            }
        }
    }};
}
pub(crate) use with_soft;

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: &serde_json::Value) -> f64 {
        value.as_str().map_or_else(|| value.as_f64().unwrap(), |text| text.parse().unwrap())
    }

    /// Projection of a long product, and what it hands back, in one precision.
    fn projection<R: Real>(name: &str, factors: &[f64], expected: &serde_json::Value, tolerance: f64) {
        let sum = factors.iter().fold(R::ZERO, |sum, &factor| sum + R::from_f64(factor).ln());
        let (plain, estimated) = (Product::<false>, Product::<true>);
        let near = |found: f64, wanted: f64, what: &str| {
            let error = (found - wanted).abs() / (1.0 + wanted.abs());
            assert!(error <= tolerance, "{name}, {what}: {found}, expected {wanted}");
        };
        near(plain.truth(sum).to_f64(), number(&expected["y"]), "value");
        let gradient =
            |slope: R, factor: f64| (slope / (R::from_f64(factor) + R::from_f64(EPSILON))).to_f64();
        for (at, &factor) in factors.iter().enumerate().take(expected["grad_head"].as_array().unwrap().len())
        {
            near(gradient(plain.slope(sum), factor), number(&expected["grad_head"][at]), "gradient");
            near(gradient(estimated.slope(sum), factor), number(&expected["est_grad_head"][at]), "estimate");
        }
        let squares: f64 = factors.iter().map(|&factor| gradient(plain.slope(sum), factor).powi(2)).sum();
        near(squares.sqrt(), number(&expected["grad_l2"]), "length of the gradient");
    }

    /// Values made with `PyTorch` (`tests/oracles/README.md`).
    #[test]
    fn projections_of_extreme_products_match() {
        let oracle: serde_json::Value =
            serde_json::from_str(include_str!("../tests/oracles/projection_extremes.json")).unwrap();
        let mut n_compared = 0;
        for case in oracle["vectors"].as_array().unwrap() {
            let dim = case["dim"].as_u64().unwrap() as usize;
            let factors: Vec<f64> = if case["v_const"].is_number() {
                vec![number(&case["v_const"]); dim]
            } else if case["v_head"].as_array().unwrap().len() == dim {
                case["v_head"].as_array().unwrap().iter().map(number).collect()
            } else {
                continue;
            };
            let name = case["name"].as_str().unwrap();
            projection::<f64>(name, &factors, &case["f64"], 1e-9);
            if case["f32"].is_object() {
                projection::<f32>(name, &factors, &case["f32"], 1e-5);
            }
            n_compared += 1;
        }
        assert!(n_compared >= 8, "{n_compared}");
    }

    /// The oracle's draws are not recorded, so means over other draws of the same distribution are compared:
    /// there, gradients are summed over four rows, of which half have an input off.
    #[test]
    fn gradients_fade_with_width_as_recorded() {
        let oracle: serde_json::Value =
            serde_json::from_str(include_str!("../tests/oracles/projection_extremes.json")).unwrap();
        let soft_mean = |activation: Activation, n_inputs: usize| -> f64 {
            let mut state = 9_u64;
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64 / 2.0
            };
            let mut sum = 0.0;
            let n_nodes = 200;
            for _ in 0..n_nodes {
                let weights: Vec<f64> = (0..n_inputs).map(|_| draw()).collect();
                let marked = &weights[..n_inputs / 2];
                with_soft!(activation, f64, soft => {
                    let total: f64 = marked.iter().map(|&weight| soft.term(weight)).sum();
                    sum += marked.iter().map(|&weight| soft.slope(total) * soft.factor(weight)).sum::<f64>();
                });
            }
            sum / (n_nodes * n_inputs / 2) as f64
        };
        for case in oracle["layers"].as_array().unwrap().iter().filter(|case| case["dtype"] == "f64") {
            let n_inputs = case["d"].as_u64().unwrap() as usize;
            for (name, activation) in [
                ("orig_conj", Activation::Product { estimated: false }),
                ("orig_conj_est", Activation::Product { estimated: true }),
                ("nlaf_conj_0.999_8_1", Activation::Nlaf { alpha: 0.999, beta: 8.0, gamma: 1.0 }),
                ("nlaf_conj_0.999_8_3", Activation::Nlaf { alpha: 0.999, beta: 8.0, gamma: 3.0 }),
                ("nlaf_conj_0.9_3_3", Activation::Nlaf { alpha: 0.9, beta: 3.0, gamma: 3.0 }),
            ] {
                let ratio = 2.0 * soft_mean(activation, n_inputs) / number(&case[name]["gW_absmean"]);
                assert!((0.7..1.4).contains(&ratio), "{name} at {n_inputs}: off by a factor {ratio}");
            }
        }
    }
}
