//! Where sentences end, in text as people type it.

use super::Span;

/// Words that end in a full stop without ending a sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "st", "vs", "jr", "sr", "prof", "capt", "sgt", "lt", "col", "gen", "e.g", "i.e",
    "eg", "ie", "etc", "approx", "ca", "no", "vol", "ep", "feat", "ft", "dept", "inc", "u.s", "u.k", "u.s.a",
    "a.k.a", "p.s", "rev",
];

/// Ends of addresses, which no sentence begins with.
const DOMAINS: &[&str] = &[
    "com", "org", "net", "uk", "tv", "edu", "gov", "html", "htm", "jpg", "png", "gif", "be", "co", "de", "fr",
];

/// Number of words after which a text without marks is cut at the next word that opens a thought.
const LONG_SENTENCE: usize = 45;

/// The sentences of `text`, in order, without the white space around them. Every word is in one.
pub(super) fn split(text: &str) -> Vec<Span> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < text.len() {
        let byte = bytes[at];
        let end = match byte {
            b'.' | b'!' | b'?' => stop_at(text, start, at),
            b'\n' => newline_at(text, at),
            _ if byte >= 0x80 => {
                let c = text[at..].chars().next().unwrap_or(' ');
                let next = at + c.len_utf8();
                if matches!(c, '\u{2026}' | '\u{3002}' | '\u{ff01}' | '\u{ff1f}' | '\u{2022}') {
                    Some(next)
                } else {
                    at = next;
                    continue;
                }
            }
            _ => None,
        };
        match end {
            Some(end) => {
                push_trimmed(text, start, end, &mut sentences);
                start = end;
                at = end;
            }
            None => at += 1,
        }
    }
    push_trimmed(text, start, text.len(), &mut sentences);
    sentences
}

/// The end of the sentence if the mark at `at` ends it.
fn stop_at(text: &str, start: usize, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    // Inside a run of marks that was looked at as a whole.
    if at > start && matches!(bytes[at - 1], b'.' | b'!' | b'?') {
        return None;
    }
    // The whole run of marks, and closing quotes and brackets after it.
    let mut end = at;
    while end < bytes.len() && matches!(bytes[end], b'.' | b'!' | b'?') {
        end += 1;
    }
    let run = end - at;
    while let Some(c) = text[end..].chars().next() {
        if !matches!(c, '"' | '\'' | ')' | ']' | '*' | '\u{201d}' | '\u{2019}' | '_') {
            break;
        }
        end += c.len_utf8();
    }
    let next = text[end..].chars().next();
    let before = last_word(&text[start..at]);
    if run == 1 && bytes[at] == b'.' {
        let single_letter =
            before.len() == 1 && before.chars().all(char::is_alphabetic) && before != "i" && before != "I";
        if single_letter || ABBREVIATIONS.contains(&before.to_ascii_lowercase().as_str()) {
            return None;
        }
        // "3.5", and the bullet of a numbered list.
        if before.bytes().all(|byte| byte.is_ascii_digit())
            && text[start..at].trim_matches(['-', '*', ' ', '\n', '\t', '\r']) == before
        {
            return None;
        }
    }
    match next {
        None => Some(end),
        Some(c) if c.is_whitespace() => {
            // "What?? he said": a mark inside a sentence, where a small letter goes on after one mark or an ellipsis.
            let following = text[end..].trim_start().chars().next();
            let goes_on = following.is_some_and(char::is_lowercase) && !text[end..].starts_with('\n');
            (!(goes_on && run >= 2 && bytes[at] == b'.')).then_some(end)
        }
        // No space after the mark: "the film.He".
        Some(c) if c.is_alphabetic() && end == at + run => {
            let following: String = text[end..].chars().take_while(|c| c.is_alphanumeric()).collect();
            let lower = following.to_lowercase();
            let words = before.chars().count() >= 2 && before.chars().all(char::is_alphabetic);
            let plausible =
                c.is_uppercase() || (following.chars().count() >= 3 && before.chars().count() >= 3);
            (words && plausible && !DOMAINS.contains(&lower.as_str()) && before != "www").then_some(end)
        }
        _ => None,
    }
}

