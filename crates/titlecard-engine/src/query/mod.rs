//! Understanding a question: what is said of the film, what is only talk, and what it names.
//!
//! People describe a half-remembered film in long, noisy texts. [`Understander::understand`] finds in one
//! its sentences and how much each says of the film, hedges and frames, negations, comparisons, dates,
//! genres, countries, languages, traits ("black and white"), quotations, the entities of a [`Lexicon`], and
//! filters written into the query (`year:1980..1989 -genre:comedy`). Everything carries its place in the
//! text, and [`Understanding::weight_at`] says how much each word is worth as a search term.
//!
//! The word lists are English, and so is what is understood; other languages pass through with all words at
//! full weight. Nothing is learned: the lists (`words/*.txt`) and the few numbers were set on training questions.
//!
//! ```
//! use titlecard_engine::graph::Kind;
//! use titlecard_engine::query::{DateKind, Lexicon, Understander};
//!
//! let lexicon = Lexicon::from_entities([(Kind::Film, 7, "Alien"), (Kind::Genre, 1, "Comedy")]);
//! let understander = Understander::new(lexicon);
//! let text = "A late 80s horror movie, not a comedy. It's not Alien. Please help!";
//! let understood = understander.understand(text, 2020);
//! assert_eq!(understood.dates[0].kind, DateKind::Release);
//! assert_eq!(understood.dates[0].years(), "1986-1989");
//! assert!(understood.entities.iter().any(|entity| entity.kind == Kind::Film && entity.negated));
//! assert!(understood.weight_at(text.find("horror").unwrap()) > understood.weight_at(text.find("help").unwrap()));
//! ```

mod context;
mod dates;
mod entities;
mod explain;
mod filters;
mod lexicon;
mod sentences;
mod words;

use serde::Serialize;

use crate::graph::Kind;
use crate::text::is_stop_word;

use words::{Class, Cue, Phrases, Words};

pub use dates::{DateKind, DateRange};
pub use filters::{Condition, Field, FilterError, Filters, YearRange, parse_filters};
pub use lexicon::Lexicon;

/// Bytes `start..end` of the text; both lie on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// Bytes `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The part of `text` it stands for; empty if it is not of this text.
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether they share a byte.
    pub fn overlaps(&self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether `other` lies inside.
    pub fn holds(&self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// What a sentence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It tells of the film.
    Film,
    /// It tells of the film and of something else.
    Mixed,
    /// Where and when it was seen, thanks, greetings, edits.
    Talk,
}

/// A sentence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sentence {
    /// Where it stands.
    pub span: Span,
    /// What it is for.
    pub role: Role,
    /// What its words are worth as search terms, in `[0, 1]`.
    pub weight: f32,
}

/// Something denied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Negation {
    /// The words that deny ("it's not").
    pub cue: Span,
    /// What is denied.
    pub scope: Span,
    /// Whether it is denied of the film ("not a comedy") rather than told of the story ("he doesn't speak").
    pub of_film: bool,
}

/// Another film the one sought is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The words that compare ("similar to").
    pub cue: Span,
    /// The film named.
    pub span: Span,
    /// Ids of the films of that name in the lexicon; empty if it has none.
    pub films: Vec<u32>,
}

/// An entity named in the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Its name: folded as in the lexicon, or as our own lists write it ("Science Fiction").
    pub name: String,
    /// All entities of the lexicon with this kind and name; empty if it has none.
    pub ids: Vec<u32>,
    /// Where it is named.
    pub span: Span,
    /// Whether it is denied of the film.
    pub negated: bool,
    /// Whether it is another film, named to compare.
    pub compared: bool,
    /// How likely it is meant, in `[0, 1]`.
    pub confidence: f32,
}

/// What a film is like, apart from its genre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trait {
    /// Black and white.
    BlackAndWhite,
    /// In colour.
    Colour,
    /// Without speech.
    Silent,
    /// Drawn or otherwise animated.
    Animation,
    /// Animated figures.
    StopMotion,
    /// Japanese animation.
    Anime,
    /// Computer graphics.
    Cgi,
    /// With actors.
    LiveAction,
    /// Made for television.
    TvFilm,
    /// A series.
    Series,
    /// A short film.
    Short,
    /// A long film.
    Long,
    /// Not in English.
    Foreign,
    /// With subtitles.
    Subtitled,
    /// With other voices.
    Dubbed,
    /// An old film.
    Old,
    /// A recent film.
    Recent,
    /// From a book, play or comic.
    BasedOnBook,
    /// From real events.
    TrueStory,
    /// Made with little money.
    LowBudget,
    /// For adults.
    Adult,
    /// For children.
    Children,
    /// For young people.
    Teen,
    /// Several stories.
    Anthology,
    /// With songs.
    Musical,
    /// Directed by a woman.
    FemaleDirector,
}

