//! The inner loops, over blocks of 32 nodes side by side.
//!
//! Over binary inputs the sum of a node is a sum of table rows picked by the bits of the input, and the
//! derivative of a weight is a sum of coefficient rows picked by the bits of its literal: both are the one
//! loop [`sum_picked`]. Loops are written in plain Rust over arrays of fixed length; each is compiled for
//! AVX-512, AVX2 and the baseline, and the machine's best is picked at run time. No reduction is reordered
//! and no multiplication fused, so all versions give the same bits.

// The one file with `unsafe`: calls of functions compiled for instructions that were just detected. The
// plain version of each is its safe twin; the tests compare them bit for bit.
#![allow(unsafe_code)]
// A call here saves a few instructions at most; whether the body is part of the caller decides which
// instructions it is compiled to.
#![allow(clippy::inline_always)]

use crate::activation::Soft;
use crate::patterns::Plan;
use crate::real::Real;

/// Nodes side by side in a block.
pub(crate) const LANES: usize = 32;

/// One value for each node of a block.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Lanes<R>(pub(crate) [R; LANES]);

impl<R: Real> Default for Lanes<R> {
    fn default() -> Self {
        Self([R::ZERO; LANES])
    }
}

/// Compiles `$body` for each instruction set and picks the best at run time.
macro_rules! per_instruction_set {
    ($(#[$doc:meta])* $name:ident => $body:ident $(<$generic:ident: $bound:path>)? ($($arg:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        pub(crate) fn $name<R: Real $(, $generic: $bound)?>($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,bmi1,bmi2,popcnt,lzcnt")]
                fn avx512<R: Real $(, $generic: $bound)?>($($arg: $type),*) {
                    $body($($arg),*);
                }
                #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
                fn avx2<R: Real $(, $generic: $bound)?>($($arg: $type),*) {
                    $body($($arg),*);
                }
                if has_avx512() {
                    // SAFETY: every feature the function is compiled for was detected.
                    return unsafe { avx512($($arg),*) };
                }
                if has_avx2() {
                    // SAFETY: every feature the function is compiled for was detected.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*);
        }
    };
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && has_bit_instructions()
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && has_bit_instructions()
}

#[cfg(target_arch = "x86_64")]
fn has_bit_instructions() -> bool {
    is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("lzcnt")
}

/// A row of bits that picks rows of a table: the words, how many bits count, and which value picks.
#[derive(Clone, Copy)]
pub(crate) struct Picks<'a> {
    pub(crate) words: &'a [u64],
    pub(crate) n_bits: usize,
    /// Pick where the bit is 0.
    pub(crate) zeros: bool,
}

impl Picks<'_> {
    #[inline(always)]
    fn word(self, at: usize, zeros: bool) -> u64 {
        let word = if zeros { !self.words[at] } else { self.words[at] };
        let left = self.n_bits - at * 64;
        if left < 64 { word & ((1 << left) - 1) } else { word }
    }

    #[inline(always)]
    fn count_ones(self) -> usize {
        let n_words = self.n_bits.div_ceil(64);
        (0..n_words).map(|at| self.word(at, false).count_ones() as usize).sum()
    }
}

#[inline(always)]
fn add<R: Real>(sum: &mut Lanes<R>, row: &Lanes<R>) {
    for lane in 0..LANES {
        sum.0[lane] += row.0[lane];
    }
}

/// Sum of the rows picked; two running sums, so that additions do not wait for each other.
#[inline(always)]
fn sum_picked_where<R: Real>(rows: &[Lanes<R>], picks: Picks<'_>, zeros: bool) -> Lanes<R> {
    let (mut even, mut odd) = (Lanes::default(), Lanes::default());
    for (at, rows) in rows[..picks.n_bits].chunks(64).enumerate() {
        let mut word = picks.word(at, zeros);
        for _ in 0..word.count_ones() / 2 {
            add(&mut even, &rows[word.trailing_zeros() as usize]);
            word &= word - 1;
            add(&mut odd, &rows[word.trailing_zeros() as usize]);
            word &= word - 1;
        }
        if word != 0 {
            add(&mut even, &rows[word.trailing_zeros() as usize]);
        }
    }
    add(&mut even, &odd);
    even
}

