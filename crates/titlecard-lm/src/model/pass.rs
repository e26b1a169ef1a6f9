//! Forward and backward pass of training.
//!
//! Of a block its input, the sorted queries, keys and values, the outputs of attention and the inputs of
//! the activation are kept: 9 widths a token. Everything else is computed again on the way back. With
//! gradient checkpointing only the inputs are kept (1 width a token and block) and each block's forward
//! pass is run again before its backward pass.

use nn::attention;
use nn::cross_entropy::{self, Scratch};
use nn::norm::{self, RowStats};
use nn::simd::{add_to_rows, sum_rows};
use nn::{Operand, multiply_into};

use super::{Batch, DENSE, DOWN, GptNeoX, Linear, Norm, QKV, UP};

/// What is kept of one block.
#[derive(Debug, Clone, Default)]
struct Kept {
    stats: Vec<RowStats>,
    /// After attention, where the perceptron follows it.
    middle: Vec<f32>,
    middle_stats: Vec<RowStats>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    log_sums: Vec<f32>,
    up: Vec<f32>,
    /// Of the adapter: `s · x · Aᵀ` of every linear layer.
    inner: [Vec<f32>; 4],
}

/// Memory of passes, made once and used for every batch.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// Keep only the inputs of blocks and compute the rest again on the way back.
    pub checkpointing: bool,
    /// Inputs of the blocks and the output of the last one.
    inputs: Vec<Vec<f32>>,
    kept: Vec<Kept>,
    normed: Vec<f32>,
    wide: Vec<f32>,
    rows: Vec<f32>,
    grad: Vec<f32>,
    grad_x: Vec<f32>,
    grad_normed: Vec<f32>,
    grad_wide: Vec<f32>,
    grad_sorted: Vec<f32>,
    grad_qkv: Vec<f32>,
    picked: Vec<f32>,
    picked_stats: Vec<RowStats>,
    hidden: Vec<f32>,
    grad_hidden: Vec<f32>,
    scratch: Scratch,
}

impl Workspace {
    /// Memory that keeps what the pass back needs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory for gradient checkpointing: less of it, a third more work.
    pub fn checkpointing() -> Self {
        Self { checkpointing: true, ..Self::default() }
    }
}

/// Makes `values` as long as asked; what is in it is overwritten later.
fn sized<T: Default + Clone>(values: &mut Vec<T>, n: usize) -> &mut [T] {
    values.resize(n, T::default());
    values
}

impl GptNeoX {
    /// Negative log-likelihood of every target of the batch, in order.
    ///
    /// # Panics
    /// If a token is beyond the vocabulary or a segment longer than the context.
    pub fn losses(&self, batch: &Batch, workspace: &mut Workspace) -> Vec<f32> {
        nn::in_pool(|| self.losses_of(batch, workspace))
    }

    fn losses_of(&self, batch: &Batch, workspace: &mut Workspace) -> Vec<f32> {
        self.forward(batch, workspace, false);
        self.pick(batch, workspace);
        let targets: Vec<u32> = batch.targets.iter().map(|(_, token)| *token).collect();
        let head = &self.values[self.layout.embed_out.clone()];
        cross_entropy::negative_log_likelihood(&workspace.hidden, &targets, head, &mut workspace.scratch)
    }

    /// Logits at `places` of the batch, `[n_places, vocabulary]`.
    ///
    /// # Panics
    /// As [`GptNeoX::losses`].
    pub fn logits(&self, batch: &Batch, places: &[usize], workspace: &mut Workspace) -> Vec<f32> {
        let asked = Batch { targets: places.iter().map(|&place| (place, 0)).collect(), ..batch.clone() };
        self.forward(&asked, workspace, false);
        self.pick(&asked, workspace);
        let mut logits = vec![0.0; places.len() * self.config.vocab_size];
        let head = &self.values[self.layout.embed_out.clone()];
        let rows = Operand::rows_of(&workspace.hidden, places.len(), self.config.hidden_size);
        let head = Operand::rows_of(head, self.config.vocab_size, self.config.hidden_size);
        multiply_into(rows, head.t(), &mut logits, false);
        logits
    }

    /// Residual stream before every block and after the last one, for comparison with other programs.
    ///
    /// # Panics
    /// As [`GptNeoX::losses`].
    pub fn residuals(&self, batch: &Batch) -> Vec<Vec<f32>> {
        let mut workspace = Workspace::new();
        self.forward(batch, &mut workspace, true);
        workspace.inputs
    }

