//! The knowledge graph of a catalogue: films, what is known of them, and what is a kind of what.
//!
//! [`build`] makes the file, [`Graph::open`] maps it. Films are numbered as in the catalogue; an edge
//! says whether a column of the catalogue has it or it was derived from text (`docs/graph.md`).
//!
//! ```
//! # use titlecard_engine::{catalogue::Film, graph::{self, Graph, GraphConfig, Kind, Relation}, progress};
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("graph.tcg");
//! # let films = [Film {
//! #     id: "1".into(), title: "Jaws".into(), tags: "x".into(), keywords: vec!["Living Dead".into()],
//! #     ..Film::default()
//! # }];
//! graph::build(&path, &films, &GraphConfig::default(), &mut progress::silent)?;
//! let graph = Graph::open(&path)?;
//! let keyword = graph.find(Kind::Keyword, "living-dead").unwrap();
//! assert_eq!(graph.edges(0, Relation::Keyword).collect::<Vec<_>>(), [(keyword, false)]);
//! assert_eq!(graph.films_of(keyword, Relation::Keyword).collect::<Vec<_>>(), [0]);
//! let above: Vec<&str> = graph.ancestors(keyword).map(|id| graph.name(id)).collect();
//! assert_eq!(above, ["Horror", "monster", "undead"]);
//! # Ok::<(), graph::GraphError>(())
//! ```

mod build;
mod draw;
mod export;
mod facts;
mod is_a;
mod keywords;
mod kind;
mod phrases;
pub mod rdf;
mod relation;
mod sparql;
mod store;
mod vocabulary;
mod wordnet;

use serde::{Deserialize, Serialize};

pub use build::{GraphSummary, Lists, build, build_by};
pub use draw::{Above, Linked, Neighbourhood, Related, ShowConfig, film_name};
pub use export::{ExportFormat, export};
pub use keywords::PhrasePrecision;
pub use kind::Kind;
pub use relation::Relation;
pub use sparql::{Value, query};
pub use store::{Edges, EntityId, Films, Graph, GraphError, Relatives, entity_key};

/// Settings of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphConfig {
    /// Folder with WordNet's `data.noun` and `index.noun`; empty for the film vocabulary alone.
    pub wordnet: String,
    /// Tab-separated file of ids (`tmdb_id`, `imdb_id`, `wikipedia_page_id`, `original_language`); empty
    /// for none.
    pub ids: String,
    /// Whether genres and keywords have what they are a kind of (a slasher is horror); years and places always
    /// have their decades and countries.
    pub is_a: bool,
    /// Share of the films with keywords and a phrase in the overview that need to have the phrase as
    /// keyword for it to give films without keywords that keyword.
    pub min_phrase_precision: f64,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self { wordnet: String::new(), ids: String::new(), is_a: true, min_phrase_precision: 0.3 }
    }
}