/// Sum of the rows picked; with `total`, the sum of all rows, the shorter of picked and not picked is added.
#[inline(always)]
fn sum_picked<R: Real>(rows: &[Lanes<R>], picks: Picks<'_>, total: Option<&Lanes<R>>) -> Lanes<R> {
    let Some(total) = total else {
        return sum_picked_where(rows, picks, picks.zeros);
    };
    let ones = picks.count_ones();
    let picked = if picks.zeros { picks.n_bits - ones } else { ones };
    if picked * 2 <= picks.n_bits {
        return sum_picked_where(rows, picks, picks.zeros);
    }
    let others = sum_picked_where(rows, picks, !picks.zeros);
    let mut sum = *total;
    for lane in 0..LANES {
        sum.0[lane] -= others.0[lane];
    }
    sum
}

/// Bits of a batch, one row after another.
#[derive(Clone, Copy)]
pub(crate) struct BitRows<'a> {
    pub(crate) words: &'a [u64],
    pub(crate) words_per_row: usize,
    pub(crate) n_bits: usize,
}

impl<'a> BitRows<'a> {
    #[inline(always)]
    pub(crate) fn row(self, at: usize) -> &'a [u64] {
        &self.words[at * self.words_per_row..(at + 1) * self.words_per_row]
    }
}

#[inline(always)]
fn node_sums_body<R: Real>(
    rows: BitRows<'_>,
    zeros: bool,
    terms: &[Lanes<R>],
    total: Option<&Lanes<R>>,
    sums: &mut [Lanes<R>],
) {
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = sum_picked(terms, Picks { words: rows.row(at), n_bits: rows.n_bits, zeros }, total);
    }
}

per_instruction_set! {
    /// Sum of every node of a block for every row of a batch.
    ///
    /// - `rows`: `[batch, n_inputs]` bits; `zeros`: whether inputs that are 0 count (conjunctions).
    /// - `terms`: `[n_inputs]`; `total`: their sum; `sums`: `[batch]`.
    node_sums => node_sums_body(
        rows: BitRows<'_>,
        zeros: bool,
        terms: &[Lanes<R>],
        total: Option<&Lanes<R>>,
        sums: &mut [Lanes<R>],
    )
}

#[inline(always)]
fn subtract<R: Real>(sum: &mut Lanes<R>, row: &Lanes<R>) {
    for lane in 0..LANES {
        sum.0[lane] -= row.0[lane];
    }
}

#[inline(always)]
fn pattern_sums_body<R: Real>(
    plan: &Plan,
    ids: &[u32],
    zeros: bool,
    terms: &[Lanes<R>],
    table: &mut [Lanes<R>],
    sums: &mut [Lanes<R>],
) {
    let n_groups = plan.literal_starts.len() - 1;
    for group in 0..n_groups {
        // Sum of the first pattern's predecessor, all literals off.
        let mut sum = Lanes::default();
        if zeros {
            let literals = plan.literal_starts[group] as usize..plan.literal_starts[group + 1] as usize;
            for &literal in &plan.literals[literals] {
                add(&mut sum, &terms[literal as usize]);
            }
        }
        #[allow(clippy::needless_range_loop)] // Two arrays run side by side.
        for pattern in plan.starts[group] as usize..plan.starts[group + 1] as usize {
            let flips = plan.flip_starts[pattern] as usize..plan.flip_starts[pattern + 1] as usize;
            for &(literal, on) in &plan.flips[flips] {
                if on == zeros {
                    subtract(&mut sum, &terms[literal as usize]);
                } else {
                    add(&mut sum, &terms[literal as usize]);
                }
            }
            table[pattern] = sum;
        }
    }
    for (ids, sum) in ids.chunks_exact(n_groups).zip(sums) {
        let (mut even, mut odd) = (Lanes::default(), Lanes::default());
        let mut pairs = ids.chunks_exact(2);
        for pair in &mut pairs {
            add(&mut even, &table[pair[0] as usize]);
            add(&mut odd, &table[pair[1] as usize]);
        }
        if let [last] = pairs.remainder() {
            add(&mut even, &table[*last as usize]);
        }
        add(&mut even, &odd);
        *sum = even;
    }
}

