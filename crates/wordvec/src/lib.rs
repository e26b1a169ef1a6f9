//! Static word vectors: read, map, write, train, pool, and a static text encoder.
//!
//! - [`read`] understands word2vec binary and text, GloVe, fastText `.vec` and our own format, plain or
//!   compressed, and says which it found; [`MappedVectors`] and [`Word2vecFile`] use files without reading
//!   them.
//! - [`train`] learns skip-gram and CBOW vectors, with the same bytes for the same seed on any number of
//!   threads, or faster without a lock.
//! - [`pool`] turns the words of a text into one vector: mean, max-abs, idf, SIF; [`oov`] says what unknown
//!   words count as.
//! - [`similar`] finds neighbours and analogies, [`mod@retrofit`] moves vectors towards related words.
//! - [`encoder`] learns a text encoder of token vectors and weights.
//! - [`mod@write`] writes what others read, and a compact format of our own.
//!
//! ```
//! use wordvec::{WordVectors, pool};
//! let vectors = WordVectors::new(vec!["red".into(), "balloon".into()], 2, vec![1.0, 0.0, 0.0, -2.0])?;
//! let mut pooled = [0.0; 2];
//! assert_eq!(pool::mean(&vectors, ["red", "balloon", "unknown"], &mut pooled), 2);
//! assert_eq!(pooled, [0.5, -1.0]);
//! # Ok::<(), wordvec::WordVecError>(())
//! ```

pub mod encoder;
mod error;
mod half;
mod kernels;
mod mapping;
pub mod oov;
pub mod pool;
pub mod read;
pub mod retrofit;
pub mod similar;
mod table;
mod tcwv;
pub mod train;
mod vectors;
mod word2vec_file;
mod word_index;
pub mod write;

pub use error::WordVecError;
pub use table::WordTable;
pub use tcwv::{MappedVectors, TcwvWriter};
pub use vectors::WordVectors;
pub use word2vec_file::{IndexOrigin, Word2vecFile};
