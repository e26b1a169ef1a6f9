//! The `titlecard` command: one file a subcommand in `commands/`, what they share in `session.rs`.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 ran but the answer is no,
//! 2 error, 130 interrupted; a closed pipe ends the program quietly with 0.

mod commands;
mod download;
mod hint;
mod output;
mod session;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use commands::Command;

/// What ran and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Done.
    Done,
    /// Ran, but the answer is no: nothing found, or a figure below the one asked for.
    No,
}

#[derive(clap::Parser)]
#[command(
    name = "titlecard",
    version,
    about = "Describe a film in your own words; get its title, and what put it there",
    after_help = "Start with `titlecard demo`: it needs nothing but this program.",
    disable_help_subcommand = true,
    propagate_version = true
)]
struct Arguments {
    #[command(flatten)]
    session: session::SessionArguments,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let matches = match Arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are no errors; a closed pipe below them neither.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(2);
        }
    };
    match commands::run(arguments.command, &arguments.session) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let interrupted = session::is_interrupted(&error);
            hint::print_error(&error, arguments.session.colour());
            ExitCode::from(if interrupted { 130 } else { 2 })
        }
    }
}