per_instruction_set! {
    /// As [`node_sums`], by the patterns of the rows.
    ///
    /// - `ids`: `[batch, n_groups]`; `table`: `[n_patterns]`, overwritten; `sums`: `[batch]`.
    pattern_sums => pattern_sums_body(
        plan: &Plan,
        ids: &[u32],
        zeros: bool,
        terms: &[Lanes<R>],
        table: &mut [Lanes<R>],
        sums: &mut [Lanes<R>],
    )
}

#[inline(always)]
fn pattern_gather_body<R: Real>(
    plan: &Plan,
    ids: &[u32],
    zeros: bool,
    coefficients: &[Lanes<R>],
    table: &mut [Lanes<R>],
    picked: &mut [Lanes<R>],
) {
    let n_groups = plan.literal_starts.len() - 1;
    table.fill(Lanes::default());
    for (ids, row) in ids.chunks_exact(n_groups).zip(coefficients) {
        for &id in ids {
            add(&mut table[id as usize], row);
        }
    }
    for group in 0..n_groups {
        let mut sum = Lanes::default();
        for pattern in &mut table[plan.starts[group] as usize..plan.starts[group + 1] as usize] {
            add(&mut sum, pattern);
            *pattern = sum;
        }
    }
    for (literal, picked) in picked.iter_mut().enumerate() {
        let group = plan.group_of[literal] as usize;
        let first = plan.starts[group];
        let mut sum = Lanes::default();
        if zeros {
            sum = table[plan.starts[group + 1] as usize - 1];
        }
        let intervals = plan.interval_starts[literal] as usize..plan.interval_starts[literal + 1] as usize;
        for &(from, to) in &plan.intervals[intervals] {
            let mut inside = table[to as usize - 1];
            if from > first {
                subtract(&mut inside, &table[from as usize - 1]);
            }
            if zeros {
                subtract(&mut sum, &inside);
            } else {
                add(&mut sum, &inside);
            }
        }
        *picked = sum;
    }
}

per_instruction_set! {
    /// Sum of the coefficients of the rows in which each literal counts, by the patterns of the rows.
    ///
    /// - `ids`: `[batch, n_groups]`; `table`: `[n_patterns]`, overwritten; `picked`: `[n_literals]`.
    pattern_gather => pattern_gather_body(
        plan: &Plan,
        ids: &[u32],
        zeros: bool,
        coefficients: &[Lanes<R>],
        table: &mut [Lanes<R>],
        picked: &mut [Lanes<R>],
    )
}

#[inline(always)]
fn coefficients_body<R: Real, S: Soft<R>>(soft: S, upstream: &[Lanes<R>], sums: &mut [Lanes<R>]) {
    for (sum, upstream) in sums.iter_mut().zip(upstream) {
        // Copies of fixed length keep the compiler from going across rows, which costs gathers.
        let (given, upstream) = (std::hint::black_box(*sum), *upstream);
        let mut product = Lanes::default();
        for lane in 0..LANES {
            product.0[lane] = upstream.0[lane] * soft.slope(given.0[lane]);
        }
        *sum = product;
    }
}

per_instruction_set! {
    /// Turns sums into upstream gradient times slope, in place.
    coefficients => coefficients_body<S: Soft<R>>(soft: S, upstream: &[Lanes<R>], sums: &mut [Lanes<R>])
}

/// The numbers of one Adam step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam<R> {
    pub(crate) beta1: R,
    pub(crate) beta2: R,
    /// Learning rate over the bias correction of the first moment.
    pub(crate) step: R,
    /// One over the root of the bias correction of the second moment.
    pub(crate) root: R,
    pub(crate) epsilon: R,
}

