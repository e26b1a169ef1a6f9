//! What the words round a phrase do to it: talk and content, frames, negation, quotation, and what each word
//! is worth in the end.

use super::dates::DateRange;
use super::words::{Class, Cue, Words, of_class};
use super::{Marks, Negation, Quote, QuoteKind, Role, Sentence, Span};

/// What a frame, a word of no content, a date and a denied or compared word are worth.
const FRAME_WEIGHT: f32 = 0.1;
const GENERIC_WEIGHT: f32 = 0.3;
const STOP_WEIGHT: f32 = 0.3;
const DATE_WEIGHT: f32 = 0.3;
const TALK_WEIGHT: f32 = 0.15;

/// Share of content above which a sentence is about the film, and below which it is talk.
const FILM_ABOVE: f32 = 0.66;
const TALK_BELOW: f32 = 0.4;

/// The sentences with their roles: the share of words with content among those and the words of talk.
pub(super) fn weigh_sentences(words: &Words, marks: &Marks, spans: &[Span]) -> Vec<Sentence> {
    let mut counts = vec![Count::default(); spans.len()];
    for (at, (word, mark)) in words.items.iter().zip(&marks.of).enumerate() {
        let Some(count) = counts.get_mut(word.sentence as usize) else { continue };
        count.words += 1;
        if mark.named {
            count.named += 1.0;
        }
        match mark.talk {
            3 => count.talk += 1.0,
            2 => count.talk += 0.7,
            1 => count.talk += 0.35,
            _ if mark.seen => count.talk += 0.7,
            _ if matches!(words.get(at), "he" | "she" | "his" | "her" | "him") => count.persons += 0.7,
            _ if mark.frame || mark.stop || mark.generic => {}
            _ => count.content += 1.0,
        }
    }
    spans
        .iter()
        .zip(counts)
        .map(|(span, count)| {
            // A word or two of content in a sentence of talk are chance ("at my grandparents' house").
            let content = count.content;
            let told = (content - 1.0).max(0.0)
                + 0.3 * content.min(1.0)
                + count.persons.min(1.5)
                + count.named.min(2.0);
            let weight = if count.words == 0 {
                0.0
            } else if count.talk > 0.0 {
                told / (told + 0.8 * count.talk)
            } else if told > 0.0 {
                1.0
            } else {
                NO_CONTENT
            };
            let role = if weight >= FILM_ABOVE {
                Role::Film
            } else if weight <= TALK_BELOW {
                Role::Talk
            } else {
                Role::Mixed
            };
            Sentence { span: *span, role, weight }
        })
        .collect()
}

/// What a sentence without talk and without content is worth.
const NO_CONTENT: f32 = 0.4;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    words: u32,
    /// Words that say something.
    content: f32,
    /// Words of talk, each by how much it is.
    talk: f32,
    /// "He" and "she".
    persons: f32,
    /// Words of genres, traits, countries and languages.
    named: f32,
}

/// Hedges and frames, overlapping ones as one.
pub(super) fn frames(words: &Words, cues: &[Cue]) -> Vec<Span> {
    let mut frames: Vec<(usize, usize)> = Vec::new();
    for cue in of_class(cues, Class::Frame) {
        match frames.last_mut() {
            Some((_, end)) if cue.first < *end => *end = (*end).max(cue.end),
            _ => frames.push((cue.first, cue.end)),
        }
    }
    frames.into_iter().map(|(first, end)| words.span(first, end)).collect()
}

/// Longest scope of a negation in words.
const MAX_SCOPE: usize = 8;

