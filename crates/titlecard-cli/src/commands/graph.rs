//! `titlecard graph`: builds, asks, draws and exports the knowledge graph.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::{Map, json};
use titlecard_engine::graph::{
    self, EntityId, ExportFormat, Graph, GraphSummary, Neighbourhood, ShowConfig, Value, entity_key,
    film_name, rdf,
};
use titlecard_engine::pipeline;

use crate::session::{Session, SessionArguments, check_stop};
use crate::{Outcome, output};

/// What to do with the graph.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Build the graph of the prepared catalogue
    Build(BuildArguments),
    /// Answer a SPARQL query
    Query(QueryArguments),
    /// Show a film with all it is linked to, as text or as a picture
    Show(ShowArguments),
    /// Write the whole graph for other programs
    Export(ExportArguments),
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

/// Answers a SPARQL query; the prefixes tc:, film:, genre:, keyword:, person: and so on are known.
///
/// Exit code 1 if there is no row.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    titlecard graph query 'SELECT ?film WHERE { ?film tc:genre genre:horror ; tc:decade decade:1980s } LIMIT 5'\n  \
    titlecard graph query --csv 'SELECT ?kind (COUNT(?f) AS ?n) WHERE { ?f tc:keyword ?kind } GROUP BY ?kind'")]
pub(crate) struct QueryArguments {
    /// The query, or `-` for stdin
    #[arg(value_name = "SPARQL")]
    query: String,
    /// One JSON object a row
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a header
    #[arg(long)]
    csv: bool,
}

/// Shows a film, its entities, what they are kinds of, and films that share the rare ones.
///
/// Exit code 1 if no film, or more than one, has the title.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard graph show \"Seven Samurai\"\n  \
                        titlecard graph show 346 seven_samurai.svg")]
