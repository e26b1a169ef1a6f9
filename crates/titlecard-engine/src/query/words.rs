//! The text as words with their places, and what the phrase lists say of them.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::graph::Kind;
use crate::text::{Tokenizer, TokenizerConfig};

use super::Span;

/// One token of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// Where it stands in the text.
    pub span: Span,
    /// Its folded form in [`Words::folded`].
    from: u32,
    to: u32,
    /// Number of its sentence.
    pub sentence: u32,
    /// Whether it begins with an upper-case letter.
    pub capital: bool,
    /// Whether a comma, bracket, colon, dash or quotation mark stands between it and the word before.
    pub after_break: bool,
}

/// The words of a text.
#[derive(Debug, Default)]
pub(super) struct Words {
    folded: String,
    pub items: Vec<Word>,
}

impl Words {
    /// Cuts `text`; words inside `skip` (sorted spans, such as filters) are left out.
    pub(super) fn cut(text: &str, skip: &[Span]) -> Self {
        let mut words = Self { folded: String::with_capacity(text.len()), items: Vec::new() };
        let mut last_end = 0;
        Tokenizer::new(TokenizerConfig::default()).for_each_with_span(text, |token, range| {
            let span = Span::new(range.start, range.end);
            if skip.iter().any(|skip| skip.overlaps(span)) {
                return;
            }
            let from = words.folded.len() as u32;
            words.folded.push_str(token);
            let between = text.get(last_end..span.start).unwrap_or_default();
            words.items.push(Word {
                span,
                from,
                to: words.folded.len() as u32,
                sentence: 0,
                capital: text[span.start..].chars().next().is_some_and(char::is_uppercase),
                after_break: between.contains(BREAKS),
            });
            last_end = span.end.max(last_end);
        });
        words
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The folded form of word `at`; empty past the ends.
    pub(super) fn get(&self, at: usize) -> &str {
        self.items.get(at).map_or("", |word| &self.folded[word.from as usize..word.to as usize])
    }

    /// The folded form of the word `back` places before `at`, if it is in the same sentence.
    pub(super) fn before(&self, at: usize, back: usize) -> &str {
        match at.checked_sub(back) {
            Some(place) if self.same_sentence(place, at) => self.get(place),
            _ => "",
        }
    }

    /// The folded form of word `at` if it is in the sentence of word `of`.
    pub(super) fn within(&self, at: usize, of: usize) -> &str {
        if self.same_sentence(at, of) { self.get(at) } else { "" }
    }

    pub(super) fn same_sentence(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) => a.sentence == b.sentence,
            _ => false,
        }
    }

    /// The bytes from word `first` to the word before `end`.
    pub(super) fn span(&self, first: usize, end: usize) -> Span {
        match (self.items.get(first), end.checked_sub(1).and_then(|last| self.items.get(last))) {
            (Some(first), Some(last)) => Span::new(first.span.start, last.span.end.max(first.span.start)),
            _ => Span::default(),
        }
    }

    /// Whether word `at` is the first of its sentence.
    pub(super) fn opens_sentence(&self, at: usize) -> bool {
        at == 0 || !self.same_sentence(at - 1, at)
    }
}

/// Marks that end a clause.
pub(super) const BREAKS: &[char] = &[
    ',', ';', ':', '(', ')', '[', ']', '"', '\u{201c}', '\u{201d}', '.', '!', '?', '\n', '\u{2013}',
    '\u{2014}', '*', '/', '|',
];

/// What a phrase of the lists is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// Seeing the film.
    Seen,
    /// Seeing it as a child.
    Childhood,
    /// Seeing it on tape.
    Tape,
    /// Seeing it when it was new.
    Theatre,
    /// Making or releasing it.
    Release,
    /// When or where the story takes place.
    Setting,
    /// Talk round the question.
    Talk,
    /// Words that frame what is said.
    Frame,
    /// A word of no use as a search term.
    Generic,
    /// A word for a film.
    FilmNoun,
    /// What is negated is said of the film.
    NegationOfFilm,
    /// What is negated may be anything.
    NegationWord,
    /// Looks like a negation and is none.
    NotNegation,
    /// Comparison with another film.
    Compare,
    /// A title or name follows.
    Called,
    /// Speech follows.
    Speech,
    /// A genre.
    Genre,
    /// A genre, beside a word for a film only.
    GenreNearFilm,
    /// A trait of the film.
    Trait,
    /// A period, as the time of the story.
    Era,
    /// A country.
    Country,
    /// Its adjective.
    Demonym,
    /// A language.
    Language,
    /// Names of the entity in catalogues.
    Alias,
}

impl Class {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "seen" => Self::Seen,
            "childhood" => Self::Childhood,
            "tape" => Self::Tape,
            "theatre" => Self::Theatre,
            "release" => Self::Release,
            "setting" => Self::Setting,
            "talk" => Self::Talk,
            "frame" => Self::Frame,
            "generic" => Self::Generic,
            "film_noun" => Self::FilmNoun,
            "negation film" => Self::NegationOfFilm,
            "negation word" => Self::NegationWord,
            "not_negation" => Self::NotNegation,
            "compare" => Self::Compare,
            "called" => Self::Called,
            "speech" => Self::Speech,
            "genre" => Self::Genre,
            "genre?" => Self::GenreNearFilm,
            "trait" => Self::Trait,
            "era" => Self::Era,
            "country" => Self::Country,
            "demonym" => Self::Demonym,
            "language" => Self::Language,
            "alias" => Self::Alias,
            _ => return None,
        })
    }
}

