//! `titlecard why`: why one film stands above another, and what would change that.

use std::fmt::Write as _;

use titlecard_engine::pipeline;
use titlecard_engine::rank::reasons::RuleReason;

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Compares two films of an answer: the rules that hold for one of them only, the scores that differ, and the
/// smallest change of facts that would turn them round.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard why \"a shark scares a beach town\" 1 2")]
pub(crate) struct Arguments {
    /// The description
    query: String,
    /// Place of the first film in the answer
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    first: u16,
    /// Place of the second
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    second: u16,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let engine = pipeline::open_engine(&session.workspace, &session.config)?;
    anyhow::ensure!(
        engine.ranker().is_some(),
        "there are no rules to compare by; build the graph with `titlecard graph build` and learn them with \
         `titlecard train ranker`"
    );
    let (first, second) = (usize::from(arguments.first), usize::from(arguments.second));
    anyhow::ensure!(first != second, "the two places are the same; name two films of the answer, like `1 2`");
    let answer = engine.search(&arguments.query, first.max(second))?;
    let hit = |place: usize| {
        answer.hits.get(place - 1).ok_or_else(|| {
            anyhow::anyhow!("the answer has {} films, so there is none in place {place}", answer.hits.len())
        })
    };
    let (a, b) = (hit(first)?, hit(second)?);
    let Some(comparison) = engine.compare(&arguments.query, a.film_idx, b.film_idx)? else {
        anyhow::bail!("the films cannot be compared: one of them is not among the candidates")
    };
    if arguments.json {
        output::json(&comparison)?;
        return Ok(Outcome::Done);
    }
    let name = |hit: &titlecard_engine::search::Hit| {
        let year = hit.film.year.map_or(String::new(), |year| format!(" ({year})"));
        format!("{}{year}", hit.film.title)
    };
    let mut text = format!(
        "{first}. {}: {:.4}\n{second}. {}: {:.4}\ndifference {:+.4}\n",
        name(a),
        a.score,
        name(b),
        b.score,
        comparison.difference
    );
    rules(
        &mut text,
        &format!("only {} has, and what that adds to the difference", name(a)),
        &comparison.only_first,
        1.0,
    )?;
    rules(
        &mut text,
        &format!("only {} has, and what that adds to the difference", name(b)),
        &comparison.only_second,
        -1.0,
    )?;
    if !comparison.scores.is_empty() {
        text.push_str("scores that differ\n");
    }
    for (score, difference) in &comparison.scores {
        writeln!(text, "  {difference:+.4}  {score}")?;
    }
    match &comparison.counterfactual {
        Some(change) => {
            let film = if change.film == a.film_idx { a } else { b };
            writeln!(text, "what would turn them round (ranked again with it):")?;
            for change in &change.changes {
                let becomes = if change.becomes { "if" } else { "if not" };
                writeln!(text, "  {becomes}: {}", change.words)?;
            }
            writeln!(
                text,
                "  {} would have {:.4} instead of {:.4}, place {} instead of {}",
                film.film.title,
                change.score_after,
                change.score_before,
                change.place_after,
                change.place_before
            )?;
        }
        None => text.push_str("no change of up to three facts would turn them round\n"),
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}

fn rules(text: &mut String, title: &str, rules: &[RuleReason], sign: f64) -> anyhow::Result<()> {
    if !rules.is_empty() {
        writeln!(text, "{title}")?;
    }
    for rule in rules {
        writeln!(text, "  {:+.4}  {}", sign * rule.weight, rule.text)?;
        super::search::evidence(text, rule)?;
    }
    Ok(())
}
