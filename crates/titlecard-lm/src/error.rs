//! Why something with a language model failed.

use std::path::PathBuf;

use titlecard_engine::artifact::ArtifactError;
use titlecard_engine::eval::plots::PlotError;
use titlecard_engine::progress::Interrupted;

/// Why something with a language model failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LmError {
    /// Reading or writing a file.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A folder without a file a model needs.
    #[error("`{}` has no `{file}`, so it is no model; expected a folder with {expected}", folder.display())]
    NoModel {
        /// The folder.
        folder: PathBuf,
        /// The file that is missing.
        file: &'static str,
        /// What such a folder holds.
        expected: &'static str,
    },
    /// A file is not what its name says.
    #[error("`{}` is damaged: {what}; copy or fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Something that a model asks for and this program does not do.
    #[error("`{}`: {what} is not supported (supported: {supported})", path.display())]
    Unsupported {
        /// The file that asks for it.
        path: PathBuf,
        /// What it asks for.
        what: String,
        /// What there is instead.
        supported: &'static str,
    },
    /// A tensor is missing, has another shape, or is unknown.
    #[error("`{}`: tensor `{name}` {what}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The tokenizer knows tokens the model has no row for.
    #[error(
        "the tokenizer has {n_tokens} tokens and the model rows for {vocabulary}; take the tokenizer the model was trained with"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        n_tokens: usize,
        /// Rows of the model.
        vocabulary: usize,
    },
    /// The tokenizer library refused.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// More tokens than the model has positions.
    #[error(
        "the prompt has {n_prompt} tokens and {n_new} are to follow, the model has {context} positions; shorten the prompt or ask for fewer"
    )]
    TooLong {
        /// Tokens of the prompt.
        n_prompt: usize,
        /// Tokens asked for.
        n_new: usize,
        /// Positions of the model.
        context: usize,
    },
    /// Nothing to continue.
    #[error("the prompt is empty; give at least one word")]
    EmptyPrompt,
    /// A setting out of range.
    #[error("`{name}` is {found}, it must be {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Value found.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Nothing to learn from.
    #[error(
        "no film gives an example for `{template}` ({n_films} films, {n_dropped} lack a field of it); use other fields or another catalogue"
    )]
    NoExamples {
        /// Template of prompt and completion.
        template: String,
        /// Films looked at.
        n_films: usize,
        /// Films without a field the template names.
        n_dropped: usize,
    },
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} in step {step} at learning rate {learning_rate:e}; the last good state is kept, take a lower `lm.learning_rate` or `lm.clip`"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
        /// Learning rate.
        learning_rate: f64,
    },
    /// Nothing to resume.
    #[error("`{}` holds no unfinished training; train without `--resume`", folder.display())]
    NoCheckpoint {
        /// The folder.
        folder: PathBuf,
    },
    /// A checkpoint of another training.
    #[error("the checkpoint was made with other {what}; train without `--resume` or put them back")]
    OtherTraining {
        /// What differs.
        what: &'static str,
    },
    /// An adapter that is not for this model.
    #[error("the adapter does not fit the model: {0}")]
    Adapter(String),
    /// A model could not be fetched.
    #[error("cannot fetch `{name}`: {reason}; give the folder of a model that is on this machine")]
    Fetch {
        /// Name of the model or file.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// Drawing the loss.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