    /// Negative log-likelihood of every target, and the gradient of `scale` times their sum by every trained
    /// value.
    ///
    /// - `gradients`: as long as [`GptNeoX::trained`]; overwritten, or added to if `accumulate`.
    ///
    /// For the mean over all targets of a step, `scale` is one over their number in all its batches.
    ///
    /// # Panics
    /// As [`GptNeoX::losses`], or if lengths do not fit.
    pub fn loss_and_gradients(
        &self,
        batch: &Batch,
        scale: f32,
        workspace: &mut Workspace,
        gradients: &mut [f32],
        accumulate: bool,
    ) -> Vec<f32> {
        assert_eq!(gradients.len(), self.trained().len(), "gradients of this model");
        nn::in_pool(|| self.passes(batch, scale, workspace, gradients, accumulate))
    }

    fn passes(
        &self,
        batch: &Batch,
        scale: f32,
        workspace: &mut Workspace,
        gradients: &mut [f32],
        accumulate: bool,
    ) -> Vec<f32> {
        let trains_all = self.lora.is_none();
        if trains_all && !accumulate {
            // Matrices are overwritten; what is added up begins at 0.
            for parameter in &self.layout.parameters {
                if parameter.shape.len() == 1 {
                    gradients[parameter.range.clone()].fill(0.0);
                }
            }
            if !self.config.tied {
                gradients[self.layout.embed_in.clone()].fill(0.0);
            }
        }
        self.forward(batch, workspace, true);
        self.pick(batch, workspace);
        let targets: Vec<u32> = batch.targets.iter().map(|(_, token)| *token).collect();
        let width = self.config.hidden_size;
        let n = batch.n_tokens();
        let head = self.layout.embed_out.clone();
        let grad_hidden = sized(&mut workspace.grad_hidden, targets.len() * width);
        let losses = cross_entropy::loss_and_gradients(
            &workspace.hidden,
            &targets,
            &self.values[head.clone()],
            scale,
            grad_hidden,
            if trains_all { Some(&mut gradients[head]) } else { None },
            accumulate,
            &mut workspace.scratch,
        );
        // Through the last norm, then from the labelled places back to all.
        let final_norm = &self.layout.norm_final;
        let mut grad_picked = vec![0.0; grad_hidden.len()];
        norm::backward(
            &workspace.picked,
            &workspace.picked_stats,
            &self.values[final_norm.weight.clone()],
            grad_hidden,
            &mut grad_picked,
            if trains_all { Some(two_ranges(gradients, final_norm)) } else { None },
        );
        let grad = sized(&mut workspace.grad, n * width);
        grad.fill(0.0);
        for (from, &(place, _)) in grad_picked.chunks_exact(width).zip(&batch.targets) {
            let to = &mut grad[place * width..(place + 1) * width];
            to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        }
        for layer in (0..self.config.n_layers).rev() {
            if workspace.checkpointing {
                self.block_forward(layer, batch, workspace, 0);
            }
            self.block_backward(layer, batch, workspace, gradients, accumulate);
        }
        if trains_all {
            let grad_embed = &mut gradients[self.layout.embed_in.clone()];
            for (row, &id) in workspace.grad.chunks_exact(width).zip(&batch.ids) {
                let to = &mut grad_embed[id as usize * width..(id as usize + 1) * width];
                to.iter_mut().zip(row).for_each(|(a, b)| *a += b);
            }
        }
        losses
    }

