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
pub use words::listed_names;

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

/// The year of the first film.
const FIRST_FILM: i32 = 1888;

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
        let today_year = today_year.clamp(FIRST_FILM, 9999);
        let (filters, filter_errors) = parse_filters(text);
        let mut words = Words::cut(text, &filters.spans);
        let spans = sentences::split(text);
        number_sentences(&mut words, &spans);
        let cues = Phrases::shared().find(&words);
        let mut marks = Marks::new(&words, &cues);
        let mut sentences = context::weigh_sentences(&words, &marks, &spans);
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
        // A sentence that is all filters says nothing more.
        sentences.retain(|sentence| !filters.spans.iter().any(|filter| filter.holds(sentence.span)));
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

// Independent facts of a word, not states.
#[allow(clippy::struct_excessive_bools)]
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
            .map(|at| Mark {
                stop: is_stop_word(words.get(at)),
                generic: is_year_like(words.get(at)),
                ..Mark::default()
            })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn understander() -> Understander {
        Understander::new(Lexicon::from_entities([
            (Kind::Film, 1, "Alien"),
            (Kind::Film, 2, "Jaws"),
            (Kind::Film, 3, "The Lost World"),
            (Kind::Film, 4, "It"),
            (Kind::Film, 5, "Love"),
            (Kind::Film, 6, "Lighthouse of Sorrow"),
            (Kind::Film, 7, "1984"),
            (Kind::Genre, 1, "Comedy"),
            (Kind::Genre, 2, "Science Fiction"),
            (Kind::Keyword, 1, "time travel"),
            (Kind::Keyword, 2, "lighthouse"),
            (Kind::Person, 1, "Sigourney Weaver"),
            (Kind::Person, 2, "Love"),
            (Kind::Country, 1, "France"),
            (Kind::Country, 2, "United States of America"),
            (Kind::Language, 1, "French"),
        ]))
    }

    fn entities(text: &str) -> Vec<(Kind, String, Vec<u32>, bool, bool)> {
        let understood = understander().understand(text, 2020);
        understood.entities.into_iter().map(|e| (e.kind, e.name, e.ids, e.negated, e.compared)).collect()
    }

    fn has(text: &str, kind: Kind, name: &str) -> Option<(bool, bool)> {
        entities(text).into_iter().find(|e| e.0 == kind && e.1 == name).map(|e| (e.3, e.4))
    }

    #[test]
    fn genres_by_their_many_names() {
        for (text, genre) in [
            ("A sci-fi thing in a tunnel", "Science Fiction"),
            ("some scary movie with dolls", "Horror"),
            ("It was a rom com on a farm", "Romance"),
            ("a black comedy with a priest", "Comedy"),
            ("a cartoon with mice", "Animation"),
            ("an action/adventure movie", "Action"),
            ("an old western movie", "Western"),
        ] {
            assert_eq!(has(text, Kind::Genre, genre), Some((false, false)), "{text}");
        }
        assert_eq!(has("A family moves to the city for action against crime", Kind::Genre, "Family"), None);
        assert_eq!(entities("It is sci-fi.")[0].2, [2], "linked to the lexicon");
    }

    #[test]
    fn denied_things_are_marked() {
        assert_eq!(has("It's not a comedy.", Kind::Genre, "Comedy"), Some((true, false)));
        assert_eq!(
            has("Definitely not a comedy, more of a drama.", Kind::Genre, "Comedy"),
            Some((true, false))
        );
        assert_eq!(
            has("Definitely not a comedy, more of a drama.", Kind::Genre, "Drama"),
            Some((false, false))
        );
        assert_eq!(has("It's not Alien or Jaws.", Kind::Film, "alien"), Some((true, false)));
        assert_eq!(has("It's not Alien or Jaws.", Kind::Film, "jaws"), Some((true, false)));
        assert_eq!(has("I'm not sure if it was a comedy", Kind::Genre, "Comedy"), Some((false, false)));
        assert_eq!(
            has("A man who does not laugh at a comedy show", Kind::Genre, "Comedy"),
            Some((false, false))
        );
        let understood = understander().understand("It wasn't animated. It wasn't in English.", 2020);
        assert_eq!(understood.has_trait(Trait::Animation), Some(false));
        assert_eq!(understood.has_trait(Trait::Foreign), Some(true));
        assert_eq!(understood.has_trait(Trait::Silent), None);
    }

    #[test]
    fn compared_films_are_linked_and_not_searched_for() {
        let text = "A film similar to The Lost World, but under water, kind of like Alien meets Jaws.";
        let understood = understander().understand(text, 2020);
        let films: Vec<u32> =
            understood.comparisons.iter().flat_map(|comparison| comparison.films.clone()).collect();
        assert_eq!(films, [3, 1, 2]);
        assert_eq!(understood.weight_at(text.find("Lost").unwrap()), 0.0);
        assert!(understood.weight_at(text.find("water").unwrap()) > 0.9);
    }

    #[test]
    fn common_words_are_no_titles_and_no_names() {
        for text in
            ["It is about love.", "Love is all they need", "a man falls in love with it", "like it was love"]
        {
            assert!(entities(text).iter().all(|e| !matches!(e.0, Kind::Film | Kind::Person)), "{text}");
        }
        assert_eq!(
            has("There was sigourney weaver in it", Kind::Person, "sigourney weaver"),
            Some((false, false))
        );
        assert_eq!(has("A keeper of two lighthouses", Kind::Keyword, "lighthouses"), Some((false, false)));
        assert_eq!(
            has("The title was \"Lighthouse of Sorrow\" maybe", Kind::Film, "lighthouse of sorrow"),
            Some((false, false))
        );
    }

    #[test]
    fn countries_and_languages() {
        let found = understander()
            .understand("A French film from the 60s about a German spy, with English subtitles.", 2020);
        let france = found.entities_of(Kind::Country).find(|entity| entity.name == "France").unwrap();
        let germany = found.entities_of(Kind::Country).find(|entity| entity.name == "Germany").unwrap();
        assert_eq!((france.ids.as_slice(), germany.ids.as_slice()), ([1].as_slice(), [].as_slice()));
        assert!(france.confidence > 0.7 && germany.confidence < 0.5);
        let languages: Vec<&str> =
            found.entities_of(Kind::Language).map(|entity| entity.name.as_str()).collect();
        assert_eq!(languages, ["French"]);
        assert_eq!(entities("It was an American movie.")[0].2, [2], "by another of its names");
        assert_eq!(has("he tells us a story", Kind::Country, "United States"), None);
    }

    #[test]
    fn talk_weighs_less_than_story() {
        let text = "Hi everyone, please help me! I saw this on TV years ago at my aunt's house. \
                    A lighthouse keeper hides a robot in the cellar. It was a black and white film. Thanks in advance!";
        let understood = understander().understand(text, 2020);
        let roles: Vec<Role> = understood.sentences.iter().map(|sentence| sentence.role).collect();
        assert_eq!(roles, [Role::Talk, Role::Talk, Role::Film, Role::Film, Role::Talk]);
        let weight = |word: &str| understood.weight_at(text.find(word).unwrap());
        assert_eq!(weight("robot"), 1.0);
        assert!(weight("house") < 0.4 && weight("Thanks") < 0.1 && weight("everyone") < 0.1);
        assert_eq!(understood.has_trait(Trait::BlackAndWhite), Some(true));
        assert_eq!(understood.weight_at(text.len()), 0.0);
        assert_eq!(understood.weight_at(usize::MAX), 0.0);
    }

    #[test]
    fn frames_have_no_content() {
        let text = "I remember a scene where a diver finds a piano";
        let understood = understander().understand(text, 2020);
        assert_eq!(understood.frames[0].of(text), "I remember a scene where");
        assert!(understood.weight_at(text.find("scene").unwrap()) < 0.2);
        assert!(understood.weight_at(text.find("piano").unwrap()) > 0.6);
    }

    #[test]
    fn quotations() {
        let text = "She says \"never open the blue door\". It is called \"Blue Door\".";
        let understood = understander().understand(text, 2020);
        let quotes: Vec<(QuoteKind, &str)> =
            understood.quotes.iter().map(|q| (q.kind, q.span.of(text))).collect();
        assert_eq!(
            quotes,
            [(QuoteKind::Speech, "never open the blue door"), (QuoteKind::Title, "Blue Door")]
        );
    }

    #[test]
    fn filters_are_not_searched_for() {
        let text = "year:1980..1989 robots -genre:comedy in 1995";
        let understood = understander().understand(text, 2020);
        assert_eq!(understood.filters.years, [YearRange { from: Some(1980), to: Some(1989) }]);
        assert_eq!(understood.weight_at(text.find("comedy").unwrap()), 0.0);
        assert!(understood.entities.iter().all(|entity| entity.kind != Kind::Genre));
        assert_eq!(understood.dates.len(), 1);
        assert!(understood.weight_at(text.find("robots").unwrap()) > 0.9);
    }

    #[test]
    fn release_joins_what_is_said() {
        let release =
            |text: &str| understander().understand(text, 2020).release().map(|date| (date.from, date.to));
        assert_eq!(
            release("Made in the late 80s. It might be from the early 90s."),
            Some((Some(1986), Some(1994)))
        );
        assert_eq!(release("I saw it on TV in 2003."), Some((None, Some(2003))));
        assert_eq!(release("I watched it as a kid."), Some((None, Some(2013))));
        assert_eq!(release("Set in the 1920s."), None);
        assert_eq!(release("The boy was lost as a kid."), None);
        assert_eq!(
            release("Watched it in the 90s but it was made in the 70s."),
            Some((Some(1970), Some(1979)))
        );
    }

    #[test]
    fn plain_words_say_what_was_understood() {
        let text = "A late 80s French film, black and white, not a comedy. I saw it on TV in 1995. \
                    It's like The Lost World. year:1980.. Please help!";
        insta::assert_snapshot!(understander().understand(text, 2020).in_words(text).join("\n"), @r#"
        filter: year 1980..
        released: 1986-1989 ("late 80s")
        seen: 1995, so released by 1995 ("1995")
        country: france ("French")
        language: french ("French")
        not: comedy ("not a comedy")
        compared with: "The Lost World" ("The Lost World")
        said to be: black and white ("black and white")
        talk, left out: "I saw it on TV in 1995.", "Please help!"
        "#);
    }

    #[test]
    fn all_of_it_serializes() {
        let understood = understander().understand("Not Alien. \"Run!\" from 1984, year:1980 year:x", 2020);
        let json = serde_json::to_value(&understood).unwrap();
        for key in
            ["filters", "filter_errors", "sentences", "negations", "entities", "dates", "quotes", "traits"]
        {
            assert!(json.get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn odd_texts_are_understood_as_nothing() {
        for text in [
            "",
            " ",
            "\n\n",
            "\"",
            "*",
            "''",
            "?!",
            ":",
            "-",
            "year:",
            "七人の侍を探しています",
            "фильм о войне",
            "كتاب",
            "½ 9½",
            "a\u{300}",
        ] {
            let understood = understander().understand(text, 2020);
            assert!(understood.dates.is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_understood(text in "(\\PC|\n){0,120}", today in any::<i32>()) {
            check(&text, today);
        }

        #[test]
        fn any_words_are_understood(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "not", "it's", "Alien", "like", "similar to", "the", "80s", "late", "or", "1984", "-", "(", ")", "\"", "“", "”", "'", "*", ".", "\n",
                    "before", "years ago", "5", "20", "a few", "saw", "in", "French", "genre:", "year:198", "-genre:x", "é", "七人", "½", "I think", "movie",
                    "born", "century", "18th", "turn of the", "century", "99999999999", "2000s", "20s", "his", "U.S.", "...", ",", "and", "years old",
                ]),
                0..40,
            ),
            join in prop::sample::select(vec![" ", ""]),
        ) {
            check(&words.join(join), 2020);
        }
    }

    /// Every span lies in the text on character boundaries, every weight in `[0, 1]`.
    fn check(text: &str, today: i32) {
        let understood = understander().understand(text, today);
        let mut spans: Vec<Span> = understood.filters.spans.clone();
        spans.extend(understood.filter_errors.iter().map(FilterError::span));
        spans.extend(understood.sentences.iter().map(|sentence| sentence.span));
        spans.extend(&understood.frames);
        spans.extend(understood.negations.iter().flat_map(|negation| [negation.cue, negation.scope]));
        spans.extend(understood.comparisons.iter().flat_map(|comparison| [comparison.cue, comparison.span]));
        spans.extend(understood.entities.iter().map(|entity| entity.span));
        spans.extend(understood.dates.iter().map(|date| date.span));
        spans.extend(understood.traits.iter().map(|found| found.span));
        spans.extend(understood.quotes.iter().map(|quote| quote.span));
        spans.extend(understood.word_weights().iter().map(|(span, _)| *span));
        for span in spans {
            assert!(
                span.start < span.end && text.get(span.start..span.end).is_some(),
                "{span:?} in {text:?}"
            );
        }
        for at in 0..=text.len() + 1 {
            assert!((0.0..=1.0).contains(&understood.weight_at(at)));
        }
        assert!(understood.word_weights().is_sorted_by_key(|(span, _)| span.start));
        assert!(understood.entities.iter().all(|entity| (0.0..=1.0).contains(&entity.confidence)));
        assert!(understood.dates.iter().all(|date| (0.0..=1.0).contains(&date.confidence)));
        assert!(
            understood.dates.iter().all(|date| date.from.zip(date.to).is_none_or(|(from, to)| from <= to))
        );
        assert!(understood.sentences.is_sorted_by_key(|sentence| sentence.span.start));
        understood.in_words(text);
    }
}
