//! `titlecard fetch`: public catalogues and vectors, or any address.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use titlecard_engine::catalogue::unpack;

use crate::download::{Download, Downloaded, fetch};
use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Fetches a file into `data/raw`: a data set of Kaggle by its name here, or any address. A run that was cut off or
/// stopped goes on where it was.
#[derive(clap::Args)]
#[command(
    after_help = "Names:\n  tmdb-clean   bharatkumar0925/tmdb-movies-clean-dataset, a catalogue; read it packed: \
                        titlecard prepare data/raw/tmdb-clean.zip\n  googlenews   \
                        leadbest/googlenewsvectorsnegative300, word vectors, unpacked to data/raw\n\nWho asks Kaggle: \
                        KAGGLE_API_TOKEN, else KAGGLE_USERNAME and KAGGLE_KEY, else kaggle.json in\nKAGGLE_CONFIG_DIR \
                        or ~/.kaggle.\n\nExamples:\n  titlecard fetch tmdb-clean\n  titlecard fetch \
                        https://example.org/films.csv.zst --sha256 9f86d081…"
)]
pub(crate) struct Arguments {
    /// `tmdb-clean`, `googlenews`, a data set of Kaggle as `kaggle:OWNER/NAME`, or an address
    what: String,
    /// Fail unless the file has this SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Where the file goes [default: data/raw/ and its name]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Unpack a .zip or .gz beside it (always done for googlenews)
    #[arg(long)]
    unpack: bool,
    /// Bytes it may unpack to, in MB
    #[arg(long, value_name = "MB", default_value_t = 20_480)]
    max_unpacked_mb: u64,
    /// Seconds without a byte after which the connection is given up
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Where Kaggle is
    #[arg(
        long,
        env = "KAGGLE_API_ENDPOINT",
        value_name = "URL",
        default_value = "https://www.kaggle.com",
        hide = true
    )]
    endpoint: String,
    /// What was fetched as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Data sets with a name here, where they are on Kaggle, and whether they are of use only unpacked.
const NAMED: [(&str, &str, bool); 2] = [
    ("tmdb-clean", "bharatkumar0925/tmdb-movies-clean-dataset", false),
    ("googlenews", "leadbest/googlenewsvectorsnegative300", true),
];

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let raw = session.workspace.root().join("data/raw");
    let named = NAMED.iter().find(|(name, ..)| *name == arguments.what);
    let set = named.map(|(_, set, _)| *set).or_else(|| arguments.what.strip_prefix("kaggle:"));
    let (url, name, authorization, refused) = if let Some(set) = set {
        let is_name = |part: &str| {
            !part.starts_with('.')
                && !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let Some((owner, name)) = set.split_once('/').filter(|(a, b)| is_name(a) && is_name(b)) else {
            bail!("`{}` is no data set of Kaggle; write `kaggle:OWNER/NAME`", arguments.what);
        };
        let url =
            format!("{}/api/v1/datasets/download/{owner}/{name}", arguments.endpoint.trim_end_matches('/'));
        let name = named.map_or(name, |(name, ..)| *name);
        (url, format!("{name}.zip"), kaggle_credentials()?, KAGGLE_REFUSED)
    } else if arguments.what.starts_with("https://") || arguments.what.starts_with("http://") {
        let path = arguments.what.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."));
        let Some(name) = name.filter(|_| path.matches('/').count() > 2) else {
            bail!("`{}` has no file name; say where it goes with `--output FILE`", arguments.what);
        };
        (arguments.what.clone(), name.to_owned(), None, "it may need an account; fetch it with a browser")
    } else {
        bail!(
            "there is nothing called `{}`; names are tmdb-clean and googlenews, or give an address or \
             `kaggle:OWNER/NAME`",
            arguments.what
        );
    };
    let sha256 = arguments.sha256.as_ref().map(|sha256| sha256.trim().to_lowercase());
    if let Some(sha256) =
        sha256.as_ref().filter(|sha256| sha256.len() != 64 || !sha256.chars().all(|c| c.is_ascii_hexdigit()))
    {
        bail!("`--sha256 {sha256}` is no SHA-256; it has 64 digits 0 to 9 and a to f");
    }
    let target = arguments.output.clone().unwrap_or_else(|| raw.join(name));
    let fetched = if target.exists() {
        let there = Downloaded::already(&target, sha256.as_deref())?;
        session.say(&format!("`{}` is there already; delete it to fetch it again", target.display()));
        there
    } else {
        let download = Download {
            url,
            authorization,
            sha256,
            target: target.clone(),
            refused,
            patience: Duration::from_secs(arguments.patience),
        };
        let fetched = session.with_progress(|progress| fetch(&download, progress))?;
        session.say(&format!(
            "wrote `{}` ({} bytes, SHA-256 {})",
            target.display(),
            fetched.bytes,
            fetched.sha256
        ));
        fetched
    };
    if arguments.json {
        output::json(&fetched)?;
    }
    if arguments.unpack || named.is_some_and(|(_, _, unpacks)| *unpacks) {
        let folder = target.parent().unwrap_or(Path::new("."));
        let limit = arguments.max_unpacked_mb.saturating_mul(1 << 20);
        for path in session.with_progress(|progress| unpack(&target, folder, limit, progress))? {
            session.say(&format!("unpacked `{}`", path.display()));
        }
    }
    Ok(Outcome::Done)
}

const KAGGLE_REFUSED: &str = "make a token at https://www.kaggle.com/settings and put it into ~/.kaggle/kaggle.json or \
                              KAGGLE_API_TOKEN";

/// The header that says who asks, from the places Kaggle's own program looks at.
fn kaggle_credentials() -> anyhow::Result<Option<String>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(token) = variable("KAGGLE_API_TOKEN") {
        return Ok(Some(format!("Bearer {}", token.trim())));
    }
    if let (Some(user), Some(key)) = (variable("KAGGLE_USERNAME"), variable("KAGGLE_KEY")) {
        return Ok(Some(basic(&user, &key)));
    }
    let folder = match variable("KAGGLE_CONFIG_DIR") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => std::env::home_dir().map(|home| home.join(".kaggle")),
    };
    let Some(path) = folder.map(|folder| folder.join("kaggle.json")).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let text = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    // Nothing of the file is repeated: it holds a secret.
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    match (json["username"].as_str(), json["key"].as_str()) {
        (Some(user), Some(key)) => Ok(Some(basic(user, key))),
        _ => bail!(
            "`{}` does not hold {{\"username\": …, \"key\": …}}; fetch it anew from https://www.kaggle.com/settings",
            path.display()
        ),
    }
}

fn basic(user: &str, key: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{key}")))
}
