//! `titlecard completions`: a script that completes commands and flags.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Outcome, output};

/// Example: `titlecard completions bash > ~/.local/share/bash-completion/completions/titlecard`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "titlecard", &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
