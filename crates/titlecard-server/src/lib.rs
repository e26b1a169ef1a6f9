//! HTTP API and web page of titlecard.
//!
//! ```text
//! serve      connections, time limits, TLS, signals
//!   api      routes, keys, rate limit, deadline; search, films, rules
//!     gate   so many searches at a time, so many waiting
//!   web      the page and the rendered OpenAPI document
//! state      one snapshot of catalogue and rules, exchanged as a whole
//! updates    journal, build and exchange of changed films
//! ```
//!
//! No logic of retrieval is here: the engine answers, this crate carries. It never opens a connection to anybody.

mod api;
mod error;
mod gate;
mod journal;
mod keys;
mod limits;
mod metrics;
mod serve;
mod state;
mod updates;
mod web;

pub use api::openapi;
pub use error::{ApiError, Code, ErrorBody, ErrorDetail};
pub use journal::{Change, Entry, Journal, JournalError, apply};
pub use keys::{Key, KeyError, Keys, Role, new_key};
pub use serve::Server;
pub use state::{ReadSettings, ServeError, keys_path};
