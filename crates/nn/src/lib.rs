//! Dense layers with explicit forward and backward passes, losses and optimisers.
//!
//! No graph is recorded and nothing is differentiated automatically: a net of a few dense layers needs
//! three matrix products a layer, and writing them out is both faster and easier to check (numeric
//! gradients and PyTorch's values in the tests). Matrix products run on the `gemm` crate, which picks
//! the widest vector instructions of the machine at run time.
//!
//! Results are the same bytes for any number of threads: work is always cut at the same places.
//!
//! ```
//! use nn::{Activation, Loss, Matrix, Mlp, MlpConfig, Optimizer, Workspace};
//! let config = MlpConfig {
//!     sizes: vec![2, 16, 1], activation: Activation::Relu, dropout: vec![0.0], residual_io: false, seed: 1,
//! };
//! let mut net = Mlp::new(&config)?;
//! let mut optimizer = Optimizer::sgd(&net, 0.05, 0.9, 0.0);
//! let input = Matrix::from_rows(&[&[0.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 1.0]]);
//! let target = Matrix::from_rows(&[&[0.0], &[1.0], &[1.0], &[0.0]]);
//! let mut workspace = Workspace::new(&net, 4);
//! let mut gradient = Matrix::zeros(4, 1);
//! let mut loss = f32::MAX;
//! for step in 0..500 {
//!     let predicted = net.forward_train(&input, step, &mut workspace);
//!     loss = Loss::Mse.value_and_grad(predicted, &target, &mut gradient);
//!     net.backward(&gradient, &mut workspace);
//!     optimizer.step(&mut net, workspace.gradients());
//! }
//! assert!(loss < 0.01);
//! # Ok::<(), nn::NnError>(())
//! ```

pub mod attention;
pub mod cross_entropy;
mod loss;
mod matrix;
mod mlp;
pub mod norm;
mod optimizer;
mod product;
pub mod schedule;
pub mod simd;
pub mod skinny;
#[cfg(test)]
mod tests;

pub use loss::Loss;
pub use matrix::Matrix;
pub use mlp::{Activation, Gradients, Mlp, MlpConfig, Workspace, safetensors_metadata};
pub use optimizer::{Adam, AdamConfig, Optimizer};
pub use product::{Operand, multiply_into, multiply_strided};

/// Runs `task` on a thread of the pool. Its parallel parts then begin at once; from outside each would wait
/// for a thread of the pool to wake up, some microseconds every time.
pub fn in_pool<R: Send>(task: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| task())
}

/// Why a net cannot be made or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    /// The layer sizes make no net.
    #[error("layer sizes are {sizes:?}; there must be at least two, each at least 1")]
    Sizes {
        /// Sizes found.
        sizes: Vec<usize>,
    },
    /// The dropout shares do not fit the hidden layers.
    #[error("dropout is {dropout:?} for {n_hidden} hidden layers; give one share from 0 to below 1 for each")]
    Dropout {
        /// Shares found.
        dropout: Vec<f32>,
        /// Number of hidden layers.
        n_hidden: usize,
    },
    /// Saved weights do not fit the net.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape found.
        found: Vec<usize>,
        /// Shape expected.
        expected: Vec<usize>,
    },
    /// Saved weights are missing or not 32-bit floats.
    #[error("tensor `{name}` is missing or not of 32-bit floats")]
    Tensor {
        /// Name of the tensor.
        name: String,
    },
    /// The bytes are no safetensors file.
    #[error("not a safetensors file: {0}")]
    File(#[from] safetensors::SafeTensorError),
    /// Saved optimiser state does not fit the net.
    #[error("optimiser state has {found} bytes, expected {expected}")]
    State {
        /// Bytes found.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
}
