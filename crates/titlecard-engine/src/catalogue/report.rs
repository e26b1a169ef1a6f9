//! What became of the rows of a catalogue.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{JoinReport, SourceReport, Suspicion};

/// What was found wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Dropped: no title.
    MissingTitle,
    /// Dropped: neither tags nor overview.
    MissingText,
    /// Dropped: an earlier row has the same id.
    DuplicateId,
    /// Dropped: not as many cells as columns, or no JSON object.
    MalformedRow,
    /// Dropped: a quote is opened and not closed for many lines; the rows inside are lost.
    UnclosedQuote,
    /// Dropped: marked as adult.
    Adult,
    /// Kept without year: the cell is no year of a film.
    BadYear,
    /// Kept without this list: the cell begins like a list and cannot be read.
    BadList,
    /// Kept: bytes that are no UTF-8 were replaced.
    NotUtf8,
    /// Kept: the overview is that of an earlier row.
    RepeatedOverview,
}

impl Reason {
    /// Whether a row is dropped for it.
    pub fn drops(self) -> bool {
        matches!(
            self,
            Self::MissingTitle
                | Self::MissingText
                | Self::DuplicateId
                | Self::MalformedRow
                | Self::UnclosedQuote
                | Self::Adult
        )
    }

    fn words(self) -> &'static str {
        match self {
            Self::MissingTitle => "without a title",
            Self::MissingText => "without tags or overview",
            Self::DuplicateId => "with the id of an earlier row",
            Self::MalformedRow => "not as many cells as columns, or no JSON object",
            Self::UnclosedQuote => "with a quote that is not closed for many lines (rows inside are lost)",
            Self::Adult => "marked as adult (keep them with `--keep-adult`)",
            Self::BadYear => "with a year that is none; kept without",
            Self::BadList => "with a list that cannot be read; kept without",
            Self::NotUtf8 => "with bytes that are no UTF-8; replaced",
            Self::RepeatedOverview => "with the overview of an earlier row; kept",
        }
    }
}

/// How often something was found, and where first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Finding {
    /// Number of rows.
    pub count: u64,
    /// Line numbers of the first rows, from 1; at most [`Finding::LINES`].
    pub first_lines: Vec<u64>,
}

impl Finding {
    /// Line numbers kept.
    pub const LINES: usize = 5;
}

/// What became of the rows of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CleaningReport {
    /// The file.
    pub source: String,
    /// What the shape is called.
    pub shape: String,
    /// Our fields with the columns they were read from.
    pub columns: BTreeMap<String, String>,
    /// Whether ids had to be made from row numbers.
    pub made_ids: bool,
    /// Rows read.
    pub rows_read: u64,
    /// Films kept.
    pub kept: u64,
    /// What was found.
    pub findings: BTreeMap<Reason, Finding>,
    /// Whether reading ended at the limit asked for.
    pub stopped_at_limit: bool,
    /// Files joined to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<JoinReport>,
    /// What looks wrong though it can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspicious: Vec<Suspicion>,
    /// What every source of `[[catalogue.source]]` came to, in the order they are declared; empty without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceReport>,
}

impl CleaningReport {
    /// Notes that the row in `line` has a fault.
    pub(super) fn note(&mut self, reason: Reason, line: u64) {
        let finding = self.findings.entry(reason).or_default();
        finding.count += 1;
        if finding.first_lines.len() < Finding::LINES {
            finding.first_lines.push(line);
        }
    }

    /// Rows dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.findings.iter().filter(|(reason, _)| reason.drops()).map(|(_, finding)| finding.count).sum()
    }
}

impl fmt::Display for CleaningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "catalogue `{}`, shape {}", self.source, self.shape)?;
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(
                |(field, column)| {
                    if field == column { field.clone() } else { format!("{field} from `{column}`") }
                },
            )
            .collect();
        writeln!(f, "  columns: {}", columns.join(", "))?;
        if self.made_ids {
            writeln!(f, "  no column for ids: made from row numbers (`row-1`, …)")?;
        }
        let limit = if self.stopped_at_limit { " (stopped at the limit)" } else { "" };
        writeln!(
            f,
            "  {} rows read{limit}, {} films kept, {} dropped",
            self.rows_read,
            self.kept,
            self.dropped()
        )?;
        for (reason, finding) in &self.findings {
            let what = if reason.drops() { "dropped" } else { "note" };
            let lines: Vec<String> = finding.first_lines.iter().map(u64::to_string).collect();
            let more = if finding.count > lines.len() as u64 { ", …" } else { "" };
            let noun = if lines.len() == 1 { "line" } else { "lines" };
            let (count, words) = (finding.count, reason.words());
            writeln!(f, "  {what}: {count} {words} ({noun} {}{more})", lines.join(", "))?;
        }
        write_suspicious(f, "  ", &self.suspicious)?;
        for source in &self.sources {
            write!(f, "{source}")?;
        }
        for file in &self.joined {
            writeln!(
                f,
                "  joined `{}`: {} rows, {} films matched ({} by title and year), {} added, {} rows unusable",
                file.source, file.rows_read, file.matched, file.by_title, file.added, file.unusable
            )?;
        }
        Ok(())
    }
}

/// A line for everything that looks wrong, with its examples below.
pub(super) fn write_suspicious(f: &mut fmt::Formatter<'_>, indent: &str, found: &[Suspicion]) -> fmt::Result {
    for suspicion in found {
        writeln!(f, "{indent}suspicious: {} {}", suspicion.count, suspicion.what)?;
        for example in &suspicion.examples {
            writeln!(f, "{indent}  {example}")?;
        }
    }
    Ok(())
}
