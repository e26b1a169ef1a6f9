//! `titlecard graph`: builds, asks, draws and exports the knowledge graph.

use std::time::Instant;

use titlecard_engine::graph::GraphSummary;
use titlecard_engine::pipeline;

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// What to do with the graph.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Build the graph of the prepared catalogue
    Build(BuildArguments),
}

/// Builds the graph of films, people, genres, keywords, places and times, and what is a kind of what.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard graph build\n  \
                        titlecard graph build --set graph.wordnet=wordnet/dict --set graph.ids=ids.tsv.zst")]
pub(crate) struct BuildArguments {
    /// The summary as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    match arguments {
        Arguments::Build(arguments) => build(&arguments, session),
    }
}

fn build(arguments: &BuildArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let catalogue = pipeline::load_films(&session.workspace)?;
    let started = Instant::now();
    let summary = session.with_progress(|progress| {
        pipeline::build_graph(&session.workspace, &session.config, catalogue.films(), progress)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        output::json(&summary)?;
    } else {
        output::text(&describe(&summary))?;
    }
    let path = session.workspace.graph();
    let n_bytes = path.metadata().map_or(0, |file| file.len());
    session.say(&format!(
        "{} edges in {seconds:.1} s, {:.1} MB: `{}`",
        summary.n_edges(),
        n_bytes as f64 / 1e6,
        path.display()
    ));
    Ok(Outcome::Done)
}

/// The summary as lines of text.
fn describe(summary: &GraphSummary) -> String {
    let mut text = String::from("entities\n");
    for (kind, count) in &summary.entities {
        text.push_str(&format!("  {kind:<12}{count:>10}\n"));
    }
    text.push_str("edges       from columns   derived\n");
    for (relation, (given, derived)) in &summary.edges {
        text.push_str(&format!("  {relation:<12}{given:>10}{derived:>10}\n"));
    }
    text.push_str("is-a\n");
    for (source, count) in &summary.is_a {
        text.push_str(&format!("  {source:<26}{count:>8}\n"));
    }
    text.push_str(&format!("  {:<26}{:>8}\n", "closed, pairs", summary.n_ancestors));
    let precision = &summary.keyword_precision;
    if precision.n_derived > 0 {
        text.push_str(&format!(
            "derived keywords: {} phrases; on {} held-out films with keywords {} derived, {:.1} % of them in \
             the column\n",
            summary.n_phrases,
            precision.n_films,
            precision.n_derived,
            100.0 * precision.precision()
        ));
    }
    for (relation, (derived, confirmed)) in &summary.confirmed {
        text.push_str(&format!(
            "derived {relation}: {derived} for films with a column to compare, {confirmed} of them in it ({:.1} %)\n",
            100.0 * *confirmed as f64 / (*derived).max(1) as f64
        ));
    }
    if summary.n_linked > 0 {
        text.push_str(&format!("{} films with an IMDb id or a Wikipedia page\n", summary.n_linked));
    }
    text
}
