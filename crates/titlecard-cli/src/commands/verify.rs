//! `titlecard verify`: every file of the working folder, read from end to end.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::bail;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use titlecard_engine::verify::{State, Verdict, verify};
use titlecard_lm::check_weights;
use titlecard_server::{Journal, Keys};

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Reads every file of the working folder, compares checksums, and says how to make damaged files again.
///
/// Writes nothing, not even a log. Exit code 2 if a file is damaged.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard verify\n  titlecard -C /backups/films-monday verify --json")]
pub(crate) struct Arguments {
    /// One JSON object a file: `file`, `bytes`, `state` (`ok`, `no_checksum`, `damaged`), `note`, `remake`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open_reading(session)?;
    let checked = session.with_progress(|progress| verify(&session.workspace, &others, progress))?;
    if checked.is_empty() {
        bail!(
            "`{}` has no file of titlecard; name a working folder with `-C DIR`",
            session.workspace.root().display()
        );
    }
    if arguments.json {
        for file in &checked {
            output::json(file)?;
        }
    } else {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(["file", "bytes", "state", "note"]);
        for file in &checked {
            let state = match file.verdict.state {
                State::Ok => "ok",
                State::NoChecksum => "no checksum",
                State::Damaged => "DAMAGED",
            };
            table.add_row([&file.file, &file.bytes.to_string(), state, &file.verdict.note]);
        }
        output::line(&table.to_string())?;
    }
    let damaged: Vec<_> = checked.iter().filter(|file| file.verdict.is_damaged()).collect();
    if damaged.is_empty() {
        session.say(&format!("{} files, none is damaged", checked.len()));
        return Ok(Outcome::Done);
    }
    let remake: BTreeSet<&str> = damaged.iter().map(|file| file.verdict.remake.as_str()).collect();
    let remake: Vec<&str> = remake.into_iter().collect();
    bail!(
        "{} of {} files are damaged; to make them again: {}",
        damaged.len(),
        checked.len(),
        remake.join(", ")
    )
}

/// Files of the server and of language models.
fn others(name: &str, path: &Path) -> Option<Verdict> {
    let said = |result: anyhow::Result<Verdict>, remake: &str| match result {
        Ok(verdict) => verdict,
        Err(error) => Verdict::of_error(&*error, remake),
    };
    match name {
        "server/journal" => {
            let remake = "put `server/journal` aside, remove its lines from the one named on, and send those changes again";
            let read = Journal::check(path).map(|found| match found {
                (_, 0) => Verdict::ok(),
                (_, n) => Verdict::no_checksum(&format!(
                    "its last {n} bytes are no whole change: cut off when it was written and never acknowledged, or damaged"
                )),
            });
            return Some(said(read.map_err(Into::into), remake));
        }
        "server/keys" => {
            let read = Keys::read(path).map(|_| Verdict::no_checksum("made to be edited"));
            return Some(said(read.map_err(Into::into), "titlecard serve --new-key ROLE"));
        }
        "server/publish.json" => {
            return Some(Verdict::no_checksum(
                "an exchange was cut off; the next start of the server ends it",
            ));
        }
        _ => {}
    }
    let model = name.strip_prefix("models/lm/").map(|_| "titlecard train lm".to_owned()).or_else(|| {
        let folder = name.strip_prefix("models/hub/")?.split('/').next()?;
        Some(format!("remove `models/hub/{folder}`: it is fetched again when it is asked for"))
    })?;
    Some(if name.ends_with(".safetensors") {
        let read = check_weights(path).map(|n| Verdict::no_checksum(&format!("{n} tensors can be read")));
        said(read.map_err(Into::into), &model)
    } else if name.strip_suffix(".json").is_some() {
        let read = || -> anyhow::Result<Verdict> {
            serde_json::from_slice::<serde_json::Value>(&std::fs::read(path)?)?;
            Ok(Verdict::no_checksum("can be read"))
        };
        said(read(), &model)
    } else {
        Verdict::no_checksum("")
    })
}