impl Trait {
    /// All traits.
    pub const ALL: [Self; 26] = [
        Self::BlackAndWhite,
        Self::Colour,
        Self::Silent,
        Self::Animation,
        Self::StopMotion,
        Self::Anime,
        Self::Cgi,
        Self::LiveAction,
        Self::TvFilm,
        Self::Series,
        Self::Short,
        Self::Long,
        Self::Foreign,
        Self::Subtitled,
        Self::Dubbed,
        Self::Old,
        Self::Recent,
        Self::BasedOnBook,
        Self::TrueStory,
        Self::LowBudget,
        Self::Adult,
        Self::Children,
        Self::Teen,
        Self::Anthology,
        Self::Musical,
        Self::FemaleDirector,
    ];

    /// Its name in files (`black_and_white`).
    pub fn name(self) -> &'static str {
        match self {
            Self::BlackAndWhite => "black_and_white",
            Self::Colour => "colour",
            Self::Silent => "silent",
            Self::Animation => "animation",
            Self::StopMotion => "stop_motion",
            Self::Anime => "anime",
            Self::Cgi => "cgi",
            Self::LiveAction => "live_action",
            Self::TvFilm => "tv_film",
            Self::Series => "series",
            Self::Short => "short",
            Self::Long => "long",
            Self::Foreign => "foreign",
            Self::Subtitled => "subtitled",
            Self::Dubbed => "dubbed",
            Self::Old => "old",
            Self::Recent => "recent",
            Self::BasedOnBook => "based_on_book",
            Self::TrueStory => "true_story",
            Self::LowBudget => "low_budget",
            Self::Adult => "adult",
            Self::Children => "children",
            Self::Teen => "teen",
            Self::Anthology => "anthology",
            Self::Musical => "musical",
            Self::FemaleDirector => "female_director",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// A trait named in the text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TraitFound {
    /// Which.
    pub what: Trait,
    /// Where.
    pub span: Span,
    /// Whether it is denied.
    pub negated: bool,
}

/// What is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteKind {
    /// Something said or sung in the film.
    Speech,
    /// A title, or a name in it.
    Title,
    /// Not known.
    Other,
}

/// A quoted phrase; its span is what stands inside the quotation marks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quote {
    /// What it is.
    pub kind: QuoteKind,
    /// Where.
    pub span: Span,
}

/// What a question says. Spans are bytes of the text it was made from.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Understanding {
    /// Filters written into it.
    pub filters: Filters,
    /// Filters that cannot be read.
    pub filter_errors: Vec<FilterError>,
    /// Its sentences, in order.
    pub sentences: Vec<Sentence>,
    /// Hedges and frames ("I think", "there is a scene where"), in order.
    pub frames: Vec<Span>,
    /// What is denied.
    pub negations: Vec<Negation>,
    /// Films it is compared with.
    pub comparisons: Vec<Comparison>,
    /// Genres, countries, languages and what the lexicon knows, by place.
    pub entities: Vec<Entity>,
    /// Years, by place.
    pub dates: Vec<DateRange>,
    /// Traits, by place.
    pub traits: Vec<TraitFound>,
    /// Quoted phrases.
    pub quotes: Vec<Quote>,
    /// Words with what they are worth, by place.
    #[serde(skip)]
    weights: Vec<(Span, f32)>,
}

impl Understanding {
    /// What the word at this byte of the text is worth as a search term, in `[0, 1]`; 0 between words and in filters.
    pub fn weight_at(&self, byte_offset: usize) -> f32 {
        let after = self.weights.partition_point(|(span, _)| span.start <= byte_offset);
        match after.checked_sub(1).and_then(|at| self.weights.get(at)) {
            Some((span, weight)) if byte_offset < span.end => *weight,
            _ => 0.0,
        }
    }

    /// All words with their weights, in order.
    pub fn word_weights(&self) -> &[(Span, f32)] {
        &self.weights
    }

    /// Entities of one kind that are meant of the film: neither denied nor compared.
    pub fn entities_of(&self, kind: Kind) -> impl Iterator<Item = &Entity> {
        self.entities.iter().filter(move |entity| entity.kind == kind && !entity.negated && !entity.compared)
    }

    /// Whether the film is said to have this trait, or (`Some(false)`) not to have it.
    pub fn has_trait(&self, what: Trait) -> Option<bool> {
        let mut found = self.traits.iter().filter(|found| found.what == what).peekable();
        found.peek()?;
        Some(found.any(|found| !found.negated))
    }

