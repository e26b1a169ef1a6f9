//! The knowledge graph of a catalogue: films, what is known of them, and what is a kind of what.

mod kind;

pub use kind::Kind;