impl<R: Real> Adam<R> {
    /// Moves one parameter.
    #[inline(always)]
    pub(crate) fn apply(&self, gradient: R, weight: &mut R, first: &mut R, second: &mut R) {
        *first = *first * self.beta1 + gradient * (R::ONE - self.beta1);
        *second = *second * self.beta2 + gradient * gradient * (R::ONE - self.beta2);
        *weight -= self.step * *first / (second.sqrt() * self.root + self.epsilon);
    }
}

/// What the gradient of a block's weights is made from.
#[derive(Clone, Copy)]
pub(crate) struct WeightGradient<'a, R> {
    /// `[n_inputs, batch]` bits.
    pub(crate) columns: BitRows<'a>,
    /// Conjunctions: inputs that are 0 count, and the sign is minus.
    pub(crate) conjunction: bool,
    /// Upstream gradient times slope, `[batch]`.
    pub(crate) coefficients: &'a [Lanes<R>],
    /// Their sum, where sums may be completed from it.
    pub(crate) total: Option<&'a Lanes<R>>,
    /// Their sum over the rows each input counts in, where already known: `[n_inputs]`.
    pub(crate) picked: Option<&'a [Lanes<R>]>,
    /// Gradient of the penalty per unit of weight, for all weights or for each.
    pub(crate) decay: R,
    pub(crate) decay_each: Option<&'a [Lanes<R>]>,
    /// Gradient of the absolute penalty.
    pub(crate) decay_constant: R,
}

impl<R: Real> WeightGradient<'_, R> {
    #[inline(always)]
    fn of_input<S: Soft<R>>(&self, soft: S, input: usize, weights: &Lanes<R>) -> Lanes<R> {
        let mut gradient = if let Some(picked) = self.picked {
            picked[input]
        } else {
            let picks = Picks {
                words: self.columns.row(input),
                n_bits: self.columns.n_bits,
                zeros: self.conjunction,
            };
            sum_picked(self.coefficients, picks, self.total)
        };
        if self.conjunction {
            for lane in 0..LANES {
                gradient.0[lane] = -gradient.0[lane];
            }
        }
        for lane in 0..LANES {
            gradient.0[lane] = gradient.0[lane] * soft.factor(weights.0[lane])
                + self.decay * weights.0[lane]
                + self.decay_constant;
        }
        if let Some(each) = self.decay_each {
            for lane in 0..LANES {
                gradient.0[lane] += each[input].0[lane] * weights.0[lane];
            }
        }
        gradient
    }
}

#[inline(always)]
fn weight_gradients_body<R: Real, S: Soft<R>>(
    soft: S,
    from: WeightGradient<'_, R>,
    weights: &[Lanes<R>],
    gradients: &mut [Lanes<R>],
) {
    for (input, (weights, gradient)) in weights.iter().zip(gradients).enumerate() {
        *gradient = from.of_input(soft, input, weights);
    }
}

per_instruction_set! {
    /// Gradient of every weight of a block, penalty included: `[n_inputs]`.
    weight_gradients => weight_gradients_body<S: Soft<R>>(
        soft: S,
        from: WeightGradient<'_, R>,
        weights: &[Lanes<R>],
        gradients: &mut [Lanes<R>],
    )
}

/// What an update changes: the weights of a block and all that follows from them.
pub(crate) struct Updated<'a, R> {
    pub(crate) weights: &'a mut [Lanes<R>],
    pub(crate) first: &'a mut [Lanes<R>],
    pub(crate) second: &'a mut [Lanes<R>],
    pub(crate) terms: &'a mut [Lanes<R>],
    pub(crate) total: &'a mut Lanes<R>,
    pub(crate) edges: &'a mut Vec<(u32, u32)>,
}

/// Range of the weights, and which a block may use at all.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a, R> {
    pub(crate) floor: R,
    pub(crate) ceiling: R,
    /// One bit a node for each input; a hidden weight stays 0.
    pub(crate) visible: Option<&'a [u32]>,
}

