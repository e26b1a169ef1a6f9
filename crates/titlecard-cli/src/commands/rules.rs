//! `titlecard rules`: reading, checking and editing the rules that rank.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use titlecard_engine::artifact::write_bytes;
use titlecard_engine::pipeline;
use titlecard_engine::rank::lint::{Finding, lint};
use titlecard_engine::rank::literals::{Fact, Number};
use titlecard_engine::rank::ranker::Ranker;

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// What to do with the rules.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// All rules with their weights, the weightiest first
    List(ListArguments),
    /// One rule in plain words
    Show(ShowArguments),
    /// Change the weight of a rule, or switch it off
    Edit(EditArguments),
    /// Check a rule file
    Lint(FileArguments),
    /// Check a rule file and rank by it from now on
    Apply(FileArguments),
    /// What every fact and number that rules may ask for means
    Glossary,
}

/// Listing.
#[derive(clap::Args)]
pub(crate) struct ListArguments {
    /// The rule file as it is: JSON, to be edited and applied
    #[arg(long)]
    json: bool,
}

/// Showing one rule.
#[derive(clap::Args)]
pub(crate) struct ShowArguments {
    /// Number of the rule, as `titlecard rules list` shows it
    rule: usize,
}

/// Changing one rule.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard rules edit 3 --weight -0.5\n  titlecard rules edit 12 --off")]
pub(crate) struct EditArguments {
    /// Number of the rule, as `titlecard rules list` shows it
    rule: usize,
    /// Its new weight
    #[arg(long, value_name = "X", allow_negative_numbers = true, required_unless_present = "off")]
    weight: Option<f64>,
    /// Give it no weight
    #[arg(long, conflicts_with = "weight")]
    off: bool,
}

/// A rule file.
#[derive(clap::Args)]
pub(crate) struct FileArguments {
    /// Rule file (JSON)
    file: PathBuf,
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    match arguments {
        Arguments::List(arguments) => list(&session, &arguments),
        Arguments::Show(arguments) => show(&session, &arguments),
        Arguments::Edit(arguments) => edit(&session, &arguments),
        Arguments::Lint(arguments) => Ok(check(&session, &arguments.file)?.0),
        Arguments::Apply(arguments) => apply(&session, &arguments.file),
        Arguments::Glossary => glossary(),
    }
}

fn ranker(session: &Session) -> anyhow::Result<Ranker> {
    pipeline::load_rules(&session.workspace)?.with_context(|| {
        format!(
            "there are no rules in `{}`; learn them with `titlecard train ranker`",
            session.workspace.rules().display()
        )
    })
}

fn list(session: &Session, arguments: &ListArguments) -> anyhow::Result<Outcome> {
    let ranker = ranker(session)?;
    if arguments.json {
        output::text(&format!("{}\n", ranker.rules().to_json()))?;
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    for (at, rule) in ranker.rules().rules().iter().enumerate() {
        let support =
            rule.support.map_or(String::new(), |share| format!("  ({:.1} % of pairs)", 100.0 * share));
        writeln!(text, "{:>3}. {:>+8.3}  {}{support}", at + 1, ranker.weight(at), ranker.rules().text(at))?;
    }
    for term in ranker.rules().linear() {
        writeln!(text, "     {:>+8.3}  x {}", term.weight, term.name)?;
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}

/// Position of rule number `rule`, from 1.
fn position(ranker: &Ranker, rule: usize) -> anyhow::Result<usize> {
    let n = ranker.rules().rules().len();
    anyhow::ensure!((1..=n).contains(&rule), "there is no rule {rule}; rules are numbered from 1 to {n}");
    Ok(rule - 1)
}

fn show(session: &Session, arguments: &ShowArguments) -> anyhow::Result<Outcome> {
    let ranker = ranker(session)?;
    let at = position(&ranker, arguments.rule)?;
    let rule = &ranker.rules().rules()[at];
    let mut text = format!("rule {}: {}\n", arguments.rule, ranker.rules().text(at));
    writeln!(text, "  adds {:+.4} to the score if", ranker.weight(at))?;
    for line in ranker.rule_words(at) {
        writeln!(text, "  - {line}")?;
    }
    if let Some(support) = rule.support {
        writeln!(
            text,
            "  it holds for {:.2} % of the question-film pairs it was learned from",
            100.0 * support
        )?;
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}

fn edit(session: &Session, arguments: &EditArguments) -> anyhow::Result<Outcome> {
    let ranker = ranker(session)?;
    let at = position(&ranker, arguments.rule)?;
    let weight = arguments.weight.unwrap_or(0.0);
    let before = ranker.weight(at);
    let edited = ranker.with_weight(at, weight)?;
    let path = session.workspace.rules();
    write_bytes(&path, edited.rules().to_json().as_bytes())?;
    session.say(&format!(
        "rule {}: weight {before} -> {weight}; undo with `titlecard rules edit {} --weight {before}`",
        arguments.rule, arguments.rule
    ));
    Ok(Outcome::Done)
}

/// Reads and checks a rule file, printing what was found; none if it cannot rank.
fn check(session: &Session, path: &Path) -> anyhow::Result<(Outcome, Ranker)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let ranker = Ranker::from_json(&text).with_context(|| format!("`{}`", path.display()))?;
    let findings: Vec<Finding> = lint(&ranker, &session.config.ranker);
    for finding in &findings {
        output::line(&finding.to_string())?;
    }
    let rules = ranker.rules();
    session.say(&format!(
        "{} rules of {} literals in all, {} scores; {}",
        rules.rules().len(),
        rules.n_edges(),
        rules.linear().len(),
        if findings.is_empty() { "nothing to say".to_owned() } else { format!("{} remarks", findings.len()) }
    ));
    let is_bad = findings.iter().any(|finding| finding.is_error);
    Ok((if is_bad { Outcome::No } else { Outcome::Done }, ranker))
}

fn apply(session: &Session, path: &Path) -> anyhow::Result<Outcome> {
    let (outcome, ranker) = check(session, path)?;
    if outcome == Outcome::No {
        session.say("not applied; mend what is marked as an error");
        return Ok(outcome);
    }
    let target = session.workspace.rules();
    write_bytes(&target, ranker.rules().to_json().as_bytes())?;
    session.say(&format!("applied: `{}`; see what it did with `titlecard eval`", target.display()));
    Ok(Outcome::Done)
}

fn glossary() -> anyhow::Result<Outcome> {
    let mut text = String::from("Facts, true or not of a question and a film:\n");
    for fact in Fact::ALL {
        writeln!(text, "  {:<28} {:<8} {}", fact.name(), fact.family().name(), fact.words())?;
    }
    text.push_str("\nNumbers, which rules compare with a bound:\n");
    for number in Number::ALL {
        writeln!(text, "  {:<28} {:<8} {}", number.name(), number.family().name(), number.words())?;
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}
