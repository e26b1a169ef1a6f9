//! What every subcommand shares: working folder, settings, logging, progress, Ctrl-C.

use std::fs::{self, File};
use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::{ArgAction, Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use titlecard_engine::config::{Config, ConfigBuilder, Origin};
use titlecard_engine::pipeline::Workspace;
use titlecard_engine::progress::{Interrupted, Progress};
use titlecard_engine::regressor::RegressorConfig;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Set by Ctrl-C or a request to end; long steps look at it.
static STOP: AtomicBool = AtomicBool::new(false);

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags every subcommand takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct SessionArguments {
    /// Working folder: settings, data, models, index, logs
    #[arg(
        short = 'C',
        long,
        global = true,
        env = "TITLECARD_DIR",
        value_name = "DIR",
        help_heading = "Everywhere"
    )]
    pub(crate) dir: Option<PathBuf>,

    /// Settings file [default: titlecard.toml in the working folder, if there]
    #[arg(long, global = true, env = "TITLECARD_CONFIG", value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,

    /// Set any setting, like `--set regressor.epochs=5`; `titlecard config` lists them
    #[arg(long, global = true, value_name = "KEY=VALUE", action = ArgAction::Append, help_heading = "Everywhere")]
    set: Vec<String>,

    /// Seed of everything random (setting `run.seed`, default 7)
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere")]
    seed: Option<u64>,

    /// Number of threads, 0 for one a core (setting `run.threads`, default 0)
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere")]
    threads: Option<usize>,

    /// More on stderr: -v what is done, -vv details
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Everywhere")]
    verbose: u8,

    /// Nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Everywhere")]
    quiet: bool,

    /// No progress bars
    #[arg(long, global = true, help_heading = "Everywhere")]
    no_progress: bool,

    /// Colour on stderr
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Everywhere")]
    color: Colour,
}

impl SessionArguments {
    /// Whether messages on stderr may be coloured.
    pub(crate) fn colour(&self) -> bool {
        match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                stderr().is_terminal() && !no_color
            }
        }
    }
}

/// An opened session.
#[derive(Clone)]
pub(crate) struct Session {
    /// The working folder.
    pub(crate) workspace: Workspace,
    /// All settings.
    pub(crate) config: Config,
    /// The settings with where each came from.
    pub(crate) settings: ConfigBuilder,
    show_bars: bool,
    say: bool,
}

impl Session {
    /// Reads settings, opens the log, installs Ctrl-C and the thread pool.
    ///
    /// `overrides` are settings of the subcommand's own flags, `(flag, key, value)`;
    /// `default_dir` is the working folder if none is given.
    pub(crate) fn open(
        arguments: &SessionArguments,
        default_dir: &str,
        overrides: &[(&str, &str, String)],
    ) -> anyhow::Result<Self> {
        let session = Self::read(arguments, default_dir, overrides)?;
        open_log(arguments, Some(&session.workspace))?;
        tracing::debug!(arguments = ?std::env::args_os().collect::<Vec<_>>(), "started");
        listen_for_ctrl_c()?;
        rayon_pool(session.config.n_threads())?;
        Ok(session)
    }

    /// For a look at a folder that may be damaged: no settings are read and no log is written in it.
    pub(crate) fn open_reading(arguments: &SessionArguments) -> anyhow::Result<Self> {
        let session = Self::of(arguments, ".", ConfigBuilder::default(), Config::default());
        open_log(arguments, None)?;
        listen_for_ctrl_c()?;
        rayon_pool(session.config.n_threads())?;
        Ok(session)
    }

