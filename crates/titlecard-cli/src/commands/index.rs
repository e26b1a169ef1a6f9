//! `titlecard index`: what search opens, from catalogue, vectors and regressor.

use std::time::Instant;

use titlecard_engine::pipeline;

use crate::Outcome;
use crate::session::{Session, SessionArguments};

/// Builds text index, film vectors and title vectors, and makes them current in one step.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard index\n  titlecard index --set text.stem=false")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let _lock = session.workspace.lock()?;
    let started = Instant::now();
    let catalogue = pipeline::load_films(&session.workspace)?;
    session.with_progress(|progress| {
        pipeline::build_index(&session.workspace, &session.config, catalogue.films(), progress)
    })?;
    session.say(&format!(
        "indexed {} films in {:.1} s: `{}`",
        catalogue.len(),
        started.elapsed().as_secs_f64(),
        session.workspace.index().display()
    ));
    Ok(Outcome::Done)
}
