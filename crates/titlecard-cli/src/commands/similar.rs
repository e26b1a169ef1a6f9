//! `titlecard similar`: films like a film, with what they have in common.

use std::fmt::Write as _;

use serde::Serialize;
use titlecard_engine::graph::{EntityId, Graph, Relation, film_name};
use titlecard_engine::index::SearchIndex;
use titlecard_engine::pipeline;
use titlecard_engine::similar::{Part, Shared, Similar, SimilarFilms, SimilarWeights};
use titlecard_engine::titles::Fit;

use crate::commands::find;
use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Ranks films by what they have in common with a film; the parts shown add up to the score.
///
/// Exit code 1 if no film, or more than one, has the title.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard similar Alien\n  titlecard similar \"The Thing (1982)\" -k 10 --json"
)]
pub(crate) struct Arguments {
    /// Id in the catalogue, or title; a year in brackets chooses among films of one title
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
struct JsonSimilar<'a> {
    to: &'a str,
    id: &'a str,
    title: &'a str,
    year: Option<i32>,
    #[serde(flatten)]
    similar: &'a Similar,
}

/// Films offered as choices, at most.
const MAX_CHOICES: usize = 20;
/// Shared names shown for one part, at most.
const MAX_SHARED: usize = 4;

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let folder = session.workspace.index();
    let index = folder.exists().then(|| SearchIndex::open(&folder, false)).transpose()?;
    let graph = pipeline::open_graph(&session.workspace, index.as_ref().map(|index| &index.manifest))?;
    let Some(film) = choose(&arguments.title, &graph, &session)? else { return Ok(Outcome::No) };

    if index.is_none() {
        session.say("there is no index, so texts are not compared; `titlecard index` makes one");
    }
    let films = SimilarFilms::new(&graph, index.as_ref());
    let found = films.most_like(film, usize::from(arguments.top), &SimilarWeights::default());
    if arguments.json {
        for similar in &found {
            let (to, id) = (graph.film_id(film), graph.film_id(similar.film));
            let title = graph.name(EntityId(similar.film));
            output::json(&JsonSimilar { to, id, title, year: year_of(&graph, similar.film), similar })?;
        }
        return Ok(Outcome::Done);
    }
    session.say(&format!("films like {}:", film_name(&graph, film)));
    let mut text = String::new();
    for similar in &found {
        writeln!(text, "{:>3}. {}", similar.rank, film_name(&graph, similar.film))?;
        let said = |part: &&Part| part.contribution != 0.0;
        let sum: Vec<String> = similar
            .parts
            .iter()
            .filter(said)
            .map(|part| format!("{} {:.3}", part.name, part.contribution))
            .collect();
        writeln!(text, "     score {:.3} = {}", similar.score, sum.join(" + "))?;
        for part in similar.parts.iter().filter(|part| !part.shared.is_empty()) {
            writeln!(text, "     {}: {}", part.name, in_words(&part.shared))?;
        }
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}

/// The film meant; otherwise says why not.
fn choose(title: &str, graph: &Graph, session: &Session) -> anyhow::Result<Option<u32>> {
    if let Some(film) = graph.film_with_id(title) {
        return Ok(Some(film));
    }
    let mut found = pipeline::open_titles(&session.workspace, graph)?.find(graph, title, MAX_CHOICES);
    // Titles that are the query itself leave the others behind.
    for is_meant in [Fit::Whole, Fit::Article] {
        if found.iter().any(|one| one.edits == 0 && one.fit == is_meant) {
            found.retain(|one| one.edits == 0 && one.fit == is_meant);
            break;
        }
    }
    match &found[..] {
        [] => session.say(&format!("no film has the id `{title}` or a title like it")),
        [only] => return Ok(Some(only.film)),
        choices => {
            session.say(&format!("several films fit `{title}`; say which by year in brackets, or by id:"));
            choices.iter().for_each(|found| session.say(&format!("  {}", find::line(graph, found))));
        }
    }
    Ok(None)
}

fn year_of(graph: &Graph, film: u32) -> Option<i32> {
    graph.edges(film, Relation::Year).next().and_then(|(year, _)| graph.name(year).parse().ok())
}

/// `vampire, castle, weapon (sword and gun) and 3 more`.
fn in_words(shared: &[Shared]) -> String {
    let names: Vec<String> = shared
        .iter()
        .take(MAX_SHARED)
        .map(|one| match &one.kinds {
            None => one.name.clone(),
            Some([own, their]) => format!("{} ({own} and {their})", one.name),
        })
        .collect();
    let more = shared.len().saturating_sub(MAX_SHARED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}
