//! `titlecard search`: films that fit a description, with where each score came from.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, stdin};

use serde::Serialize;
use titlecard_engine::pipeline;
use titlecard_engine::rank::reasons::{FilmReasons, RuleReason};
use titlecard_engine::search::{Answer, Engine, Hit, SearchError};
use titlecard_engine::text::is_stop_word;

use crate::session::{Session, SessionArguments, check_stop};
use crate::{Outcome, output};

/// Prints rank, title, year and score, and the parts the score is the sum of.
///
/// Exit code 1 if nothing was found.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard search \"a boy follows a red balloon through Paris\"\n  \
                        cat question.txt | titlecard search - --json")]
pub(crate) struct Arguments {
    /// The description, or `-` to read it from stdin (also if left out and stdin is no terminal)
    query: Option<String>,
    /// Films to show
    #[arg(short = 'k', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Every line of stdin is a query of its own
    #[arg(long)]
    lines: bool,
    /// Say what was understood of the description, and every rule and score that put a film where it is
    #[arg(long)]
    explain: bool,
    /// One JSON object a hit
    #[arg(long)]
    json: bool,
}

/// A hit as one line of JSON.
#[derive(Serialize)]
struct JsonHit<'a> {
    query: &'a str,
    #[serde(flatten)]
    hit: &'a Hit,
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let queries = read_queries(arguments)?;
    let session = Session::open(session, ".", &[])?;
    let engine = pipeline::open_engine(&session.workspace, &session.config)?;
    let mut outcome = Outcome::No;
    for query in &queries {
        check_stop("searching")?;
        if queries.len() > 1 && !arguments.json {
            output::line(&format!("> {query}"))?;
        }
        match answer(&engine, query, usize::from(arguments.top)) {
            Ok(answer) => {
                show(query, &answer, arguments.json, arguments.explain)?;
                outcome = Outcome::Done;
            }
            // Not an error of the program: the answer is "no film".
            Err(
                error @ (SearchError::NoKnownWord { .. }
                | SearchError::EmptyQuery
                | SearchError::NothingPasses),
            ) => {
                session.say(&error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(outcome)
}

fn read_queries(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    match arguments.query.as_deref() {
        Some(query) if query != "-" => Ok(vec![query.to_owned()]),
        None if stdin().is_terminal() => {
            anyhow::bail!("no query; write `titlecard search \"your description\"`, or pipe one in")
        }
        _ if arguments.lines => {
            let mut bytes = Vec::new();
            stdin().lock().read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes);
            let queries: Vec<String> =
                text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
            anyhow::ensure!(!queries.is_empty(), "there is no query on stdin; write one a line");
            Ok(queries)
        }
        _ => {
            let mut bytes = Vec::new();
            stdin().lock().read_to_end(&mut bytes)?;
            Ok(vec![String::from_utf8_lossy(&bytes).trim().to_owned()])
        }
    }
}

/// Films for one query.
pub(crate) fn answer(engine: &Engine, query: &str, k: usize) -> Result<Answer, SearchError> {
    let answer = engine.search(query, k)?;
    tracing::debug!(latency_ms = answer.latency_ms, n_hits = answer.hits.len(), "searched");
    Ok(answer)
}

/// Prints an answer.
pub(crate) fn show(query: &str, answer: &Answer, json: bool, explain: bool) -> anyhow::Result<()> {
    if json {
        for hit in &answer.hits {
            output::json(&JsonHit { query, hit })?;
        }
        return Ok(());
    }
    let mut text = String::new();
    if let (true, Some(understood)) = (explain, &answer.understood) {
        for line in understood.in_words(query) {
            writeln!(text, "understood: {line}")?;
        }
    }
    for hit in &answer.hits {
        let year = hit.film.year.map_or(String::new(), |year| format!(" ({year})"));
        writeln!(text, "{:>3}. {}{year}", hit.rank, hit.film.title)?;
        // Parts that have nothing to say of this film (no plot, no votes) are left out: they add nothing.
        let parts: Vec<String> = hit
            .parts
            .iter()
            .filter(|part| part.contribution != 0.0)
            .map(|part| format!("{} {:.3}", part.name, part.contribution))
            .collect();
        match &hit.reasons {
            Some(reasons) if explain => all_reasons(&mut text, reasons)?,
            Some(reasons) => main_reasons(&mut text, reasons)?,
            None => writeln!(text, "     score {:.3} = {}", hit.score, parts.join(" + "))?,
        }
        // The telling words, as the person wrote them; "the" and "a" add next to nothing.
        let mut words: Vec<&str> = Vec::new();
        let only_stop_words = hit.matches.iter().all(|found| is_stop_word(&found.word));
        for found in hit.matches.iter().filter(|found| only_stop_words || !is_stop_word(&found.word)) {
            if !words.contains(&found.word.as_str()) {
                words.push(&found.word);
            }
        }
        if !words.is_empty() {
            writeln!(text, "     words: {}", words.join(", "))?;
        }
    }
    output::text(&text)?;
    Ok(())
}

/// Rules shown for a film unless all are asked for.
const MAIN_RULES: usize = 3;

/// The weightiest rules, the scores, and what the others add up to.
fn main_reasons(text: &mut String, reasons: &FilmReasons) -> anyhow::Result<()> {
    let (main, rest) = reasons.rules.split_at(MAIN_RULES.min(reasons.rules.len()));
    let scores: f64 = reasons.scores.iter().map(|score| score.contribution).sum();
    write!(text, "     score {:.3} = scores {scores:.3}", reasons.score)?;
    for rule in main {
        write!(text, " {:+.3} ({})", rule.weight, rule.text)?;
    }
    if !rest.is_empty() {
        let weight: f64 = rest.iter().map(|rule| rule.weight).sum();
        write!(text, " {weight:+.3} ({} more rules)", rest.len())?;
    }
    writeln!(text)?;
    Ok(())
}

/// Every rule and score, with what it rests on.
fn all_reasons(text: &mut String, reasons: &FilmReasons) -> anyhow::Result<()> {
    writeln!(text, "     score {:.4}, the sum of", reasons.score)?;
    for score in &reasons.scores {
        writeln!(
            text,
            "       {:+.4}  {} {:.3} x {:.4}",
            score.contribution, score.name, score.value, score.weight
        )?;
    }
    for rule in &reasons.rules {
        writeln!(text, "       {:+.4}  rule {}: {}", rule.weight, rule.rule, rule.text)?;
        evidence(text, rule)?;
    }
    if reasons.bias != 0.0 {
        writeln!(text, "       {:+.4}  constant", reasons.bias)?;
    }
    Ok(())
}

/// What a rule rests on, a line each.
pub(super) fn evidence(text: &mut String, rule: &RuleReason) -> anyhow::Result<()> {
    for found in &rule.evidence {
        let said =
            if found.said.is_empty() { "the question".to_owned() } else { format!("\"{}\"", found.said) };
        writeln!(text, "                 {}: {said} / {}", found.fact, found.film)?;
    }
    Ok(())
}