    /// Runs all blocks. With `keep`, everything the pass back needs stays in the workspace.
    fn forward(&self, batch: &Batch, workspace: &mut Workspace, keep: bool) {
        let width = self.config.hidden_size;
        assert_eq!(batch.ids.len(), batch.segments.iter().sum::<usize>(), "segments of all tokens");
        let longest = batch.segments.iter().copied().max().unwrap_or(0);
        assert!(longest <= self.config.max_positions, "segments within the context");
        let n_kept = if keep && !workspace.checkpointing { self.config.n_layers } else { 1 };
        workspace.kept.resize_with(n_kept, Kept::default);
        let n_inputs = if keep { self.config.n_layers + 1 } else { 2 };
        workspace.inputs.resize_with(n_inputs, Vec::new);
        let embed = &self.values[self.layout.embed_in.clone()];
        let x = sized(&mut workspace.inputs[0], batch.n_tokens() * width);
        for (to, &id) in x.chunks_exact_mut(width).zip(&batch.ids) {
            to.copy_from_slice(&embed[id as usize * width..(id as usize + 1) * width]);
        }
        for layer in 0..self.config.n_layers {
            let slot = if n_kept == 1 { 0 } else { layer };
            if keep {
                self.block(layer, layer, batch, workspace, slot);
            } else {
                // Two rows of inputs take turns.
                if layer > 0 {
                    workspace.inputs.swap(0, 1);
                }
                self.block(layer, 0, batch, workspace, slot);
            }
        }
    }

    /// Runs one block again, for its backward pass.
    fn block_forward(&self, layer: usize, batch: &Batch, workspace: &mut Workspace, slot: usize) {
        // The output is not needed again, and the next block's input must stay until its own turn is over.
        let next = std::mem::take(&mut workspace.inputs[layer + 1]);
        self.block(layer, layer, batch, workspace, slot);
        workspace.inputs[layer + 1] = next;
    }

    /// `inputs[at + 1] = block(inputs[at])`.
    fn block(&self, layer: usize, at: usize, batch: &Batch, workspace: &mut Workspace, slot: usize) {
        let block = &self.layout.blocks[layer];
        let heads = self.heads();
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let n = batch.n_tokens();
        let Workspace { inputs, kept, normed, wide, rows, .. } = workspace;
        let kept = &mut kept[slot];
        let (before, after) = inputs.split_at_mut(at + 1);
        let x = before[at].as_slice();
        let out = sized(&mut after[0], n * width);

        let stats = sized(&mut kept.stats, n);
        norm::row_stats(x, width, self.config.layer_norm_eps, stats);
        let normed = sized(normed, n * width);
        self.normalise(x, stats, &block.norm_attention, normed);
        let qkv_rows = sized(wide, n * 3 * width);
        self.linear(layer, QKV, normed, qkv_rows, false, &mut kept.inner[QKV]);
        let qkv = sized(&mut kept.qkv, n * 3 * width);
        attention::split_heads(qkv_rows, &batch.segments, heads, &self.rotary, qkv);
        let attended = sized(&mut kept.attended, n * width);
        let log_sums = sized(&mut kept.log_sums, n * heads.n_heads);
        attention::forward(qkv, &batch.segments, heads, attended, log_sums);
        let rows = sized(rows, n * width);
        attention::to_rows(attended, &batch.segments, heads, rows);
        out.copy_from_slice(x);
        self.linear(layer, DENSE, rows, out, true, &mut kept.inner[DENSE]);

        if self.config.parallel_residual {
            self.normalise(x, stats, &block.norm_mlp, normed);
        } else {
            let middle = sized(&mut kept.middle, n * width);
            middle.copy_from_slice(out);
            let stats = sized(&mut kept.middle_stats, n);
            norm::row_stats(middle, width, self.config.layer_norm_eps, stats);
            self.normalise(middle, stats, &block.norm_mlp, normed);
        }
        let up = sized(&mut kept.up, n * inner);
        self.linear(layer, UP, normed, up, false, &mut kept.inner[UP]);
        let active = sized(wide, n * inner);
        self.config.gelu.apply_to(up, active);
        self.linear(layer, DOWN, active, out, true, &mut kept.inner[DOWN]);
    }

