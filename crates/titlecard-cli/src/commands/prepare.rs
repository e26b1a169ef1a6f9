//! `titlecard prepare`: from a catalogue file to clean films.

use titlecard_engine::pipeline;

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Reads a catalogue (CSV, TSV or JSON lines; plain, .gz or .zst), cleans it and says what was dropped.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard prepare movies.csv.zst\n  \
                        titlecard prepare films.csv --column title=Name --column overview=Plot\n  \
                        titlecard prepare movies.csv --join plots.jsonl.zst --join-adds")]
pub(crate) struct Arguments {
    /// Catalogue file [default: the setting `catalogue.path`, else the sample inside this program]
    catalogue: Option<String>,
    /// Read our FIELD from the column NAME
    #[arg(long, value_name = "FIELD=NAME")]
    column: Vec<String>,
    /// Fill in plots, votes, languages and years from FILE by film id (setting `catalogue.join`)
    #[arg(long, value_name = "FILE")]
    join: Vec<String>,
    /// Add films that only a joined file knows, if it tells their plot (setting `catalogue.join_adds`)
    #[arg(long)]
    join_adds: bool,
    /// Keep at most N films, 0 for all (setting `catalogue.limit`)
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Keep films marked as adult (setting `catalogue.keep_adult`)
    #[arg(long)]
    keep_adult: bool,
    /// The cleaning report as JSON on stdout
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn overrides(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut overrides = Vec::new();
        if let Some(path) = &self.catalogue {
            overrides.push(("CATALOGUE", "catalogue.path", path.clone()));
        }
        if let Some(limit) = self.limit {
            overrides.push(("--limit", "catalogue.limit", limit.to_string()));
        }
        if self.join_adds {
            overrides.push(("--join-adds", "catalogue.join_adds", "true".to_owned()));
        }
        if self.keep_adult {
            overrides.push(("--keep-adult", "catalogue.keep_adult", "true".to_owned()));
        }
        overrides
    }
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let mut session = Session::open(session, ".", &arguments.overrides())?;
    for column in &arguments.column {
        let Some((field, name)) = column.split_once('=') else {
            anyhow::bail!(
                "`--column {column}` has no `=`; write `--column FIELD=NAME`, like `--column title=Name`"
            );
        };
        session.config.catalogue.columns.insert(field.trim().to_owned(), name.trim().to_owned());
    }
    if !arguments.join.is_empty() {
        session.config.catalogue.join.clone_from(&arguments.join);
    }
    let _lock = session.workspace.lock()?;
    let report =
        session.with_progress(|progress| pipeline::prepare(&session.workspace, &session.config, progress))?;
    if arguments.json {
        output::json(&report)?;
    } else {
        output::text(&report.to_string())?;
    }
    session.say(&format!("wrote `{}`", session.workspace.films().display()));
    Ok(Outcome::Done)
}