/// The end of the sentence if the line break at `at` ends it: an empty line, a list, a new thought.
fn newline_at(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at + 1..];
    let next = rest.trim_start_matches([' ', '\t', '\r']);
    let before = text[..at].trim_end().chars().next_back();
    let new_thought = match next.chars().next() {
        None | Some('\n') => true,
        Some(c) => !c.is_lowercase() || before.is_some_and(|c| matches!(c, ':' | '.' | '!' | '?')),
    };
    new_thought.then_some(at + 1)
}

fn last_word(text: &str) -> &str {
    let start = text
        .rfind(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | ',' | '/'))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    &text[start..]
}

fn push_trimmed(text: &str, start: usize, end: usize, sentences: &mut Vec<Span>) {
    let part = &text[start..end];
    let trimmed = part.trim();
    if !trimmed.chars().any(char::is_alphanumeric) {
        // Marks alone belong to the sentence before.
        if let Some(last) = sentences.last_mut()
            && !trimmed.is_empty()
        {
            last.end = start + (part.len() - part.trim_start().len()) + trimmed.len();
        }
        return;
    }
    let from = start + (part.len() - part.trim_start().len());
    cut_long(text, from, from + trimmed.len(), sentences);
}

/// Words that open a new thought in a text without marks.
const OPENERS: &[&str] = &[
    "i remember ",
    "i think ",
    "i saw ",
    "i watched ",
    "also ",
    "anyway ",
    "please ",
    "thanks ",
    "then ",
    "and then ",
    "any help ",
];

fn cut_long(text: &str, start: usize, end: usize, sentences: &mut Vec<Span>) {
    let mut from = start;
    let mut n_words = 0;
    let mut last_space = true;
    for (at, c) in text[start..end].char_indices() {
        let at = start + at;
        if last_space && !c.is_whitespace() {
            n_words += 1;
            let rest = &text.as_bytes()[at..end];
            let opens = n_words > LONG_SENTENCE
                && OPENERS.iter().any(|opener| {
                    rest.len() > opener.len() && rest[..opener.len()].eq_ignore_ascii_case(opener.as_bytes())
                });
            if opens {
                sentences.push(Span::new(from, text[from..at].trim_end().len() + from));
                from = at;
                n_words = 0;
            }
        }
        last_space = c.is_whitespace();
    }
    sentences.push(Span::new(from, end));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        split(text).into_iter().map(|span| span.of(text)).collect()
    }

    #[test]
    fn marks_end_sentences_and_abbreviations_do_not() {
        assert_eq!(parts("Dr. Jones runs. He falls!"), ["Dr. Jones runs.", "He falls!"]);
        assert_eq!(
            parts("A robot (ca. 3.5 m tall) sings?. It is old."),
            ["A robot (ca. 3.5 m tall) sings?.", "It is old."]
        );
        assert_eq!(parts("Set in the U.S. in winter."), ["Set in the U.S. in winter."]);
        assert_eq!(
            parts("She waits... and waits. \"Go!\" Then dark."),
            ["She waits... and waits.", "\"Go!\"", "Then dark."]
        );
    }

    #[test]
    fn missing_spaces_and_lists() {
        assert_eq!(parts("A boat sinks.Nobody swims"), ["A boat sinks.", "Nobody swims"]);
        assert_eq!(parts("see example.com for more"), ["see example.com for more"]);
        assert_eq!(
            parts("What I know:\n- a red door\n- 1. a cat\nmore of it\n\nBye"),
            ["What I know:", "- a red door", "- 1. a cat\nmore of it", "Bye"]
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(parts(""), [""; 0]);
        assert_eq!(parts(" .. \n !"), [""; 0]);
    }

    #[test]
    fn long_text_without_marks_is_cut() {
        let text = format!("{} i remember a tower", "a man walks on and on ".repeat(9));
        assert_eq!(split(&text).len(), 2);
    }
}
