//! `titlecard config`: every setting, its value, and where the value came from.

use std::fmt::Write as _;

use serde::Serialize;
use titlecard_engine::config::{Origin, variable_of};

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Prints a settings file with all settings; what is not default says where it was set.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard config > titlecard.toml     a file with all settings, to edit\n  \
                        TITLECARD_LEXICAL_K1=0.9 titlecard config --json"
)]
pub(crate) struct Arguments {
    /// One JSON object a setting: key, value, origin, variable
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Setting<'a> {
    key: &'a str,
    value: &'a toml::Value,
    origin: String,
    variable: String,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let mut text = String::new();
    let mut section = "";
    for (key, value, origin) in session.settings.settings() {
        if arguments.json {
            output::json(&Setting { key, value, origin: origin.to_string(), variable: variable_of(key) })?;
            continue;
        }
        let (own, name) = key.rsplit_once('.').unwrap_or(("", key));
        if own != section {
            let blank = if text.is_empty() { "" } else { "\n" };
            writeln!(text, "{blank}[{own}]")?;
            section = own;
        }
        let from = if *origin == Origin::Default { String::new() } else { format!("  # from {origin}") };
        writeln!(text, "{name} = {value}{from}")?;
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}