    /// Turns `workspace.grad`, the gradient by the block's output, into that by its input.
    #[allow(clippy::too_many_lines, reason = "the way back through a block reads best from end to start")]
    fn block_backward(
        &self,
        layer: usize,
        batch: &Batch,
        workspace: &mut Workspace,
        gradients: &mut [f32],
        accumulate: bool,
    ) {
        let block = &self.layout.blocks[layer];
        let heads = self.heads();
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let n = batch.n_tokens();
        let trains_all = self.lora.is_none();
        let slot = if workspace.kept.len() == 1 { 0 } else { layer };
        let Workspace {
            inputs,
            kept,
            normed,
            rows,
            grad,
            grad_x,
            grad_normed,
            grad_wide,
            grad_sorted,
            grad_qkv,
            wide,
            ..
        } = workspace;
        let kept = &mut kept[slot];
        let x = inputs[layer].as_slice();
        // Below the first block is only the embedding, which an adapter leaves alone.
        let needs_input = trains_all || layer > 0;
        let grad_x = sized(grad_x, n * width);
        grad_x.copy_from_slice(grad);

        // Perceptron.
        let normed = sized(normed, n * width);
        let (of_mlp, mlp_stats) = if self.config.parallel_residual {
            (x, kept.stats.as_slice())
        } else {
            (kept.middle.as_slice(), kept.middle_stats.as_slice())
        };
        self.normalise(of_mlp, mlp_stats, &block.norm_mlp, normed);
        let grad_up = sized(grad_wide, n * inner);
        self.linear_input_gradient(layer, DOWN, grad, grad_up);
        if self.lora.as_ref().is_some_and(|lora| lora.rank(layer, DOWN).is_some()) {
            // The adapter's part needs the activation's output and adds to the gradient by it.
            let active = sized(wide, n * inner);
            self.config.gelu.apply_to(&kept.up, active);
            self.adapter_backward(
                layer,
                DOWN,
                active,
                &kept.inner,
                grad,
                Some(grad_up),
                gradients,
                accumulate,
            );
        }
        self.config.gelu.backward(&mut kept.up, grad_up);
        self.linear_gradients(layer, DOWN, &kept.up, grad, gradients, accumulate);
        self.linear_gradients(layer, UP, normed, grad_up, gradients, accumulate);
        let sequential = !self.config.parallel_residual;
        if needs_input || sequential {
            let grad_normed = sized(grad_normed, n * width);
            self.linear_input_gradient(layer, UP, grad_up, grad_normed);
            self.adapter_backward(
                layer,
                UP,
                normed,
                &kept.inner,
                grad_up,
                Some(grad_normed),
                gradients,
                accumulate,
            );
            self.norm_backward(of_mlp, mlp_stats, &block.norm_mlp, grad_normed, grad_x, gradients);
        } else {
            self.adapter_backward(layer, UP, normed, &kept.inner, grad_up, None, gradients, accumulate);
        }
        if sequential {
            // What reaches the middle goes on to attention.
            grad.copy_from_slice(grad_x);
        }

        // Attention.
        let rows = sized(rows, n * width);
        attention::to_rows(&kept.attended, &batch.segments, heads, rows);
        let grad_rows = sized(grad_normed, n * width);
        self.linear_input_gradient(layer, DENSE, grad, grad_rows);
        self.adapter_backward(layer, DENSE, rows, &kept.inner, grad, Some(grad_rows), gradients, accumulate);
        self.linear_gradients(layer, DENSE, rows, grad, gradients, accumulate);
        let grad_sorted = sized(grad_sorted, n * width);
        attention::to_heads(grad_rows, &batch.segments, heads, grad_sorted);
        let grad_qkv = sized(grad_qkv, n * 3 * width);
        attention::backward(
            &kept.qkv,
            &batch.segments,
            heads,
            &kept.attended,
            &kept.log_sums,
            grad_sorted,
            grad_qkv,
        );
        let grad_qkv_rows = sized(grad_wide, n * 3 * width);
        attention::join_gradients(grad_qkv, &batch.segments, heads, &self.rotary, grad_qkv_rows);
        self.normalise(x, &kept.stats, &block.norm_attention, normed);
        self.linear_gradients(layer, QKV, normed, grad_qkv_rows, gradients, accumulate);
        if needs_input {
            let grad_normed = sized(grad_normed, n * width);
            self.linear_input_gradient(layer, QKV, grad_qkv_rows, grad_normed);
            self.adapter_backward(
                layer,
                QKV,
                normed,
                &kept.inner,
                grad_qkv_rows,
                Some(grad_normed),
                gradients,
                accumulate,
            );
            self.norm_backward(x, &kept.stats, &block.norm_attention, grad_normed, grad_x, gradients);
        } else {
            self.adapter_backward(
                layer,
                QKV,
                normed,
                &kept.inner,
                grad_qkv_rows,
                None,
                gradients,
                accumulate,
            );
        }
        grad.copy_from_slice(grad_x);
    }