    /// For a program that runs on and listens for signals itself: the log goes to stderr alone, with the time of every
    /// line, so that whatever runs the program keeps it and throws it away.
    pub(crate) fn open_service(
        arguments: &SessionArguments,
        overrides: &[(&str, &str, String)],
    ) -> anyhow::Result<Self> {
        let session = Self::read(arguments, ".", overrides)?;
        let level = match (arguments.quiet, arguments.verbose) {
            (true, _) => "error",
            (_, 0) => "info",
            _ => "debug,tantivy=info",
        };
        let on_stderr = fmt::layer()
            .with_writer(stderr)
            .with_ansi(arguments.colour())
            .with_target(false)
            .with_filter(EnvFilter::new(level));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(on_stderr))
            .context("cannot open the log")?;
        rayon_pool(session.config.n_threads())?;
        Ok(session)
    }

    fn read(
        arguments: &SessionArguments,
        default_dir: &str,
        overrides: &[(&str, &str, String)],
    ) -> anyhow::Result<Self> {
        let workspace = workspace(arguments, default_dir);
        let settings = read_settings(arguments, &workspace, overrides)?;
        let config = settings.clone().build()?;
        Ok(Self::of(arguments, default_dir, settings, config))
    }

    fn of(arguments: &SessionArguments, default_dir: &str, settings: ConfigBuilder, config: Config) -> Self {
        let say = !arguments.quiet;
        let show_bars = say && arguments.verbose == 0 && !arguments.no_progress && stderr().is_terminal();
        Self { workspace: workspace(arguments, default_dir), config, settings, show_bars, say }
    }

    /// Reads the settings again, after a step has written some (`models/ranking.toml`).
    pub(crate) fn reread(&self, arguments: &SessionArguments) -> anyhow::Result<Self> {
        let settings = read_settings(arguments, &self.workspace, &[])?;
        let config = settings.clone().build()?;
        Ok(Self { config, settings, ..self.clone() })
    }

    /// Puts `preset` in place of the regressor's default settings; those set anywhere else stay.
    pub(crate) fn apply_regressor_preset(&mut self, preset: &RegressorConfig) -> anyhow::Result<()> {
        let mut table = toml::Table::try_from(preset)?;
        for (key, value, origin) in self.settings.settings() {
            if let (Some(name), true) = (key.strip_prefix("regressor."), *origin != Origin::Default) {
                table.insert(name.to_owned(), value.clone());
            }
        }
        self.config.regressor = table.try_into()?;
        self.config.validate()?;
        Ok(())
    }

    /// Says something about the run on stderr, unless `--quiet`.
    pub(crate) fn say(&self, message: &str) {
        tracing::debug!(target: "said", "{message}");
        if self.say {
            use std::io::Write;
            let _ = writeln!(stderr(), "{message}");
        }
    }

    /// Runs a long step with a progress bar (or a line now and then where there is no terminal), and
    /// lets Ctrl-C stop it.
    pub(crate) fn with_progress<T>(
        &self,
        step: impl FnOnce(&mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>) -> T,
    ) -> T {
        let mut display = Display {
            bars: self.show_bars,
            say: self.say,
            bar: None,
            step: String::new(),
            last: Instant::now(),
        };
        let result = step(&mut |progress| {
            display.show(progress);
            if STOP.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        display.clear();
        result
    }
}

/// Fails if Ctrl-C was pressed: for loops that report nothing.
pub(crate) fn check_stop(step: &'static str) -> Result<(), Interrupted> {
    if STOP.load(Ordering::SeqCst) { Err(Interrupted { step }) } else { Ok(()) }
}

/// Whether an error is an interruption, at whatever depth.
pub(crate) fn is_interrupted(error: &anyhow::Error) -> bool {
    STOP.load(Ordering::SeqCst) || error.chain().any(|cause| cause.downcast_ref::<Interrupted>().is_some())
}

/// Draws progress.
struct Display {
    bars: bool,
    say: bool,
    bar: Option<ProgressBar>,
    step: String,
    last: Instant,
}

/// Without a terminal, a line of progress at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Display {
    fn show(&mut self, progress: &Progress<'_>) {
        if self.bars {
            if self.bar.is_none() || self.step != progress.step {
                self.clear();
                progress.step.clone_into(&mut self.step);
                self.bar = Some(new_bar(progress));
            }
            if let Some(bar) = &self.bar {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                bar.set_message(progress.note.to_owned());
            }
        } else if self.say && self.last.elapsed() >= LINE_EVERY {
            self.last = Instant::now();
            let percent = progress.done.saturating_mul(100).checked_div(progress.total);
            let percent = percent.map_or(String::new(), |percent| format!(" {percent} %"));
            let note = if progress.note.is_empty() { String::new() } else { format!(", {}", progress.note) };
            use std::io::Write;
            let _ = writeln!(stderr(), "{}{percent}{note}", progress.step);
        }
        tracing::trace!(
            step = progress.step,
            done = progress.done,
            total = progress.total,
            note = progress.note
        );
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(progress: &Progress<'_>) -> ProgressBar {
    let template = if progress.total == 0 {
        "{prefix} {spinner} {elapsed} {msg}"
    } else {
        "{prefix} {wide_bar} {percent:>3} %, {eta} left {msg}"
    };
    let bar = ProgressBar::new(progress.total).with_prefix(progress.step.to_owned());
    // The templates are constant and valid; a test draws with them.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn workspace(arguments: &SessionArguments, default_dir: &str) -> Workspace {
    Workspace::new(arguments.dir.clone().unwrap_or_else(|| PathBuf::from(default_dir)))
}

fn listen_for_ctrl_c() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            // Asked twice: do not wait for the step to notice. Files are whole at any moment.
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")
}

pub(crate) fn read_settings(
    arguments: &SessionArguments,
    workspace: &Workspace,
    overrides: &[(&str, &str, String)],
) -> anyhow::Result<ConfigBuilder> {
    let mut builder = ConfigBuilder::default();
    if workspace.ranking().exists() {
        builder = builder.file(&workspace.ranking())?;
    }
    match &arguments.config {
        Some(file) => builder = builder.file(file)?,
        None if workspace.settings().exists() => builder = builder.file(&workspace.settings())?,
        None => {}
    }
    builder = builder.environment(std::env::vars())?;
    for set in &arguments.set {
        let (key, value) = set
            .split_once('=')
            .with_context(|| format!("`--set {set}` has no `=`; write `--set KEY=VALUE`"))?;
        builder = builder.flag("--set", key.trim(), value.trim())?;
    }
    if let Some(seed) = arguments.seed {
        builder = builder.flag("--seed", "run.seed", &seed.to_string())?;
    }
    if let Some(threads) = arguments.threads {
        builder = builder.flag("--threads", "run.threads", &threads.to_string())?;
    }
    for (flag, key, value) in overrides {
        builder = builder.flag(flag, key, value)?;
    }
    Ok(builder)
}

fn rayon_pool(n_threads: usize) -> anyhow::Result<()> {
    titlecard_engine::set_threads(n_threads).context("cannot start the threads")
}

/// Short messages on stderr, everything in a file of the working folder, if there is to be one.
fn open_log(arguments: &SessionArguments, workspace: Option<&Workspace>) -> anyhow::Result<()> {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => "off",
        (_, 0) => "warn",
        (_, 1) => "info",
        _ => "debug",
    };
    let on_stderr = fmt::layer()
        .with_writer(stderr)
        .with_ansi(arguments.colour())
        .with_target(false)
        .without_time()
        .with_filter(EnvFilter::new(level));
    let name = format!("titlecard-{}-{}.log", timestamp(), std::process::id());
    // A folder that cannot be written is no reason not to search in it.
    let file = workspace.map(|workspace| {
        let folder = workspace.logs();
        fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(&name)))
    });
    let (file, unwritable) = match file {
        Some(Ok(file)) => (Some(file), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let in_file = file.map(|file| {
        let filter = EnvFilter::new("debug,tantivy=info");
        fmt::layer().with_writer(Mutex::new(file)).with_ansi(false).with_filter(filter)
    });
    let subscriber = tracing_subscriber::registry().with(on_stderr).with(in_file);
    tracing::subscriber::set_global_default(subscriber).context("cannot open the log")?;
    if let Some(reason) = unwritable {
        tracing::info!(reason, "no log file");
    }
    Ok(())
}

/// Seconds since 1970 as `YYYYMMDD-HHMMSS` in UTC, so that log files sort by time.
fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_date(days as i64);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Date of a day counted from 1970-01-01 in the Gregorian calendar (400-year cycles of 146,097 days,
/// years counted from March so that the leap day is the last of its year).
fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_cycle + cycle * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d @SECONDS +%F` of GNU coreutils, in days.
        for (days, date) in
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_780, (2026, 11, 23))]
        {
            assert_eq!(civil_date(days), date);
        }
    }

    #[test]
    fn bar_templates_are_valid() {
        for total in [0, 10] {
            let progress = Progress { step: "training", done: 1, total, note: "loss 1" };
            let bar = new_bar(&progress);
            assert_eq!(bar.prefix(), "training");
        }
    }
}