impl<R: Real> Bounds<'_, R> {
    #[inline(always)]
    fn apply(&self, input: usize, weights: &mut Lanes<R>) {
        for lane in 0..LANES {
            let weight = weights.0[lane];
            let weight = if weight < self.floor { self.floor } else { weight };
            weights.0[lane] = if weight > self.ceiling { self.ceiling } else { weight };
        }
        if let Some(visible) = self.visible {
            for lane in 0..LANES {
                if visible[input] >> lane & 1 == 0 {
                    weights.0[lane] = R::ZERO;
                }
            }
        }
    }
}

/// Term, total and edges of one input from its weights.
#[inline(always)]
fn refresh_input<R: Real, S: Soft<R>>(soft: S, input: usize, to: &mut Updated<'_, R>) {
    let half = R::from_f64(0.5);
    let weights = to.weights[input];
    let mut terms = Lanes::default();
    let mut any = false;
    for lane in 0..LANES {
        terms.0[lane] = soft.term(weights.0[lane]);
        any |= weights.0[lane] > half;
    }
    add(to.total, &terms);
    to.terms[input] = terms;
    if any {
        for lane in 0..LANES {
            if weights.0[lane] > half {
                to.edges.push((input as u32, lane as u32));
            }
        }
    }
}

#[inline(always)]
fn update_body<R: Real, S: Soft<R>>(
    soft: S,
    from: WeightGradient<'_, R>,
    adam: Adam<R>,
    bounds: Bounds<'_, R>,
    mut to: Updated<'_, R>,
) {
    to.edges.clear();
    *to.total = Lanes::default();
    for input in 0..to.weights.len() {
        let gradient = from.of_input(soft, input, &to.weights[input]);
        let (weights, first, second) = (&mut to.weights[input], &mut to.first[input], &mut to.second[input]);
        for lane in 0..LANES {
            adam.apply(gradient.0[lane], &mut weights.0[lane], &mut first.0[lane], &mut second.0[lane]);
        }
        bounds.apply(input, weights);
        refresh_input(soft, input, &mut to);
    }
}

per_instruction_set! {
    /// One step of Adam on a block's weights, from gradients made on the way; then clipping, and the
    /// terms, their total and the edges of the new weights.
    update => update_body<S: Soft<R>>(
        soft: S,
        from: WeightGradient<'_, R>,
        adam: Adam<R>,
        bounds: Bounds<'_, R>,
        to: Updated<'_, R>,
    )
}

#[inline(always)]
fn update_given_body<R: Real, S: Soft<R>>(
    soft: S,
    gradients: &[Lanes<R>],
    adam: Option<Adam<R>>,
    bounds: Bounds<'_, R>,
    mut to: Updated<'_, R>,
) {
    to.edges.clear();
    *to.total = Lanes::default();
    #[allow(clippy::needless_range_loop)] // Five arrays run side by side.
    for input in 0..to.weights.len() {
        let (weights, first, second) = (&mut to.weights[input], &mut to.first[input], &mut to.second[input]);
        if let Some(adam) = adam {
            for lane in 0..LANES {
                adam.apply(
                    gradients[input].0[lane],
                    &mut weights.0[lane],
                    &mut first.0[lane],
                    &mut second.0[lane],
                );
            }
            bounds.apply(input, weights);
        }
        refresh_input(soft, input, &mut to);
    }
}

per_instruction_set! {
    /// As [`update`], from gradients already made; without `adam` only what follows from the weights.
    update_given => update_given_body<S: Soft<R>>(
        soft: S,
        gradients: &[Lanes<R>],
        adam: Option<Adam<R>>,
        bounds: Bounds<'_, R>,
        to: Updated<'_, R>,
    )
}

#[inline(always)]
fn input_tables_body<R: Real, S: Soft<R>>(
    soft: S,
    weights: &[Lanes<R>],
    marked: &mut [Lanes<R>],
    other: &mut [Lanes<R>],
) {
    for ((weights, marked), other) in weights.iter().zip(marked).zip(other) {
        for lane in 0..LANES {
            (marked.0[lane], other.0[lane]) = soft.input_factors(weights.0[lane]);
        }
    }
}