/// A phrase of the lists found in the text: words `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cue {
    pub first: usize,
    pub end: usize,
    pub class: Class,
    /// The value of its list ("Horror" of `[genre Horror]`).
    pub value: &'static str,
}

struct Phrase {
    /// Words after the second.
    rest: Vec<String>,
    class: Class,
    value: &'static str,
}

/// The phrases that begin with one word.
#[derive(Default)]
struct Phrases1 {
    alone: Vec<Phrase>,
    by_second: HashMap<String, Vec<Phrase>>,
}

/// All phrase lists, by their first two words.
pub(super) struct Phrases {
    by_first: HashMap<String, Phrases1>,
    /// Names of entities in catalogues by our name.
    pub aliases: HashMap<&'static str, Vec<String>>,
}

impl Phrases {
    /// The lists inside the program.
    pub(super) fn shared() -> &'static Self {
        static PHRASES: OnceLock<Phrases> = OnceLock::new();
        PHRASES.get_or_init(|| {
            let mut phrases = Self { by_first: HashMap::new(), aliases: HashMap::new() };
            for list in [
                include_str!("words/cues.txt"),
                include_str!("words/attributes.txt"),
                include_str!("words/places.txt"),
            ] {
                phrases.add(list);
            }
            phrases
        })
    }

    fn add(&mut self, list: &'static str) {
        let tokenizer = Tokenizer::new(TokenizerConfig::default());
        let mut class = Class::Generic;
        let mut value = "";
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                (class, value) = match Class::parse(head) {
                    Some(class) => (class, ""),
                    None => {
                        let (name, value) = head.split_once(' ').unwrap_or((head, ""));
                        (Class::parse(name).expect("the lists are ours, and a test reads them"), value)
                    }
                };
                continue;
            }
            for phrase in line.split(',').map(str::trim).filter(|phrase| !phrase.is_empty()) {
                let mut tokens = tokenizer.tokens(phrase).into_iter();
                let Some(first) = tokens.next() else { continue };
                if class == Class::Alias {
                    let name = std::iter::once(first).chain(tokens).collect::<Vec<_>>().join(" ");
                    self.aliases.entry(value).or_default().push(name);
                    continue;
                }
                let begun = self.by_first.entry(first).or_default();
                let phrases = match tokens.next() {
                    None => &mut begun.alone,
                    Some(second) => begun.by_second.entry(second).or_default(),
                };
                let rest: Vec<String> = tokens.collect();
                if !phrases
                    .iter()
                    .any(|other| (&other.rest, other.class, other.value) == (&rest, class, value))
                {
                    phrases.push(Phrase { rest, class, value });
                }
            }
        }
    }

    /// All phrases in `words`, by place, none across a sentence's end.
    pub(super) fn find(&self, words: &Words) -> Vec<Cue> {
        let mut cues = Vec::with_capacity(words.len());
        for first in 0..words.len() {
            let Some(begun) = self.by_first.get(words.get(first)) else { continue };
            for phrase in &begun.alone {
                cues.push(Cue { first, end: first + 1, class: phrase.class, value: phrase.value });
            }
            for phrase in begun.by_second.get(words.within(first + 1, first)).into_iter().flatten() {
                let fits = phrase
                    .rest
                    .iter()
                    .enumerate()
                    .all(|(offset, word)| words.within(first + offset + 2, first) == word);
                if fits {
                    let end = first + 2 + phrase.rest.len();
                    cues.push(Cue { first, end, class: phrase.class, value: phrase.value });
                }
            }
        }
        cues
    }
}

/// The cues of one class.
pub(super) fn of_class(cues: &[Cue], class: Class) -> impl Iterator<Item = &Cue> + Clone {
    cues.iter().filter(move |cue| cue.class == class)
}

/// What `value` means by our lists of genres, countries and languages: for each meaning, the names under which a
/// catalogue may have it, the likeliest first. "USA" is `[["United States", "united states of america", …]]`, a
/// "rom com" both a comedy and a romance.
pub fn listed_names(kind: Kind, value: &str) -> Vec<Vec<String>> {
    let classes: &[Class] = match kind {
        Kind::Genre => &[Class::Genre, Class::GenreNearFilm],
        Kind::Country => &[Class::Country, Class::Demonym],
        Kind::Language => &[Class::Language],
        _ => &[],
    };
    let phrases = Phrases::shared();
    let words = Words::cut(value, &[]);
    let mut names: Vec<Vec<String>> = Vec::new();
    for cue in phrases.find(&words) {
        let is_all = cue.first == 0 && cue.end == words.len() && classes.contains(&cue.class);
        if is_all && !names.iter().any(|known| known[0] == cue.value) {
            let aliases = phrases.aliases.get(cue.value).into_iter().flatten().cloned();
            names.push(std::iter::once(cue.value.to_owned()).chain(aliases).collect());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_read_whole() {
        let phrases = Phrases::shared();
        assert!(phrases.by_first.len() > 500);
        let words = Words::cut("It's not a sci-fi movie, it wasn't in French.", &[]);
        let cues = phrases.find(&words);
        let has = |class, value| cues.iter().any(|cue| cue.class == class && cue.value == value);
        assert!(has(Class::NegationOfFilm, ""));
        assert!(has(Class::Genre, "Science Fiction"));
        assert!(has(Class::Demonym, "France") && has(Class::Language, "French"));
    }
}
