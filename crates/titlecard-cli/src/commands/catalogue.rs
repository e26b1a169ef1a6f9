//! `titlecard catalogue`: the prepared catalogue for other programs.

use std::path::PathBuf;

use titlecard_engine::catalogue::export_parquet;

use crate::Outcome;
use crate::session::{Session, SessionArguments};

/// What to do with the prepared catalogue.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Write it as a Parquet file, lists as lists
    #[command(
        after_help = "Examples:\n  titlecard catalogue export films.parquet\n  titlecard -C mine catalogue export \
                            /tmp/films.parquet"
    )]
    Export(Export),
}

/// Flags of `export`.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// File to write
    file: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let Arguments::Export(export) = arguments;
    let n_films = session
        .with_progress(|progress| export_parquet(&session.workspace.films(), &export.file, progress))?;
    session.say(&format!("wrote {n_films} films to `{}`", export.file.display()));
    Ok(Outcome::Done)
}