/// What is denied; words denied of the film are marked.
pub(super) fn negations(words: &Words, cues: &[Cue], marks: &mut Marks) -> Vec<Negation> {
    let mut negations: Vec<Negation> = Vec::new();
    let mut free_from = 0;
    let mut at = 0;
    while at < cues.len() {
        let first = cues[at].first;
        let group = &cues[at..at + cues[at..].iter().take_while(|cue| cue.first == first).count()];
        at += group.len();
        let longest = |class| of_class(group, class).map(|cue| cue.end).max();
        if first < free_from {
            continue;
        }
        if let Some(end) = longest(Class::NotNegation) {
            free_from = end;
            continue;
        }
        let of_film = longest(Class::NegationOfFilm);
        let Some(end) = of_film.max(longest(Class::NegationWord)) else { continue };
        // "It was not sure": the cue runs into what is no negation.
        if of_class(cues, Class::NotNegation).any(|cue| cue.first > first && cue.first < end) {
            continue;
        }
        free_from = end;
        let scope_end = scope_end(words, end);
        if scope_end == end {
            continue;
        }
        let of_film = is_of_film(words, first, end, of_film.is_some());
        if of_film {
            for mark in &mut marks.of[end..scope_end] {
                mark.negated = true;
            }
        }
        negations.push(Negation { cue: words.span(first, end), scope: words.span(end, scope_end), of_film });
        free_from = if of_film { scope_end } else { end };
    }
    negations
}

/// Where the scope of a negation that begins at word `start` ends: at the end of the clause, or at "but".
/// A list ("Alien, Aliens or Predator") goes on.
fn scope_end(words: &Words, start: usize) -> usize {
    let mut end = start;
    while end < words.len() && end < start + MAX_SCOPE && words.same_sentence(start.saturating_sub(1), end) {
        let word = words.get(end);
        if end > start && words.items[end].after_break {
            let goes_on =
                matches!(word, "or" | "nor") || (words.items[end].capital && words.items[end - 1].capital);
            if !goes_on {
                break;
            }
        }
        if matches!(
            word,
            "but"
                | "because"
                | "just"
                | "though"
                | "although"
                | "since"
                | "however"
                | "which"
                | "who"
                | "where"
                | "when"
                | "instead"
                | "it"
                | "i"
                | "so"
                | "if"
        ) {
            break;
        }
        if word == "and"
            && !words.within(end + 1, end).is_empty()
            && !words.items[(end + 1).min(words.len() - 1)].capital
        {
            break;
        }
        end += 1;
    }
    end
}

/// Whether what is denied is denied of the film: its subject is "it", "the film" or missing.
fn is_of_film(words: &Words, first: usize, end: usize, listed: bool) -> bool {
    let opens = |at: usize| words.opens_sentence(at) || words.items[at].after_break;
    let own = words.get(first);
    // The cue has its subject or needs none.
    if listed
        && matches!(
            own,
            "it" | "its"
                | "this"
                | "that"
                | "thats"
                | "there"
                | "dont"
                | "do"
                | "didnt"
                | "doubt"
                | "other"
                | "apart"
                | "definitely"
                | "aside"
                | "unrelated"
        )
    {
        return true;
    }
    if opens(first) {
        // "Not animated", "No magic"; but "Doesn't speak", "Without shoes".
        return matches!(
            own,
            "not" | "no" | "neither" | "nor" | "wasnt" | "isnt" | "except" | "besides" | "but"
        );
    }
    if matches!(own, "nor" | "besides" | "except" | "rather" | "instead") {
        return listed;
    }
    let mut back = 1;
    while back <= 4 {
        match words.before(first, back) {
            "is" | "was" | "were" | "are" | "definitely" | "probably" | "also" | "and" | "but" | "really"
            | "sure" | "pretty" | "its" | "im" | "know" | "i" | "or" | "there" | "had" | "has"
            | "certainly" | "maybe" | "absolutely" => back += 1,
            "it" | "this" | "that" | "movie" | "film" | "show" | "thats" => {
                return listed || matches!(own, "not" | "isnt" | "wasnt") || (own == "no" && back >= 2);
            }
            _ => break,
        }
    }
    // "... and not a comedy", "(definitely not Alien)": everything before it is filler up to a break.
    let filler = back - 1;
    let _ = end;
    filler > 0
        && matches!(own, "not" | "isnt" | "wasnt" | "no")
        && first >= filler
        && opens(first - filler)
        && words.before(first, 1) != "i"
}

/// Longest quotation in bytes.
const MAX_QUOTE: usize = 240;

