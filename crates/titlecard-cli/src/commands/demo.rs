//! `titlecard demo`: the whole path on the films inside this program.

use std::time::Instant;

use titlecard_engine::artifact::write_bytes;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR};
use titlecard_engine::sample;

use super::{eval, search, train};
use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Prepares the sample catalogue, trains, indexes, evaluates on held-out queries, draws plots and
/// answers three queries.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard demo\n  titlecard -C /tmp/try demo --seed 1")]
pub(crate) struct Arguments {}

/// Where the demo works if no folder is given.
const FOLDER: &str = "titlecard-demo";

/// Asked in a person's words; none has a word of the title it looks for.
const QUERIES: [&str; 3] = [
    "black and white, a rich newspaper man dies alone in his huge house and nobody knows what his last word means, \
     I think it was about a sled",
    "japanese movie where poor farmers hire warriors without a master to defend their village from bandits, \
     it was really long",
    "guys dig for gold... no wait, it is the one with the shark that scares a beach town, the police chief hates water",
];

pub(crate) fn run(_: &Arguments, arguments: &SessionArguments) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let mut session = Session::open(arguments, FOLDER, &[])?;
    let workspace = session.workspace.clone();
    let _lock = workspace.lock()?;
    session.say(&format!("1. prepare: the sample catalogue, into `{}`", workspace.root().display()));
    let report =
        session.with_progress(|progress| pipeline::prepare(&workspace, &session.config, progress))?;
    session.say(&report.to_string());
    let catalogue = pipeline::load_films(&workspace)?;
    let films = catalogue.films();

    session.say(
        "2. train: the title regressor, on the training films, and the research project's two to compare",
    );
    train::train_regressor(&session, films, DEFAULT_REGRESSOR, false)?;
    for preset in [train::Preset::OriginalMean, train::Preset::OriginalMaxAbs] {
        let mut session = session.reread(arguments)?;
        preset.apply(&mut session)?;
        train::train_regressor(&session, films, preset.name(), false)?;
    }

    session.say("3. graph and index: what is known of the films, text, film vectors, title vectors");
    session.with_progress(|progress| pipeline::build_graph(&workspace, &session.config, films, progress))?;
    session.with_progress(|progress| pipeline::build_index(&workspace, &session.config, films, progress))?;

    session.say(
        "4. tune: the weights of the first stage, on the training queries; take the rules inside the program",
    );
    train::tune_fusion(&session, &[])?;
    session = session.reread(arguments)?;
    write_bytes(&workspace.rules(), sample::RULES.as_bytes())?;

    session.say("5. evaluate: films and queries held out");
    let engine = pipeline::open_engine(&workspace, &session.config)?;
    eval::evaluate_sample(&session, &engine, films)?;

    session.say("6. search");
    for query in QUERIES {
        output::line(&format!("> {query}"))?;
        search::show(query, &search::answer(&engine, query, 3)?, false, false)?;
        output::line("")?;
    }
    let folder = workspace.root().display();
    session.say(&format!(
        "done in {:.1} s. Next:\n  \
         titlecard -C {folder} search \"a film you half remember, in your own words\"\n  \
         titlecard -C {folder} config                 all settings\n  \
         titlecard -C mine prepare movies.csv         your own catalogue, then train, index, search\n\
         Plots are in `{}`.",
        started.elapsed().as_secs_f64(),
        workspace.plots().display()
    ));
    Ok(Outcome::Done)
}