per_instruction_set! {
    /// Factors of the gradient in the inputs, for marked inputs and for others: `[n_inputs]` each.
    input_tables => input_tables_body<S: Soft<R>>(
        soft: S,
        weights: &[Lanes<R>],
        marked: &mut [Lanes<R>],
        other: &mut [Lanes<R>],
    )
}

#[inline(always)]
fn add_products<R: Real>(sums: &mut Lanes<R>, a: &Lanes<R>, b: &Lanes<R>) {
    for lane in 0..LANES {
        sums.0[lane] += a.0[lane] * b.0[lane];
    }
}

/// Sum over the lanes, by halves.
#[inline(always)]
fn sum_lanes<R: Real>(lanes: &Lanes<R>) -> R {
    let mut lanes = lanes.0;
    for half in [16, 8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

#[inline(always)]
fn input_gradient_body<R: Real>(
    row: &[u64],
    conjunction: bool,
    coefficients: &Lanes<R>,
    marked: &[Lanes<R>],
    other: &[Lanes<R>],
    gradient: &mut [R],
) {
    for (input, gradient) in gradient.iter_mut().enumerate() {
        let on = row[input / 64] >> (input % 64) & 1 == 1;
        let table = if on == conjunction { other } else { marked };
        let mut sums = Lanes::default();
        add_products(&mut sums, coefficients, &table[input]);
        *gradient += sum_lanes(&sums);
    }
}

per_instruction_set! {
    /// Adds a block's part of the gradient in the inputs of one row: `[n_inputs]`.
    input_gradient => input_gradient_body(
        row: &[u64],
        conjunction: bool,
        coefficients: &Lanes<R>,
        marked: &[Lanes<R>],
        other: &[Lanes<R>],
        gradient: &mut [R],
    )
}

#[inline(always)]
fn head_upstream_body<R: Real>(slopes: &[R], weights: &[Lanes<R>], upstream: &mut [Lanes<R>]) {
    for (slopes, upstream) in slopes.chunks_exact(weights.len()).zip(upstream) {
        for (&slope, weights) in slopes.iter().zip(weights) {
            for lane in 0..LANES {
                upstream.0[lane] += slope * weights.0[lane];
            }
        }
    }
}

per_instruction_set! {
    /// Adds to each row's upstream gradient what comes through the linear layer.
    ///
    /// - `slopes`: `[batch, n_outputs]`; `weights`: `[n_outputs]`; `upstream`: `[batch]`.
    head_upstream => head_upstream_body(slopes: &[R], weights: &[Lanes<R>], upstream: &mut [Lanes<R>])
}

#[inline(always)]
fn head_gradients_body<R: Real>(nodes: BitRows<'_>, slopes: &[Lanes<R>], gradients: &mut [Lanes<R>]) {
    for node in 0..nodes.words.len() / nodes.words_per_row {
        let picks = Picks { words: nodes.row(node), n_bits: nodes.n_bits, zeros: false };
        for (group, gradients) in gradients.chunks_mut(LANES).enumerate() {
            let rows = &slopes[group * nodes.n_bits..(group + 1) * nodes.n_bits];
            let sums = sum_picked_where(rows, picks, false);
            for (gradient, sum) in gradients.iter_mut().zip(sums.0) {
                gradient.0[node] = sum;
            }
        }
    }
}

per_instruction_set! {
    /// Gradient of the linear layer's weights of a block, without penalty.
    ///
    /// - `nodes`: `[<= 32, batch]` bits; `slopes`: groups of 32 outputs, `[n_groups, batch]`.
    /// - `gradients`: `[n_outputs]`.
    head_gradients => head_gradients_body(
        nodes: BitRows<'_>,
        slopes: &[Lanes<R>],
        gradients: &mut [Lanes<R>],
    )
}

#[inline(always)]
fn add_where_set<R: Real>(word: u64, value: R, sums: &mut [R; 64]) {
    let (low, high) = sums.split_at_mut(32);
    for (half, sums) in [(word as u32, low), ((word >> 32) as u32, high)] {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += if half >> lane & 1 == 1 { value } else { R::ZERO };
        }
    }
}

#[inline(always)]
fn add_logits_body<R: Real>(nodes: BitRows<'_>, weights: &[Lanes<R>], logits: &mut [[R; 64]]) {
    let n_words = nodes.words_per_row;
    for node in 0..nodes.words.len() / n_words {
        for (weights, logits) in weights.iter().zip(logits.chunks_exact_mut(n_words)) {
            for (&word, logits) in nodes.row(node).iter().zip(logits) {
                if word != 0 {
                    add_where_set(word, weights.0[node], logits);
                }
            }
        }
    }
}

per_instruction_set! {
    /// Adds the weights of the nodes that are on to the outputs of each row.
    ///
    /// - `nodes`: `[<= 32, batch]` bits; `weights`: `[n_outputs]`; `logits`: `[n_outputs, batch / 64]`.
    add_logits => add_logits_body(nodes: BitRows<'_>, weights: &[Lanes<R>], logits: &mut [[R; 64]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{Nlaf, Product};

    fn numbers(n: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            })
            .collect()
    }

    fn lanes<R: Real>(n: usize, seed: u64, scale: f64) -> Vec<Lanes<R>> {
        let values = numbers(n * LANES, seed);
        let lane = |at: usize| R::from_f64(values[at] * scale);
        (0..n).map(|row| Lanes(std::array::from_fn(|at| lane(row * LANES + at)))).collect()
    }

    fn bits(n: usize, seed: u64) -> Vec<u64> {
        numbers(n, seed).iter().map(|value| value.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
    }

    fn same<R: Real>(a: &[Lanes<R>], b: &[Lanes<R>]) -> bool {
        let bits = |rows: &[Lanes<R>]| -> Vec<u64> {
            rows.iter().flat_map(|row| row.0.map(|value| value.to_f64().to_bits())).collect()
        };
        bits(a) == bits(b)
    }

    /// Every step on one block, by the version picked and by the plain one.
    fn all_versions_agree<R: Real, S: Soft<R>>(soft: S) {
        let (n_inputs, batch) = (70, 100);
        let row_bits = bits(batch * 2, 1);
        let rows = BitRows { words: &row_bits, words_per_row: 2, n_bits: n_inputs };
        let column_bits = bits(n_inputs * 2, 2);
        let columns = BitRows { words: &column_bits, words_per_row: 2, n_bits: batch };
        for (conjunction, use_total) in [(true, true), (true, false), (false, true), (false, false)] {
            let start = lanes::<R>(n_inputs, 3, 0.99);
            let mut states = [false, true].map(|plain| {
                let mut state =
                    (start.clone(), vec![Lanes::default(); n_inputs], Lanes::default(), Vec::new());
                let (mut first, mut second) = (state.1.clone(), state.1.clone());
                let bounds = Bounds { floor: R::from_f64(0.01), ceiling: R::from_f64(0.99), visible: None };
                let adam = Adam {
                    beta1: R::from_f64(0.9),
                    beta2: R::from_f64(0.999),
                    step: R::from_f64(0.1),
                    root: R::from_f64(30.0),
                    epsilon: R::from_f64(1e-8),
                };
                let to = Updated {
                    weights: &mut state.0,
                    first: &mut first,
                    second: &mut second,
                    terms: &mut state.1,
                    total: &mut state.2,
                    edges: &mut state.3,
                };
                if plain {
                    update_given_body(soft, &[], None, bounds, to);
                } else {
                    update_given(soft, &[], None, bounds, to);
                }
                let mut sums = vec![Lanes::default(); batch];
                let upstream = lanes::<R>(batch, 4, 0.1);
                let (terms, total) = (state.1.clone(), state.2);
                let total = use_total.then_some(&total);
                if plain {
                    node_sums_body(rows, conjunction, &terms, total, &mut sums);
                    coefficients_body(soft, &upstream, &mut sums);
                } else {
                    node_sums(rows, conjunction, &terms, total, &mut sums);
                    coefficients(soft, &upstream, &mut sums);
                }
                let from = WeightGradient {
                    columns,
                    conjunction,
                    coefficients: &sums,
                    total: None,
                    picked: None,
                    decay: R::from_f64(0.01),
                    decay_each: None,
                    decay_constant: R::ZERO,
                };
                let to = Updated {
                    weights: &mut state.0,
                    first: &mut first,
                    second: &mut second,
                    terms: &mut state.1,
                    total: &mut state.2,
                    edges: &mut state.3,
                };
                if plain {
                    update_body(soft, from, adam, bounds, to);
                } else {
                    update(soft, from, adam, bounds, to);
                }
                let mut gradient = vec![R::ZERO; n_inputs];
                let (mut marked, mut other) = (state.1.clone(), state.1.clone());
                let mut logits = vec![[R::ZERO; 64]; 3 * 2];
                let nodes = BitRows { words: &column_bits[..64], words_per_row: 2, n_bits: batch };
                let mut head = vec![Lanes::default(); 3];
                if plain {
                    input_tables_body(soft, &state.0, &mut marked, &mut other);
                    input_gradient_body(rows.row(5), conjunction, &sums[5], &marked, &other, &mut gradient);
                    add_logits_body(nodes, &upstream[..3], &mut logits);
                    head_gradients_body(nodes, &sums, &mut head);
                } else {
                    input_tables(soft, &state.0, &mut marked, &mut other);
                    input_gradient(rows.row(5), conjunction, &sums[5], &marked, &other, &mut gradient);
                    add_logits(nodes, &upstream[..3], &mut logits);
                    head_gradients(nodes, &sums, &mut head);
                }
                (state, sums, gradient, logits, head)
            });
            let (plain, picked) = states.split_at_mut(1);
            let (plain, picked) = (&plain[0], &picked[0]);
            assert!(same(&plain.0.0, &picked.0.0) && same(&plain.0.1, &picked.0.1), "weights or terms");
            assert_eq!(plain.0.3, picked.0.3, "edges");
            assert!(!plain.0.3.is_empty());
            assert!(same(&plain.1, &picked.1), "coefficients");
            assert_eq!(plain.2, picked.2, "input gradient");
            assert_eq!(plain.3, picked.3, "logits");
            assert!(same(&plain.4, &picked.4), "head");
            assert!(!same(&plain.0.0, &start), "nothing moved");
        }
    }

    #[test]
    fn detected_instructions_change_no_bit() {
        all_versions_agree::<f32, _>(Product::<false>);
        all_versions_agree::<f32, _>(Product::<true>);
        all_versions_agree::<f64, _>(Product::<true>);
        all_versions_agree::<f32, _>(Nlaf::<f32, 8, 3>::new(0.999, 8.0, 3.0));
        all_versions_agree::<f64, _>(Nlaf::<f64, 0, 0>::new(0.9, 2.5, 1.5));
    }

    #[test]
    fn a_sum_completed_from_the_total_is_the_sum() {
        let rows = lanes::<f64>(130, 7, 1.0);
        let mut total = Lanes::default();
        rows.iter().for_each(|row| add(&mut total, row));
        let words = [u64::MAX, 0x0f0f_ffff_ffff_ff00, 3];
        for zeros in [false, true] {
            let picks = Picks { words: &words, n_bits: 130, zeros };
            let sum = sum_picked(&rows, picks, Some(&total));
            let mut expected = [0.0; LANES];
            for (at, row) in rows.iter().enumerate() {
                if (words[at / 64] >> (at % 64) & 1 == 1) != zeros {
                    (0..LANES).for_each(|lane| expected[lane] += row.0[lane]);
                }
            }
            for (found, expected) in sum.0.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12);
            }
        }
    }
}
