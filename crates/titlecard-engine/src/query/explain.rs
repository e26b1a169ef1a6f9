//! What was understood, in plain words.

use crate::graph::Kind;

use super::{DateKind, QuoteKind, Role, Span, Understanding};

/// Longest excerpt in characters.
const EXCERPT: usize = 60;

impl Understanding {
    /// What was understood of `text` (the one it was made from), a line each:
    /// `released: 1986-1989 ("late 80s")`, `not: comedy ("not a comedy")`, `talk, left out: "Please help!"`.
    pub fn in_words(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let quoted = |span: Span| format!("\"{}\"", excerpt(span.of(text)));
        for range in &self.filters.years {
            lines.push(format!("filter: year {}", range.words()));
        }
        for range in &self.filters.not_years {
            lines.push(format!("filter: year not {}", range.words()));
        }
        for condition in &self.filters.include {
            lines.push(format!("filter: {} {}", condition.field.name(), condition.value));
        }
        for condition in &self.filters.exclude {
            lines.push(format!("filter: {} not {}", condition.field.name(), condition.value));
        }
        for error in &self.filter_errors {
            lines.push(format!("filter not understood: {error}"));
        }
        for date in &self.dates {
            let not = if date.negated { "not " } else { "" };
            let so = match (date.kind, date.to) {
                (DateKind::Seen, Some(to)) => format!(", so released by {to}"),
                _ => String::new(),
            };
            lines.push(format!("{not}{}: {}{so} ({})", date.kind.name(), date.years(), quoted(date.span)));
        }
        for entity in &self.entities {
            let place = self
                .negations
                .iter()
                .find(|negation| entity.negated && negation.scope.holds(entity.span))
                .map_or(entity.span, |negation| Span::new(negation.cue.start, entity.span.end));
            let what = match (entity.negated, entity.compared) {
                (true, _) => "not".to_owned(),
                (false, true) => "compared with".to_owned(),
                (false, false) => entity.kind.name().to_owned(),
            };
            let name =
                if entity.kind == Kind::Film { quoted(entity.span) } else { entity.name.to_lowercase() };
            let unsure = if entity.confidence < 0.5 { ", unsure" } else { "" };
            lines.push(format!("{what}: {name} ({}{unsure})", quoted(place)));
        }
        for found in &self.traits {
            let what = if found.negated { "not" } else { "said to be" };
            lines.push(format!("{what}: {} ({})", found.what.name().replace('_', " "), quoted(found.span)));
        }
        for quote in &self.quotes {
            let what = match quote.kind {
                QuoteKind::Speech => "said in the film",
                QuoteKind::Title => "a title or name",
                QuoteKind::Other => "quoted",
            };
            lines.push(format!("{what}: {}", quoted(quote.span)));
        }
        let said: Vec<String> =
            self.sentences.iter().filter(|s| s.role == Role::Talk).map(|s| quoted(s.span)).collect();
        if !said.is_empty() {
            lines.push(format!("talk, left out: {}", said.join(", ")));
        }
        lines
    }
}

/// A phrase on one line, cut if it is long.
fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= EXCERPT {
        return line;
    }
    line.chars().take(EXCERPT - 1).chain(std::iter::once('\u{2026}')).collect()
}
