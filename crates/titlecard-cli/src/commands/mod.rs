//! The subcommands, in the order of the pipeline.

mod backup;
mod catalogue;
mod completions;
mod config;
mod demo;
mod eval;
mod fetch;
mod find;
mod graph;
mod index;
mod lm;
mod prepare;
mod rules;
mod search;
mod serve;
mod similar;
mod train;
mod vectors;
mod verify;
mod why;

use crate::Outcome;
use crate::session::SessionArguments;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show the whole path on the films inside this program, in under a minute
    Demo(demo::Arguments),
    /// Fetch a public catalogue, word vectors, or any file
    Fetch(fetch::Arguments),
    /// Read and clean a catalogue
    Prepare(prepare::Arguments),
    /// Write the prepared catalogue for other programs
    #[command(subcommand)]
    Catalogue(catalogue::Arguments),
    /// Train word vectors, the text encoder, the title regressor, weights, the rules that rank, or a
    /// language model
    #[command(subcommand)]
    Train(train::Arguments),
    /// Convert, inspect and search files of word vectors
    #[command(subcommand)]
    Vectors(vectors::Arguments),
    /// Generate text and titles with a language model, measure and merge it
    #[command(subcommand)]
    Lm(lm::Arguments),
    /// Build, ask, draw and export the knowledge graph
    #[command(subcommand)]
    Graph(graph::Arguments),
    /// Build what search opens
    Index(index::Arguments),
    /// Find films by a description
    Search(search::Arguments),
    /// Say why one film of an answer stands above another
    Why(why::Arguments),
    /// Read, check and edit the rules that rank
    #[command(subcommand)]
    Rules(rules::Arguments),
    /// Find a film by its title, however it is typed
    Find(find::Arguments),
    /// Find films like a film
    Similar(similar::Arguments),
    /// Answer over HTTP: an API and a page
    Serve(serve::Arguments),
    /// Measure how good the answers are
    Eval(eval::Arguments),
    /// Read every file of the working folder and say which are damaged
    Verify(verify::Arguments),
    /// Copy the working folder, also while a server takes changes
    Backup(backup::Arguments),
    /// Show all settings and where each value came from
    Config(config::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}

/// Runs a subcommand.
pub(crate) fn run(command: Command, session: &SessionArguments) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments, session),
        Command::Fetch(arguments) => fetch::run(&arguments, session),
        Command::Catalogue(arguments) => catalogue::run(&arguments, session),
        Command::Prepare(arguments) => prepare::run(&arguments, session),
        Command::Train(arguments) => train::run(arguments, session),
        Command::Vectors(arguments) => vectors::run(arguments, session),
        Command::Lm(arguments) => lm::run(arguments, session),
        Command::Graph(arguments) => graph::run(arguments, session),
        Command::Index(arguments) => index::run(&arguments, session),
        Command::Search(arguments) => search::run(&arguments, session),
        Command::Why(arguments) => why::run(&arguments, session),
        Command::Rules(arguments) => rules::run(arguments, session),
        Command::Find(arguments) => find::run(&arguments, session),
        Command::Similar(arguments) => similar::run(&arguments, session),
        Command::Serve(arguments) => serve::run(arguments, session),
        Command::Eval(arguments) => eval::run(&arguments, session),
        Command::Verify(arguments) => verify::run(&arguments, session),
        Command::Backup(arguments) => backup::run(&arguments, session),
        Command::Config(arguments) => config::run(&arguments, session),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}