pub(crate) struct ShowArguments {
    /// Id in the catalogue, or title
    #[arg(value_name = "FILM")]
    film: String,
    /// Draw into this file: `.svg` or `.png` [default: text on stdout]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes all entities and edges.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard graph export films.ttl\n  \
                        titlecard graph export --format graphml films.xml")]
pub(crate) struct ExportArguments {
    /// Format [default: by the ending of FILE]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// File to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Formats by their usual endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// N-Triples
    Nt,
    /// Turtle
    Ttl,
    /// GraphML
    Graphml,
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    match arguments {
        Arguments::Build(arguments) => build(&arguments, session),
        Arguments::Query(arguments) => query(&arguments, session),
        Arguments::Show(arguments) => show(&arguments, session),
        Arguments::Export(arguments) => export(&arguments, session),
    }
}

fn build(arguments: &BuildArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let _lock = session.workspace.lock()?;
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

fn is_stopped() -> bool {
    check_stop("answering a SPARQL query").is_err()
}

fn query(arguments: &QueryArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let text = match arguments.query.as_str() {
        "-" => std::io::read_to_string(std::io::stdin())?,
        text => text.to_owned(),
    };
    let graph = pipeline::open_graph(&session.workspace, None)?;
    let prefixes = rdf::prefixes();
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let mut variables: Vec<String> = Vec::new();
    let mut n_rows = 0_usize;
    let mut failure = None;
    let header = std::cell::RefCell::new(Vec::new());
    let mut on_variables = |names: &[String]| header.borrow_mut().extend_from_slice(names);
    let mut on_row = |row: &[Option<Value>]| {
        if n_rows == 0 {
            variables.clone_from(&header.borrow());
            table.set_header(&variables);
        }
        n_rows += 1;
        let result = if arguments.json {
            let cells = variables.iter().zip(row).filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let object: Map<_, _> = cells.map(|(name, value)| (name.clone(), json!(value))).collect();
            output::json(&object)
        } else if arguments.csv {
            let head =
                if n_rows == 1 { csv_line(variables.iter().map(String::as_str)) } else { String::new() };
            let values = row.iter().map(|value| value.as_ref().map_or("", |value| value.value.as_str()));
            output::text(&(head + &csv_line(values)))
        } else {
            table.add_row(row.iter().map(|value| shown(value.as_ref(), &prefixes)));
            Ok(())
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    graph::query(&graph, &text, is_stopped, &mut on_variables, &mut on_row)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    if n_rows == 0 {
        session.say("no row");
        return Ok(Outcome::No);
    }
    if !arguments.json && !arguments.csv {
        output::line(&table.to_string())?;
    }
    Ok(Outcome::Done)
}

/// `Jaws [film:578]`, `tc:genre`, or the text of a literal.
fn shown(value: Option<&Value>, prefixes: &[(String, String)]) -> String {
    let Some(value) = value else { return String::new() };
    if value.kind != "uri" {
        return value.value.clone();
    }
    let prefix = prefixes
        .iter()
        .filter(|(_, iri)| value.value.starts_with(iri.as_str()))
        .max_by_key(|(_, iri)| iri.len());
    let short = match prefix {
        Some((name, iri)) => format!("{name}:{}", &value.value[iri.len()..]),
        None => format!("<{}>", value.value),
    };
    match &value.name {
        Some(name) => format!("{name} [{short}]"),
        None => short,
    }
}

/// A line of RFC 4180.
fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells
        .map(|cell| {
            if cell.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.to_owned()
            }
        })
        .collect();
    cells.join(",") + "\r\n"
}

/// Films offered as choices, at most.
const MAX_CHOICES: usize = 20;

/// The film meant: by id, by title, or the only one whose title has all the words. Otherwise the choices.
fn find_film(graph: &Graph, film: &str) -> Result<u32, Vec<u32>> {
    if let Some(found) = graph.film_with_id(film) {
        return Ok(found);
    }
    let mut fitting: Vec<u32> = graph.films_titled(film).collect();
    if fitting.is_empty() {
        let key = entity_key(film);
        let words: Vec<&str> = key.split(' ').collect();
        fitting = (0..graph.n_films() as u32)
            .filter(|&film| {
                let title = graph.key(EntityId(film));
                words.iter().all(|word| title.split(' ').any(|other| other == *word))
            })
            .collect();
    }
    match fitting[..] {
        [found] => Ok(found),
        _ => Err(fitting),
    }
}

fn show(arguments: &ShowArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let graph = pipeline::open_graph(&session.workspace, None)?;
    let film = match find_film(&graph, &arguments.film) {
        Ok(film) => film,
        Err(choices) if choices.is_empty() => {
            session.say(&format!("no film with the id or title `{}`", arguments.film));
            return Ok(Outcome::No);
        }
        Err(choices) => {
            session.say(&format!("{} films fit `{}`; say which by id:", choices.len(), arguments.film));
            for &film in choices.iter().take(MAX_CHOICES) {
                session.say(&format!("  {:>10}  {}", graph.film_id(film), film_name(&graph, film)));
            }
            if choices.len() > MAX_CHOICES {
                session.say(&format!("  … and {} more", choices.len() - MAX_CHOICES));
            }
            return Ok(Outcome::No);
        }
    };
    let around = Neighbourhood::of(&graph, film, &ShowConfig::default());
    match &arguments.file {
        None => output::text(&around.to_string())?,
        Some(file) => {
            let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if !["svg", "png"].contains(&ending.to_lowercase().as_str()) {
                bail!(
                    "`{}` is no picture we can draw; name a file that ends in .svg or .png",
                    file.display()
                );
            }
            around.write(file)?;
            session.say(&format!("wrote `{}`", file.display()));
        }
    }
    Ok(Outcome::Done)
}

fn export(arguments: &ExportArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let format = match arguments.format {
        Some(Format::Nt) => ExportFormat::NTriples,
        Some(Format::Ttl) => ExportFormat::Turtle,
        Some(Format::Graphml) => ExportFormat::GraphMl,
        None => match ExportFormat::of_path(&arguments.file) {
            Some(format) => format,
            None => bail!(
                "the ending of `{}` says no format; pass `--format nt`, `ttl` or `graphml`",
                arguments.file.display()
            ),
        },
    };
    let graph = pipeline::open_graph(&session.workspace, None)?;
    session.with_progress(|progress| graph::export(&graph, format, &arguments.file, progress))?;
    session.say(&format!("wrote `{}`", arguments.file.display()));
    Ok(Outcome::Done)
}
