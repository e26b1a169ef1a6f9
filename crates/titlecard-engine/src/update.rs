//! Changed films in an opened state, without building anything anew: what a server shows between two builds.
//!
//! Only the texts of changed films are read. Their words become a segment of the text index in memory, their vectors
//! rows behind the mapped ones; the graph, its names and the titles are made anew from the old ones. The state answers
//! as one built of all films would with the same models and lists (docs/decisions/server-changes.md).

use std::time::Instant;

use crate::config::Config;
use crate::graph::Lists;
use crate::index::IndexError;
pub use crate::index::layout::FilmChange;
use crate::index::layout::Layout;
use crate::pipeline::PipelineError;
use crate::query::Lexicon;
use crate::rank::Knowledge;
use crate::search::Engine;
use crate::titles::TitleIndex;

/// The state after `changes` of what `engine` and `titles` know, with the settings `config`; `lists` are those of the
/// last whole build. The old state stays as it is.
///
/// # Errors
/// [`PipelineError`]: nothing would be left, there is no graph, or a file cannot be read.
pub fn update(
    engine: &Engine,
    titles: &TitleIndex,
    changes: &[FilmChange<'_>],
    lists: &Lists,
    config: &Config,
) -> Result<(Engine, TitleIndex), PipelineError> {
    let Some(knowledge) = engine.knowledge() else { return Err(PipelineError::NoGraph) };
    let started = Instant::now();
    let graph = knowledge.graph();
    let place_of = |id: &str| graph.film_with_id(id).map(|film| film as usize);
    let (layout, new) = Layout::after(graph.n_films(), place_of, changes);
    if layout.n_films() == 0 {
        return Err(IndexError::EmptyCatalogue.into());
    }
    let (index, graph) = rayon::join(
        || engine.index().changed(&new, &layout),
        || graph.changed(&new, &layout, lists, &config.graph),
    );
    let (index, graph) = (index?, graph?);
    let (names, titles) =
        rayon::join(|| Lexicon::of_graph(&graph), || titles.changed(&graph, &new, &layout, &index.facts));
    let engine = engine.with_index(index).with_knowledge(Knowledge::with_names(graph, names, &config.search));
    tracing::debug!(n = new.len(), seconds = started.elapsed().as_secs_f64(), "films changed in memory");
    Ok((engine, titles))
}