    /// Hidden rows of the labelled places, through the last norm.
    fn pick(&self, batch: &Batch, workspace: &mut Workspace) {
        let width = self.config.hidden_size;
        let last = workspace.inputs.len() - 1;
        let n = batch.targets.len();
        let picked = sized(&mut workspace.picked, n * width);
        for (to, &(place, _)) in picked.chunks_exact_mut(width).zip(&batch.targets) {
            to.copy_from_slice(&workspace.inputs[last][place * width..(place + 1) * width]);
        }
        let stats = sized(&mut workspace.picked_stats, n);
        norm::row_stats(picked, width, self.config.layer_norm_eps, stats);
        let hidden = sized(&mut workspace.hidden, n * width);
        self.normalise(picked, stats, &self.layout.norm_final, hidden);
    }

    fn normalise(&self, x: &[f32], stats: &[RowStats], norm: &Norm, out: &mut [f32]) {
        norm::normalise(x, stats, &self.values[norm.weight.clone()], &self.values[norm.bias.clone()], out);
    }

    fn norm_backward(
        &self,
        x: &[f32],
        stats: &[RowStats],
        norm: &Norm,
        grad_out: &[f32],
        grad_x: &mut [f32],
        gradients: &mut [f32],
    ) {
        let parameters = if self.lora.is_none() { Some(two_ranges(gradients, norm)) } else { None };
        norm::backward(x, stats, &self.values[norm.weight.clone()], grad_out, grad_x, parameters);
    }

    fn linear_place(&self, layer: usize, which: usize) -> &Linear {
        &self.layout.blocks[layer].linears[which]
    }

    fn weight(&self, linear: &Linear) -> Operand<'_> {
        Operand::rows_of(&self.values[linear.weight.clone()], linear.n_out, linear.n_in)
    }

    /// `out (+)= x · Wᵀ + b`, and the adapter's part.
    fn linear(
        &self,
        layer: usize,
        which: usize,
        x: &[f32],
        out: &mut [f32],
        add: bool,
        inner: &mut Vec<f32>,
    ) {
        let linear = self.linear_place(layer, which);
        let n = x.len() / linear.n_in;
        multiply_into(Operand::rows_of(x, n, linear.n_in), self.weight(linear).t(), out, add);
        if let Some(bias) = &linear.bias {
            add_to_rows(out, &self.values[bias.clone()]);
        }
        if let Some(lora) = &self.lora {
            lora.forward(layer, which, x, inner, out);
        }
    }

    /// `grad_x = grad_out · W`.
    fn linear_input_gradient(&self, layer: usize, which: usize, grad_out: &[f32], grad_x: &mut [f32]) {
        let linear = self.linear_place(layer, which);
        let rows = Operand::rows_of(grad_out, grad_out.len() / linear.n_out, linear.n_out);
        multiply_into(rows, self.weight(linear), grad_x, false);
    }

    /// Gradients of weight and bias; nothing where only an adapter is trained.
    fn linear_gradients(
        &self,
        layer: usize,
        which: usize,
        x: &[f32],
        grad_out: &[f32],
        gradients: &mut [f32],
        accumulate: bool,
    ) {
        if self.lora.is_some() {
            return;
        }
        let linear = self.linear_place(layer, which);
        let n = x.len() / linear.n_in;
        let grad_rows = Operand::rows_of(grad_out, n, linear.n_out);
        let rows = Operand::rows_of(x, n, linear.n_in);
        multiply_into(grad_rows.t(), rows, &mut gradients[linear.weight.clone()], accumulate);
        if let Some(bias) = &linear.bias {
            sum_rows(grad_out, &mut gradients[bias.clone()]);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a linear layer's inputs and outputs")]
    fn adapter_backward(
        &self,
        layer: usize,
        which: usize,
        x: &[f32],
        inner: &[Vec<f32>; 4],
        grad_out: &[f32],
        grad_x: Option<&mut [f32]>,
        gradients: &mut [f32],
        accumulate: bool,
    ) {
        if let Some(lora) = &self.lora {
            lora.backward(layer, which, x, &inner[which], grad_out, grad_x, gradients, accumulate);
        }
    }
}

/// Gradients of a norm's weight and bias, which stand one after the other.
fn two_ranges<'a>(gradients: &'a mut [f32], norm: &Norm) -> (&'a mut [f32], &'a mut [f32]) {
    let both = &mut gradients[norm.weight.start..norm.bias.end];
    both.split_at_mut(norm.weight.len())
}
