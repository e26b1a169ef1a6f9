//! Placeholder, replaced by the first version of this crate.
