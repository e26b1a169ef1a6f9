//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Why vectors could not be read, written, trained or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WordVecError {
    /// A file cannot be opened.
    #[error("cannot open `{}`: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Reading or writing failed on the way.
    #[error("cannot read or write vectors: {0}")]
    Io(#[from] io::Error),
    /// The file ends too early.
    #[error("the file is cut short: it ends in row {row} of {expected} (byte {byte}); fetch it again")]
    Truncated {
        /// Row being read, from 1.
        row: usize,
        /// Rows announced.
        expected: usize,
        /// Bytes read so far.
        byte: u64,
    },
    /// A row or the header is not what the format says.
    #[error(
        "row {row} (byte {byte}): {what}; expected word vectors as word2vec, GloVe or fastText write them"
    )]
    Malformed {
        /// Row, from 1; 0 for the header.
        row: usize,
        /// Bytes read so far.
        byte: u64,
        /// What does not fit.
        what: String,
    },
    /// The checksum of our own format does not fit.
    #[error("the file is damaged: {0}; make or fetch it again")]
    Damaged(String),
    /// The file was written by a newer program.
    #[error(
        "the file has format version {found}, this program knows versions up to {newest}; use a newer program or convert the file again"
    )]
    Version {
        /// Version of the file.
        found: u32,
        /// Newest version known.
        newest: u32,
    },
    /// Only `.tcwv` files of version 2 can be used without reading them.
    #[error("`{}` is no `.tcwv` file of version 2; convert it first", path.display())]
    NotMappable {
        /// The file.
        path: PathBuf,
    },
    /// There is no vector.
    #[error("there is no word vector in it; check that the file is the right one")]
    Empty,
    /// Sizes do not fit together.
    #[error("{n_words} words of {dim} dimensions need {expected} values, found {found}")]
    Shape {
        /// Number of words.
        n_words: usize,
        /// Number of dimensions.
        dim: usize,
        /// Values expected.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// A word occurs twice.
    #[error("the word `{0}` occurs twice")]
    Duplicate(String),
    /// A word has no vector.
    #[error("the word `{0}` has no vector; check its spelling and case")]
    UnknownWord(String),
    /// There are not enough words for the question.
    #[error("{found} words given, at least {least} are needed")]
    TooFewWords {
        /// Words given.
        found: usize,
        /// Words needed.
        least: usize,
    },
    /// A setting of the training is out of range.
    #[error("training setting `{name}` is {found}; it must be {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Value found.
        found: String,
        /// Values allowed.
        expected: &'static str,
    },
    /// The corpus has nothing to learn from.
    #[error(
        "the text has {n_words} words that occur at least {min_count} times, at least 2 are needed; \
         use more text or a lower `min_count`"
    )]
    TooLittleText {
        /// Words left.
        n_words: usize,
        /// Least count.
        min_count: u64,
    },
    /// Stopped by the progress callback.
    #[error("training was interrupted")]
    Interrupted,
    /// A link of a word graph leads nowhere.
    #[error("link {link} names word {position}, but there are {n_words}")]
    Link {
        /// Number of the link, from 0.
        link: usize,
        /// Position named.
        position: usize,
        /// Number of words.
        n_words: usize,
    },
    /// There is nothing to train an encoder on.
    #[error(
        "{n_pairs} pairs of texts with known words, at least 2 are needed; use more pairs or a larger vocabulary"
    )]
    TooFewPairs {
        /// Usable pairs.
        n_pairs: usize,
    },
    /// A pair of texts names a document that is not there.
    #[error("pair {pair} names document {document}, but there are {n_documents}")]
    Document {
        /// Number of the pair, from 0.
        pair: usize,
        /// Document named.
        document: u32,
        /// Number of documents.
        n_documents: usize,
    },
    /// SIF needs texts with known words.
    #[error("no text has a known word to estimate the common direction from")]
    NoKnownWord,
}