/// Phrases in double quotation marks, and single words or titles between stars.
pub(super) fn quotes(text: &str, words: &Words, cues: &[Cue]) -> Vec<Quote> {
    let mut quotes = Vec::new();
    let mut open: Option<(usize, char)> = None;
    for (at, c) in text.char_indices() {
        match (c, open) {
            ('\n', Some((start, _))) if text[start..at].ends_with('\n') => open = None,
            ('"' | '\u{201d}' | '\u{201c}' | '\u{201f}', Some((start, mark))) if mark != '*' => {
                if c == '\u{201c}' {
                    open = Some((at + c.len_utf8(), c));
                    continue;
                }
                push_quote(text, words, cues, Span::new(start, at), &mut quotes);
                open = None;
            }
            ('*', Some((start, '*'))) => {
                if start < at {
                    push_quote(text, words, cues, Span::new(start, at), &mut quotes);
                }
                open = None;
            }
            ('"' | '\u{201c}', _) => open = Some((at + c.len_utf8(), c)),
            ('*', None) => {
                let next = text[at + 1..].chars().next();
                if next.is_some_and(char::is_alphanumeric) {
                    open = Some((at + 1, '*'));
                }
            }
            _ => {}
        }
        if let Some((start, _)) = open
            && at > start + MAX_QUOTE
        {
            open = None;
        }
    }
    quotes
}

fn push_quote(text: &str, words: &Words, cues: &[Cue], span: Span, quotes: &mut Vec<Quote>) {
    let inner = span.of(text);
    let trimmed = inner.trim();
    if !trimmed.chars().any(char::is_alphanumeric) {
        return;
    }
    let start = span.start + (inner.len() - inner.trim_start().len());
    let span = Span::new(start, start + trimmed.len());
    let first = words.items.partition_point(|word| word.span.start < span.start);
    let n_words = words.items[first..].iter().take_while(|word| word.span.end <= span.end).count();
    let near = |class| of_class(cues, class).any(|cue| cue.end <= first && cue.end + 3 > first);
    let capitals = words.items[first..first + n_words].iter().filter(|word| word.capital).count();
    let kind = if near(Class::Called) {
        QuoteKind::Title
    } else if near(Class::Speech) || trimmed.ends_with(['!', '?', '.', ',']) || n_words >= 6 {
        QuoteKind::Speech
    } else if n_words > 0 && capitals * 2 > n_words {
        QuoteKind::Title
    } else {
        QuoteKind::Other
    };
    quotes.push(Quote { kind, span });
}

/// What each word is worth: its sentence, less for frames, talk, dates and words without content, nothing if it
/// is denied or names a film compared with.
pub(super) fn word_weights(
    words: &Words,
    marks: &Marks,
    sentences: &[Sentence],
    dates: &[DateRange],
) -> Vec<(Span, f32)> {
    let mut weights: Vec<(Span, f32)> = Vec::with_capacity(words.len());
    let mut date = 0;
    for (word, mark) in words.items.iter().zip(&marks.of) {
        while dates.get(date).is_some_and(|date| date.span.end <= word.span.start) {
            date += 1;
        }
        let in_date = dates.get(date).is_some_and(|date| date.span.overlaps(word.span));
        let sentence = sentences.get(word.sentence as usize).map_or(1.0, |sentence| sentence.weight);
        let own = if mark.negated || mark.compared {
            0.0
        } else if mark.frame {
            FRAME_WEIGHT
        } else if mark.talk > 1 {
            TALK_WEIGHT
        } else if in_date {
            DATE_WEIGHT
        } else if mark.generic {
            GENERIC_WEIGHT
        } else if mark.stop {
            STOP_WEIGHT
        } else {
            1.0
        };
        let weight = (own * sentence).clamp(0.0, 1.0);
        match weights.last_mut() {
            // Pieces of one word, and pairs of characters that overlap.
            Some((last, known)) if last.start == word.span.start => {
                last.end = last.end.max(word.span.end);
                *known = known.max(weight);
            }
            _ => weights.push((word.span, weight)),
        }
    }
    weights
}
