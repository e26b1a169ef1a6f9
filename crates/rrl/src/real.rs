//! The two precisions the crate computes in, and the elementary functions its kernels need.
//!
//! Training runs in `f32` by default; `f64` is there to follow published figures step by step.

// Whether these few instructions are part of a kernel decides which instructions they are compiled to.
#![allow(clippy::inline_always)]

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`: the number type a [`Network`](crate::Network) is trained in. Sealed.
pub trait Real:
    Copy
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + sealed::Sealed
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// The nearest value of this precision.
    fn from_f64(value: f64) -> Self;
    /// The same value in double precision.
    fn to_f64(self) -> f64;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// e to this power.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm for values `>= 0` (0 gives minus infinity, infinity itself).
    ///
    /// The `f32` version is a short series that compilers can turn into vector instructions.
    #[must_use]
    fn ln(self) -> Self;
    /// This value to a real power.
    #[must_use]
    fn powf(self, power: Self) -> Self;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.ln()
    }
    #[inline(always)]
    fn powf(self, power: Self) -> Self {
        self.powf(power)
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }

    /// ln(2^e m) = e ln 2 + 2 atanh((m - 1) / (m + 1)) with m in [2/3, 4/3): the series in
    /// s = (m - 1) / (m + 1), |s| <= 1/5, is cut after s^9 (error below 4e-9).
    #[inline(always)]
    fn ln(self) -> Self {
        // Bits of 2/3: subtracting them before the shift puts the mantissa in [2/3, 4/3).
        const TWO_THIRDS: u32 = 0x3f2a_aaab;
        let shifted = self.to_bits().wrapping_sub(TWO_THIRDS);
        let exponent = (shifted as i32 >> 23) as f32;
        let mantissa = Self::from_bits((shifted & 0x007f_ffff) + TWO_THIRDS);
        let s = (mantissa - 1.0) / (mantissa + 1.0);
        let s2 = s * s;
        let series = 2.0 / 9.0;
        let series = series * s2 + 2.0 / 7.0;
        let series = series * s2 + 2.0 / 5.0;
        let series = series * s2 + 2.0 / 3.0;
        let ln = exponent * std::f32::consts::LN_2 + (s * (series * s2) + 2.0 * s);
        let ln = if self > 0.0 { ln } else { Self::NEG_INFINITY };
        if self < Self::INFINITY { ln } else { self }
    }

    #[inline(always)]
    fn powf(self, power: Self) -> Self {
        self.powf(power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_logarithm_is_right_to_single_precision() {
        let mut value = 1e-30_f32;
        while value < 1e30 {
            let exact = (value as f64).ln();
            let found = Real::ln(value) as f64;
            assert!((found - exact).abs() <= 3e-7 * exact.abs().max(0.3), "ln({value}): {found}, {exact}");
            value *= 1.003_7;
        }
        assert_eq!(Real::ln(1.0_f32), 0.0);
        assert_eq!(Real::ln(0.0_f32), f32::NEG_INFINITY);
        assert_eq!(Real::ln(f32::INFINITY), f32::INFINITY);
        let near = Real::ln(1.0_f32 - f32::EPSILON);
        assert!((near / -f32::EPSILON - 1.0).abs() < 1e-5, "{near}");
    }
}
