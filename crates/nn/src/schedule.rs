//! Learning rates by step.

/// Linear from 0 to `peak` in `warm_up` steps, then a half cosine down to `floor` at step `total`.
///
/// `step` counts from 0; the first step of a warm-up has rate `peak / warm_up`, not 0.
pub fn warm_up_cosine(step: u64, warm_up: u64, total: u64, peak: f32, floor: f32) -> f32 {
    if step < warm_up {
        return peak * (step + 1) as f32 / warm_up as f32;
    }
    let rest = total.saturating_sub(warm_up).max(1) as f32;
    let done = ((step - warm_up) as f32 / rest).min(1.0);
    floor + (peak - floor) * 0.5 * (1.0 + (std::f32::consts::PI * done).cos())
}

/// The schedule language models are fine-tuned with: linear from 0 in `warm_up` steps, then a half cosine
/// down to `floor` at step `total`. `step` counts from 0, so the first step of a warm-up has rate 0.
pub fn cosine_from_zero(step: u64, warm_up: u64, total: u64, peak: f64, floor: f64) -> f64 {
    if step < warm_up {
        return peak * step as f64 / warm_up as f64;
    }
    let rest = total.saturating_sub(warm_up).max(1) as f64;
    let done = ((step - warm_up) as f64 / rest).min(1.0);
    floor + (peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// `initial · rate^(step div every)`: falls by a factor every so many steps.
pub fn step_decay(step: u64, every: u64, initial: f32, rate: f32) -> f32 {
    initial * rate.powf((step / every.max(1)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_and_the_cosine_falls_to_the_floor() {
        let rate = |step| warm_up_cosine(step, 10, 110, 1.0, 0.1);
        assert_eq!(rate(0), 0.1);
        assert_eq!(rate(9), 1.0);
        assert!((rate(60) - 0.55).abs() < 1e-6);
        assert!((rate(110) - 0.1).abs() < 1e-6);
        assert!((rate(999) - 0.1).abs() < 1e-6);
        assert!(warm_up_cosine(0, 0, 0, 1.0, 0.0).is_finite());
    }

    #[test]
    fn the_first_step_from_zero_has_rate_zero() {
        let rate = |step| cosine_from_zero(step, 2, 10, 1e-3, 0.0);
        assert_eq!((rate(0), rate(1), rate(2)), (0.0, 5e-4, 1e-3));
        assert!((rate(6) - 5e-4).abs() < 1e-15 && rate(10).abs() < 1e-15);
        assert_eq!(cosine_from_zero(0, 0, 0, 1.0, 0.1), 1.0);
    }

    #[test]
    fn steps_decay() {
        assert_eq!(step_decay(9, 10, 1.0, 0.5), 1.0);
        assert_eq!(step_decay(20, 10, 1.0, 0.5), 0.25);
        assert_eq!(step_decay(1, 0, 1.0, 0.5), 0.5);
    }
}
