//! What looks wrong in a catalogue though every row can be read: counted, with examples, and left as it is.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Film;

/// Something that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Suspicion {
    /// What, in words.
    pub what: String,
    /// Number of films.
    pub count: u64,
    /// Some of them: title and the passage, or the text that is repeated.
    pub examples: Vec<String>,
}

const EXAMPLES: usize = 3;
/// An overview this often is no overview.
const MANY: u64 = 3;
/// Repeated overviews whose text is kept; further ones are only counted as repeated.
const KEPT_TEXTS: usize = 4096;
/// The oldest film that survives.
const FIRST_YEAR: i32 = 1888;
/// Films are announced this many years ahead.
const YEARS_AHEAD: i32 = 10;

/// Collects what looks wrong.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    broken: Suspicion,
    entities: Suspicion,
    years: Suspicion,
    adult: Suspicion,
    /// Overviews seen more than once, by hash: how often, and how they begin.
    repeated: HashMap<u64, (u64, String)>,
    n_films: u64,
}

impl Suspicions {
    /// Looks at a film that is kept; `repeats` is the hash of its overview if an earlier film has the same.
    pub(super) fn look(&mut self, film: &Film, repeats: Option<u64>) {
        self.n_films += 1;
        for text in [&film.title, &film.overview] {
            if let Some(at) = mojibake(text) {
                note(&mut self.broken, || format!("{}: …{}…", film.title, passage(text, at)));
                break;
            }
        }
        for text in [&film.title, &film.overview] {
            if let Some(at) = html(text) {
                note(&mut self.entities, || format!("{}: …{}…", film.title, passage(text, at)));
                break;
            }
        }
        if let Some(year) = film.year.filter(|year| *year < FIRST_YEAR || *year > this_year() + YEARS_AHEAD) {
            note(&mut self.years, || format!("{} ({year})", film.title));
        }
        if let Some(hash) = repeats {
            let n_kept = self.repeated.len();
            if let Some((count, _)) = self.repeated.get_mut(&hash) {
                *count += 1;
            } else if n_kept < KEPT_TEXTS {
                // The first one was not known to be repeated when it came by.
                self.repeated.insert(hash, (2, passage(&film.overview, 0)));
            }
        }
    }

    /// Notes a film marked as adult.
    pub(super) fn adult(&mut self, title: &str) {
        note(&mut self.adult, || title.to_owned());
    }

    /// What was found; `rows_read` is what shares are of.
    pub(super) fn finish(self, rows_read: u64) -> Vec<Suspicion> {
        let mut found = Vec::new();
        let mut many: Vec<(u64, String)> =
            self.repeated.into_values().filter(|(count, _)| *count >= MANY).collect();
        many.sort_by(|a, b| b.cmp(a));
        if !many.is_empty() {
            found.push(Suspicion {
                what: format!("films with an overview that {MANY} or more films share"),
                count: many.iter().map(|(count, _)| count).sum(),
                examples: many
                    .into_iter()
                    .take(EXAMPLES)
                    .map(|(count, text)| format!("{count} times: {text}"))
                    .collect(),
            });
        }
        let share = 100.0 * self.adult.count as f64 / rows_read.max(1) as f64;
        for (what, suspicion) in [
            ("films with text in a wrong encoding (mojibake)".to_owned(), self.broken),
            ("films with HTML in their text".to_owned(), self.entities),
            (format!("films from before {FIRST_YEAR} or far in the future"), self.years),
            (format!("rows marked as adult ({share:.1} % of all)"), self.adult),
        ] {
            if suspicion.count > 0 {
                found.push(Suspicion { what, ..suspicion });
            }
        }
        found
    }
}

fn note(suspicion: &mut Suspicion, example: impl FnOnce() -> String) {
    suspicion.count += 1;
    if suspicion.examples.len() < EXAMPLES {
        suspicion.examples.push(example());
    }
}

fn this_year() -> i32 {
    static YEAR: std::sync::OnceLock<i32> = std::sync::OnceLock::new();
    *YEAR.get_or_init(|| {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
        // Mean length of a Gregorian year.
        1970 + (seconds / 31_556_952) as i32
    })
}