    /// The best guess at the years of release: what is said of it, or that it is no later than it was seen.
    pub fn release(&self) -> Option<DateRange> {
        let said = |kind| self.dates.iter().filter(move |date| date.kind == kind && !date.negated);
        let best = |a: &DateRange, b: &DateRange| b.confidence > a.confidence;
        let mut release: Option<DateRange> = None;
        for date in said(DateKind::Release) {
            match &mut release {
                None => release = Some(*date),
                // Two guesses of the same kind: what holds both; otherwise the surer one.
                Some(known) => match (known.from, known.to, date.from, date.to) {
                    (Some(from), Some(to), Some(other_from), Some(other_to))
                        if (from - other_to).max(other_from - to) <= 10 =>
                    {
                        known.from = Some(from.min(other_from));
                        known.to = Some(to.max(other_to));
                    }
                    (Some(_), None, None, Some(to)) => known.to = Some(to),
                    (None, Some(_), Some(from), None) => known.from = Some(from),
                    _ if best(known, date) => *known = *date,
                    _ => {}
                },
            }
        }
        let seen = said(DateKind::Seen).filter(|date| date.to.is_some()).min_by_key(|date| date.to);
        match (release, seen) {
            (Some(release), _) => Some(release),
            (None, Some(seen)) => Some(DateRange { from: None, ..*seen }),
            (None, None) => None,
        }
    }
}

/// Understands questions. Made once, used from any thread.
#[derive(Debug, Clone, Default)]
pub struct Understander {
    lexicon: Lexicon,
}

impl Understander {
    /// With the names of a catalogue.
    pub fn new(lexicon: Lexicon) -> Self {
        // The word lists are read here and not in the first question.
        Phrases::shared();
        Self { lexicon }
    }

    /// The names it knows.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// What `text` says; `today_year` is the year in which it was written, which "20 years ago" counts from.
    pub fn understand(&self, text: &str, today_year: i32) -> Understanding {
        let (filters, filter_errors) = parse_filters(text);
        let mut words = Words::cut(text, &filters.spans);
        let spans = sentences::split(text);
        number_sentences(&mut words, &spans);
        let cues = Phrases::shared().find(&words);
        let mut marks = Marks::new(&words, &cues);
        let sentences = context::weigh_sentences(&words, &marks, &spans);
        let quotes = context::quotes(text, &words, &cues);
        let negations = context::negations(&words, &cues, &mut marks);
        let reader = entities::Reader {
            text,
            words: &words,
            cues: &cues,
            lexicon: &self.lexicon,
            sentences: &sentences,
            quotes: &quotes,
        };
        let (entities, comparisons) = reader.read(&mut marks);
        let mut dates = dates::find(text, &words, &cues, today_year);
        for date in &mut dates {
            date.negated |= reader.is_negated(&marks, date.span);
        }
        let traits = reader.traits(&marks);
        let weights = context::word_weights(&words, &marks, &sentences, &dates);
        Understanding {
            filters,
            filter_errors,
            frames: context::frames(&words, &cues),
            sentences,
            negations,
            comparisons,
            entities,
            dates,
            traits,
            quotes,
            weights,
        }
    }
}

/// Gives every word the number of its sentence.
fn number_sentences(words: &mut Words, sentences: &[Span]) {
    let mut sentence = 0;
    for word in &mut words.items {
        while sentence + 1 < sentences.len() && word.span.start >= sentences[sentence + 1].start {
            sentence += 1;
        }
        word.sentence = sentence as u32;
    }
}

/// What is known of each word.
struct Marks {
    of: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    stop: bool,
    generic: bool,
    frame: bool,
    /// How much talk it is: 0 to 3.
    talk: u8,
    seen: bool,
    /// A genre, a trait, a country or a language.
    named: bool,
    negated: bool,
    compared: bool,
}

impl Marks {
    fn new(words: &Words, cues: &[Cue]) -> Self {
        let mut of: Vec<Mark> = (0..words.len())
            .map(|at| Mark { stop: is_stop_word(words.get(at)), generic: is_year_like(words.get(at)), ..Mark::default() })
            .collect();
        for cue in cues {
            for mark in &mut of[cue.first..cue.end] {
                match cue.class {
                    Class::Talk => mark.talk = mark.talk.max(cue.value.parse().unwrap_or(3)),
                    Class::Frame => mark.frame = true,
                    Class::Generic => mark.generic = true,
                    Class::Genre | Class::Trait | Class::Demonym | Class::Language => mark.named = true,
                    Class::Seen | Class::Theatre => mark.seen = true,
                    _ => {}
                }
            }
        }
        Self { of }
    }
}

/// Digits, or digits and an "s": no content of a story.
fn is_year_like(word: &str) -> bool {
    let digits = word.trim_end_matches('s');
    matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit())
}
