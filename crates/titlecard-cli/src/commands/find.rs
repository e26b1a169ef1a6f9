//! `titlecard find`: films by their titles, however they are typed.

use std::fmt::Write as _;

use serde::Serialize;
use titlecard_engine::graph::{EntityId, Graph, film_name};
use titlecard_engine::pipeline;
use titlecard_engine::titles::{Fit, Found};

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Finds films by title: with slips of the keys, without articles or diacritics, by the first letters, by the
/// original title. A year in brackets chooses among films of one title.
///
/// Exit code 1 if nothing was found.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard find \"sevn samurai\"\n  titlecard find \"the thing (1982)\" --json"
)]
pub(crate) struct Arguments {
    /// The title, or its beginning
    #[arg(value_name = "TITLE")]
    title: String,
    /// Films to show
    #[arg(short = 'k', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// One JSON object a film
    #[arg(long)]
    json: bool,
}

/// A film as one line of JSON.
#[derive(Serialize)]
struct JsonFound<'a> {
    query: &'a str,
    rank: usize,
    id: &'a str,
    name: &'a str,
    #[serde(flatten)]
    found: &'a Found,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let graph = pipeline::open_graph(&session.workspace, None)?;
    let titles = pipeline::open_titles(&session.workspace, &graph)?;
    let found = titles.find(&graph, &arguments.title, usize::from(arguments.top));
    if found.is_empty() {
        session.say(&format!("no title is like `{}`", arguments.title));
        return Ok(Outcome::No);
    }
    if arguments.json {
        for (at, found) in found.iter().enumerate() {
            let (id, name) = (graph.film_id(found.film), graph.name(EntityId(found.film)));
            output::json(&JsonFound { query: &arguments.title, rank: at + 1, id, name, found })?;
        }
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    for (at, found) in found.iter().enumerate() {
        writeln!(text, "{:>3}. {}", at + 1, line(&graph, found))?;
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}

/// `Jaws (1975)  [578]  1 edit`.
pub(crate) fn line(graph: &Graph, found: &Found) -> String {
    let mut line = format!("{}  [{}]", film_name(graph, found.film), graph.film_id(found.film));
    if found.title != graph.name(EntityId(found.film)) {
        line.push_str(&format!("  also called {}", found.title));
    }
    match found.fit {
        Fit::Whole | Fit::Article => {}
        Fit::Beginning => line.push_str("  by its beginning"),
        Fit::Inside => line.push_str("  by words inside"),
    }
    match found.edits {
        0 => {}
        1 => line.push_str("  1 edit"),
        n => line.push_str(&format!("  {n} edits")),
    }
    line
}