/// Some characters of `text` around byte `at`, on one line.
fn passage(text: &str, at: usize) -> String {
    let before = text[..at].char_indices().rev().nth(15).map_or(0, |(at, _)| at);
    text[before..].chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Where UTF-8 was read as Latin-1 or Windows-1252 and written as UTF-8 again, or bytes were replaced: `Ã©`, `â€™`, `Â `, `\u{fffd}`.
fn mojibake(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    // All of them begin with byte C3 or EF, which plain text does not have.
    while let Some(found) = bytes[from..].iter().position(|byte| matches!(byte, 0xc3 | 0xef)) {
        let at = from + found;
        let mut chars = text[at..].chars();
        match (chars.next(), chars.next()) {
            // Second bytes of two are 80 to BF; as Latin-1 these are controls and signs, seldom after a capital.
            (
                Some('Ã'),
                Some(
                    '\u{80}'..='\u{bf}'
                    | '€'
                    | '‚'
                    | 'ƒ'
                    | '„'
                    | '…'
                    | '†'
                    | '‡'
                    | '‰'
                    | 'Š'
                    | '‹'
                    | 'Œ'
                    | 'Ž'
                    | '™',
                ),
            )
            | (Some('Â'), Some('\u{a0}'..='\u{bf}'))
            | (Some('â'), Some('€'))
            | (Some('\u{fffd}'), _) => return Some(at),
            _ => {}
        }
        from = at + 1;
    }
    None
}

/// Where HTML is left: an entity or a tag.
fn html(text: &str) -> Option<usize> {
    const NAMES: [&str; 6] = ["amp;", "quot;", "lt;", "gt;", "nbsp;", "apos;"];
    const TAGS: [&str; 8] = ["br>", "br/>", "br />", "p>", "i>", "b>", "em>", "a href"];
    let mut from = 0;
    while let Some(found) = text.as_bytes()[from..].iter().position(|byte| matches!(byte, b'&' | b'<')) {
        let at = from + found;
        let rest = &text[at + 1..];
        let is_html = if text.as_bytes()[at] == b'&' {
            let number = rest.strip_prefix('#').and_then(|rest| rest.split_once(';'));
            NAMES.iter().any(|name| rest.starts_with(name))
                || number.is_some_and(|(digits, _)| {
                    !digits.is_empty()
                        && digits.len() < 8
                        && digits.chars().all(|c| c.is_ascii_alphanumeric())
                })
        } else {
            TAGS.iter().any(|tag| rest.trim_start_matches('/').starts_with(tag))
        };
        if is_html {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_encodings_are_told_from_accents() {
        for text in ["AmÃ©lie", "donâ€™t", "5Â°", "bro\u{fffd}ken", "ZoÃ«"] {
            assert!(mojibake(text).is_some(), "{text}");
        }
        for text in ["Amélie", "São Paulo", "SÃO PAULO", "Âge d'or", "château", "don’t", "ПРИВЕТ", "日本"]
        {
            assert!(mojibake(text).is_none(), "{text}");
        }
    }

    #[test]
    fn html_is_told_from_signs() {
        for text in ["Tom &amp; Jerry", "a<br>b", "it&#39;s", "x&#x27;y", "</i> end"] {
            assert!(html(text).is_some(), "{text}");
        }
        for text in ["Tom & Jerry", "a < b", "I <3 you", "&c; &", "R&B; soul"] {
            assert!(html(text).is_none(), "{text}");
        }
    }

    #[test]
    fn repeated_overviews_are_counted_with_the_first() {
        let mut suspicions = Suspicions::default();
        let film = Film { title: "x".to_owned(), overview: "Mexican film.".to_owned(), ..Film::default() };
        suspicions.look(&film, None);
        for _ in 0..4 {
            suspicions.look(&film, Some(1));
        }
        suspicions.look(&film, Some(2));
        let found = suspicions.finish(6);
        assert_eq!((found.len(), found[0].count), (1, 5));
        assert_eq!(found[0].examples, ["5 times: Mexican film."]);
    }
}
