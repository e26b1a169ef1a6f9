//! `titlecard backup`: a copy of the working folder that is one state.

use std::path::PathBuf;

use titlecard_engine::backup::backup;

use crate::Outcome;
use crate::session::{Session, SessionArguments};

/// Copies settings, catalogue, models, graph, index and the server's keys and journal into a new folder.
///
/// Searching and serving go on meanwhile; changes of films are taken and built in when the copy is done. Waits
/// for a build that is running. The copy is a working folder: `titlecard -C TARGET serve`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard backup /backups/films-monday\n  \
                        titlecard -C mine backup --link ../mine-before-the-update")]
pub(crate) struct Arguments {
    /// Folder to make
    target: PathBuf,
    /// Hard links instead of copies for catalogue, models, graph and index: quick and small, on the same disk
    #[arg(long)]
    link: bool,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let copied = session.with_progress(|progress| {
        let lock = session.workspace.lock_when_free(progress)?;
        backup(&session.workspace, &lock, &arguments.target, arguments.link, progress)
    })?;
    session.say(&format!(
        "copied {} files, {:.1} MB, to `{}`; `titlecard -C {} verify` reads them all",
        copied.n_files,
        copied.bytes as f64 / 1e6,
        arguments.target.display(),
        arguments.target.display()
    ));
    Ok(Outcome::Done)
}
