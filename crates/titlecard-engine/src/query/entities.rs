//! What the text names: genres, countries, languages and traits by our lists, and all else by the lexicon.

use crate::graph::Kind;

use super::lexicon::Lexicon;
use super::words::{Class, Cue, Phrases, Words, of_class};
use super::{Comparison, Entity, Marks, Quote, QuoteKind, Sentence, Span, Trait, TraitFound};

pub(super) struct Reader<'a> {
    pub text: &'a str,
    pub words: &'a Words,
    pub cues: &'a [Cue],
    pub lexicon: &'a Lexicon,
    pub sentences: &'a [Sentence],
    pub quotes: &'a [Quote],
}

/// A name of the lexicon over words `first..end`, as one kind.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    first: usize,
    end: usize,
    kind: Kind,
    name: u32,
    confidence: f32,
}

impl Reader<'_> {
    /// All entities by place, and films compared with; words of the latter are marked.
    pub(super) fn read(&self, marks: &mut Marks) -> (Vec<Entity>, Vec<Comparison>) {
        let capitals_count = self.sentences_with_meaningful_capitals(marks);
        let names = self.names();
        let comparisons = self.comparisons(&names, &capitals_count, marks);
        let mut entities = self.listed(marks);
        let mut candidates = Vec::new();
        for (first, end, name) in &names {
            let mut last_kind = None;
            for (kind, _) in self.lexicon.entities(*name) {
                if last_kind == Some(kind) {
                    continue;
                }
                last_kind = Some(kind);
                let confidence = match kind {
                    Kind::Company => self.company(*first, *end, *name, &capitals_count, marks),
                    Kind::Collection => self.collection(*first, *end, *name, &capitals_count, marks),
                    _ => self.confidence(kind, *first, *end, &capitals_count, marks, &comparisons),
                };
                if let Some(confidence) = confidence {
                    candidates.push(Candidate { first: *first, end: *end, kind, name: *name, confidence });
                }
            }
        }
        // The longest name of each kind wins.
        candidates.sort_by_key(|candidate| {
            (candidate.kind, usize::MAX - (candidate.end - candidate.first), candidate.first)
        });
        let mut taken: Vec<(Kind, Span)> = entities.iter().map(|entity| (entity.kind, entity.span)).collect();
        for candidate in candidates {
            let span = self.words.span(candidate.first, candidate.end);
            if taken.iter().any(|(kind, other)| *kind == candidate.kind && other.overlaps(span)) {
                continue;
            }
            taken.push((candidate.kind, span));
            let ids = self
                .lexicon
                .entities(candidate.name)
                .filter(|(kind, _)| *kind == candidate.kind)
                .map(|(_, id)| id);
            let is_film = matches!(candidate.kind, Kind::Film | Kind::Collection);
            entities.push(Entity {
                kind: candidate.kind,
                name: self.lexicon.name(candidate.name).to_owned(),
                ids: ids.collect(),
                span,
                negated: marks.of[candidate.first..candidate.end].iter().all(|mark| mark.negated),
                compared: is_film && comparisons.iter().any(|comparison| comparison.span.overlaps(span)),
                confidence: candidate.confidence * self.certainty(candidate.first),
            });
        }
        entities.sort_by_key(|entity| (entity.span, entity.kind));
        (entities, comparisons)
    }

    /// Less is meant by what stands in talk.
    fn certainty(&self, at: usize) -> f32 {
        let sentence = self.words.items[at].sentence as usize;
        0.4 + 0.6 * self.sentences.get(sentence).map_or(1.0, |sentence| sentence.weight)
    }

    /// All names of the lexicon in the text: first word, end, name.
    fn names(&self) -> Vec<(usize, usize, u32)> {
        let mut names = Vec::new();
        if self.lexicon.is_empty() {
            return names;
        }
        for first in 0..self.words.len() {
            let word = |at: usize| self.words.same_sentence(at, first).then(|| self.words.get(at));
            self.lexicon.names_at(first, word, |found| names.push((first, found.end, found.name)));
        }
        names
    }

    /// By sentence, whether capitals say anything in it: not if nearly all its words have them.
    fn sentences_with_meaningful_capitals(&self, marks: &Marks) -> Vec<bool> {
        let mut counts = vec![(0, 0); self.sentences.len()];
        for (word, mark) in self.words.items.iter().zip(&marks.of) {
            if let Some((capital, all)) = counts.get_mut(word.sentence as usize)
                && !mark.stop
            {
                *all += 1;
                *capital += i32::from(word.capital);
            }
        }
        counts.into_iter().map(|(capital, all)| all < 4 || capital * 10 < all * 6).collect()
    }

    /// Whether the words with content of `first..end` all begin with a capital that says something.
    fn is_capitalised(&self, first: usize, end: usize, meaningful: &[bool], marks: &Marks) -> bool {
        let sentence = self.words.items[first].sentence as usize;
        let mut content = (first..end).filter(|at| !marks.of[*at].stop).peekable();
        let all = match content.peek() {
            Some(_) => content.all(|at| {
                self.words.items[at].capital || self.words.get(at).starts_with(|c: char| c.is_ascii_digit())
            }),
            None => (first..end).all(|at| self.words.items[at].capital),
        };
        // A capital at the beginning of a sentence is no sign, if it is the only one.
        let only_first =
            self.words.opens_sentence(first) && (first + 1..end).all(|at| !self.words.items[at].capital);
        all && !only_first && meaningful.get(sentence).copied().unwrap_or(true)
    }

    fn is_quoted(&self, first: usize, end: usize) -> bool {
        let span = self.words.span(first, end);
        self.quotes.iter().any(|quote| {
            quote.kind != QuoteKind::Speech
                && quote.span.holds(span)
                && quote.span.end - quote.span.start <= span.end - span.start + 8
        })
    }

    fn follows(&self, class: Class, first: usize) -> bool {
        of_class(self.cues, class)
            .any(|cue| cue.end <= first && first <= cue.end + 1 && self.words.same_sentence(cue.first, first))
    }

    /// How likely the name is meant as this kind; `None` if it is not.
    fn confidence(
        &self,
        kind: Kind,
        first: usize,
        end: usize,
        meaningful: &[bool],
        marks: &Marks,
        comparisons: &[Comparison],
    ) -> Option<f32> {
        let words = self.words;
        let n = end - first;
        let content: Vec<usize> = (first..end).filter(|at| !marks.of[*at].stop).collect();
        let rare = content.iter().any(|at| !self.lexicon.is_common(words.get(*at)));
        let capitalised = self.is_capitalised(first, end, meaningful, marks);
        match kind {
            Kind::Film => {
                let span = words.span(first, end);
                // Nearly every word is some film's title; most end here.
                if n == 1 && !capitalised && !self.is_quoted(first, end) && !marks.of[first].compared {
                    return None;
                }
                if comparisons.iter().any(|comparison| comparison.span == span) {
                    return Some(0.85);
                }
                if self.is_no_title(first, end, marks) {
                    return None;
                }
                if self.is_quoted(first, end) && !content.is_empty() {
                    // "He is a 'ghost'": a single quoted word is a title only after "called", or as a rare name.
                    let title =
                        n > 1 || self.follows(Class::Called, first) || rare && words.items[first].capital;
                    return title.then_some(if words.items[first].capital { 0.8 } else { 0.5 });
                }
                let named = self.follows(Class::Called, first)
                    || marks.of[first].negated && (first == 0 || !marks.of[first - 1].negated || n > 1);
                match (content.len(), capitalised) {
                    (1, true)
                        if n == 1
                            && (named || (rare && marks.of[first].negated))
                            && !self.is_person_or_place(first, end) =>
                    {
                        Some(0.7)
                    }
                    (1, true) if n > 1 && named => Some(0.7),
                    (1, _) => None,
                    (_, true) if rare || content.len() >= 3 => Some(if named { 0.8 } else { 0.55 }),
                    (_, true) if named => Some(0.7),
                    (3.., false) if rare && n >= 4 => Some(0.3),
                    _ => None,
                }
            }
            Kind::Person => {
                if n >= 2 {
                    let all_capital = (first..end).all(|at| words.items[at].capital);
                    let sentence = words.items[first].sentence as usize;
                    return match (all_capital, meaningful.get(sentence).copied().unwrap_or(true)) {
                        (true, true) => Some(0.9),
                        (true, false) if rare => Some(0.7),
                        (false, _)
                            if rare
                                && content.len() >= 2
                                && content.iter().all(|at| words.get(*at).len() >= 3) =>
                        {
                            Some(0.5)
                        }
                        _ => None,
                    };
                }
                (capitalised
                    && rare
                    && content.len() == 1
                    && words.get(first).len() >= 4
                    && !marks.of[first].generic)
                    .then_some(0.4)
            }
            Kind::Keyword | Kind::Genre => {
                if content.is_empty()
                    || words.get(first).len() < 3 && n == 1
                    || is_all_generic(first, end, marks)
                {
                    return None;
                }
                // Genres beyond our lists need a word for a film beside them.
                if kind == Kind::Genre && n == 1 && !self.film_noun_beside(first, end) {
                    return None;
                }
                Some(if n >= 2 { 0.8 } else { 0.5 })
            }
            Kind::Place | Kind::Country | Kind::Language => {
                let sure =
                    capitalised && !content.is_empty() && content.iter().all(|at| !marks.of[*at].generic);
                sure.then_some(if n >= 2 { 0.8 } else { 0.5 })
            }
            Kind::Company | Kind::Collection | Kind::Year | Kind::Decade => None,
        }
    }

    /// How likely a company is meant. Many are called by a common word ("Universal", "Focus", "Legendary"): a name needs
    /// its capitals, and to say itself that it is one ("Studio Ghibli") or to stand where films are said to come from.
    fn company(
        &self,
        first: usize,
        end: usize,
        name: u32,
        meaningful: &[bool],
        marks: &Marks,
    ) -> Option<f32> {
        let words = self.words;
        let is_plain = |at: usize| !marks.of[at].stop && !marks.of[at].generic;
        // "A French film" names no company called "French Films"; "Pixar movie" is a name of a genre, "Pixar" is none.
        let is_listed = self.cues.iter().any(|cue| match cue.class {
            Class::Country | Class::Demonym | Class::Language => cue.first <= first && end <= cue.end,
            Class::Genre => cue.first == first && cue.end == end,
            _ => false,
        });
        if is_listed || !(first..end).any(is_plain) || !self.is_capitalised(first, end, meaningful, marks) {
            return None;
        }
        let whole = self.lexicon.name(name);
        let bare = whole.strip_prefix("the ").or_else(|| whole.strip_suffix(" the")).unwrap_or(whole);
        if Kind::Company.short_name(whole) != bare {
            return Some(0.8);
        }
        let is_also =
            |kind: Kind| matches!(kind, Kind::Person | Kind::Place | Kind::Country | Kind::Language);
        if self.lexicon.entities(name).any(|(kind, _)| is_also(kind)) {
            return None;
        }
        // "A Pixar movie", "a Hammer horror", "a Universal monster film".
        let film_follows = self.cues.iter().any(|cue| {
            matches!(cue.class, Class::FilmNoun | Class::Genre)
                && (end..=end + 1).contains(&cue.first)
                && words.same_sentence(cue.first, first)
        }) && !words.items[end].after_break;
        let made_by = match words.before(first, 1) {
            "by" => matches!(
                words.before(first, 2),
                "made" | "produced" | "released" | "distributed" | "animated" | "movie" | "film"
            ),
            "from" => matches!(
                words.before(first, 2),
                "movie" | "movies" | "film" | "films" | "cartoon" | "anime" | "released" | "something"
            ),
            _ => false,
        };
        (film_follows || made_by).then_some(0.7)
    }

    /// How likely a series of films is meant. Most are called like a film of theirs, so a word for several films has to
    /// follow: "one of the Alien movies", "the Rocky series".
    fn collection(
        &self,
        first: usize,
        end: usize,
        name: u32,
        meaningful: &[bool],
        marks: &Marks,
    ) -> Option<f32> {
        let is_named = self.is_capitalised(first, end, meaningful, marks) || self.is_quoted(first, end);
        if !is_named || self.is_no_title(first, end, marks) {
            return None;
        }
        let whole = self.lexicon.name(name);
        if Kind::Collection.short_name(whole) != whole {
            return Some(0.8);
        }
        let of_several = matches!(
            self.words.within(end, first),
            "films"
                | "movies"
                | "flicks"
                | "series"
                | "franchise"
                | "trilogy"
                | "saga"
                | "sequel"
                | "sequels"
                | "prequel"
                | "prequels"
        );
        (of_several && !self.words.items[end].after_break).then_some(0.7)
    }

    /// Whether our lists know these words as a country or language.
    fn is_person_or_place(&self, first: usize, end: usize) -> bool {
        self.cues.iter().any(|cue| {
            matches!(cue.class, Class::Country | Class::Demonym | Class::Language | Class::Genre)
                && cue.first <= first
                && end <= cue.end
        })
    }

    /// Films after "like", "similar to" and so on.
    fn comparisons(
        &self,
        names: &[(usize, usize, u32)],
        meaningful: &[bool],
        marks: &mut Marks,
    ) -> Vec<Comparison> {
        let mut comparisons: Vec<Comparison> = Vec::new();
        let mut done = 0;
        let mut cues = of_class(self.cues, Class::Compare).copied().collect::<Vec<_>>();
        cues.sort_by_key(|cue| (cue.first, usize::MAX - cue.end));
        for cue in cues {
            if cue.first < done {
                continue;
            }
            let strong = cue.end - cue.first >= 2 && !matches!(self.words.get(cue.end - 1), "like")
                || matches!(self.words.get(cue.first), "kind" | "sort" | "remake" | "sequel");
            let mut at = cue.end;
            let mut skipped = 0;
            while skipped < 4
                && matches!(
                    self.words.within(at, cue.first),
                    "the"
                        | "a"
                        | "an"
                        | "that"
                        | "those"
                        | "movie"
                        | "movies"
                        | "film"
                        | "films"
                        | "show"
                        | "old"
                        | "original"
                        | "maybe"
                        | "in"
                        | "of"
                        | "from"
                        | "classic"
                )
                && self.film_at(at, names, strong, meaningful, marks).is_none_or(|(end, _)| end <= at + 1)
            {
                at += 1;
                skipped += 1;
            }
            while let Some((end, films)) = self.film_at(at, names, strong, meaningful, marks) {
                for mark in &mut marks.of[at..end] {
                    mark.compared = true;
                }
                comparisons.push(Comparison {
                    cue: self.words.span(cue.first, cue.end),
                    span: self.words.span(at, end),
                    films,
                });
                done = end;
                // "Like Alien, Aliens and Predator", "Alien meets Jaws".
                at = end;
                let mut joined = false;
                while matches!(
                    self.words.within(at, cue.first),
                    "or" | "and"
                        | "meets"
                        | "but"
                        | "the"
                        | "mixed"
                        | "with"
                        | "crossed"
                        | "movies"
                        | "films"
                        | "vs"
                ) {
                    joined = true;
                    at += 1;
                }
                joined |= self.words.items.get(at).is_some_and(|word| word.after_break)
                    && self.words.same_sentence(at, cue.first);
                if !joined {
                    break;
                }
            }
        }
        comparisons
    }

    /// The film named at word `at` after a comparison: its end and its ids.
    fn film_at(
        &self,
        at: usize,
        names: &[(usize, usize, u32)],
        strong: bool,
        meaningful: &[bool],
        marks: &Marks,
    ) -> Option<(usize, Vec<u32>)> {
        if at >= self.words.len() {
            return None;
        }
        let begin = names.partition_point(|(first, _, _)| *first < at);
        let here = names[begin..].iter().take_while(|(first, _, _)| *first == at);
        let mut best = None;
        for (first, end, name) in here {
            let films: Vec<u32> = self
                .lexicon
                .entities(*name)
                .filter(|(kind, _)| *kind == Kind::Film)
                .map(|(_, id)| id)
                .collect();
            let content: Vec<usize> = (*first..*end).filter(|at| !marks.of[*at].stop).collect();
            if films.is_empty() || content.is_empty() || self.is_no_title(*first, *end, marks) {
                continue;
            }
            let rare = content
                .iter()
                .any(|at| !self.lexicon.is_common(self.words.get(*at)) && self.words.get(*at).len() >= 4);
            let capitalised = self.is_capitalised(*first, *end, meaningful, marks);
            // "Like John Smith" is a man, unless the whole name is a title.
            let longer_name = (*end < self.words.len())
                && self.words.items[*end].capital
                && !self.words.items[*end].after_break
                && self.words.same_sentence(*end, at)
                && capitalised
                && !self.is_quoted(*first, *end);
            let person = self.lexicon.entities(*name).any(|(kind, _)| kind == Kind::Person);
            let place = self.is_person_or_place(*first, *end);
            // "Like Alien meets Jaws", and not "like, Wait" or "like White people".
            let stands_alone = rare || content.len() >= 2 || strong || self.stands_alone(*first, *end);
            let fits = self.is_quoted(*first, *end)
                || capitalised && !longer_name && !person && !place && stands_alone
                || strong && rare && content.len() >= 2
                || strong && rare && !place && self.words.get(*first).len() >= 5 && !marks.of[*first].generic;
            if fits {
                best = Some((*end, films));
            }
        }
        best
    }

    /// Whether these words are too little to be a title: a number, a letter, words of no content.
    fn is_no_title(&self, first: usize, end: usize, marks: &Marks) -> bool {
        let little = |at: usize| {
            let word = self.words.get(at);
            word.len() < 3 && end - first == 1
                || word.bytes().all(|byte| byte.is_ascii_digit())
                || marks.of[at].stop
                || marks.of[at].generic
        };
        !self.is_quoted(first, end) && (first..end).all(little)
    }

    /// Whether nothing that could belong to the name stands beside it.
    fn stands_alone(&self, first: usize, end: usize) -> bool {
        let next = self.words.within(end, first);
        let ends = next.is_empty()
            || self.words.items[end].after_break
            || matches!(
                next,
                "or" | "and"
                    | "but"
                    | "meets"
                    | "with"
                    | "where"
                    | "in"
                    | "from"
                    | "kind"
                    | "type"
                    | "style"
                    | "movie"
                    | "film"
                    | "esque"
                    | "except"
                    | "i"
                    | "it"
                    | "because"
                    | "which"
                    | "though"
            );
        ends && !self.words.items[first].after_break
    }

    /// Genres, countries and languages of our lists.
    fn listed(&self, marks: &Marks) -> Vec<Entity> {
        let mut entities: Vec<Entity> = Vec::new();
        for cue in self.longest(&[Class::Genre, Class::GenreNearFilm]) {
            if cue.class == Class::GenreNearFilm && !self.film_noun_beside(cue.first, cue.end) {
                continue;
            }
            // How often films so called have the genre in a catalogue (docs/query.md).
            let confidence = match cue.value {
                "Documentary" | "TV Movie" | "History" => 0.3,
                "Music" | "Crime" | "Romance" | "Mystery" | "Action" => 0.6,
                "Animation" | "Comedy" | "Horror" | "Science Fiction" => 0.85,
                _ => 0.75,
            };
            self.push_listed(Kind::Genre, &cue, confidence, marks, &mut entities);
        }
        for cue in self.longest(&[Class::Country]) {
            // "us" is a country only in capitals.
            if self.words.get(cue.first) == "us" && self.words.items[cue.first].span.of(self.text) != "US" {
                continue;
            }
            let made = matches!(self.words.before(cue.first, 1), "from")
                || matches!(self.words.before(cue.first, 2), "made" | "filmed" | "produced" | "from");
            let confidence = if made || self.film_noun_follows(cue.end) { 0.7 } else { 0.4 };
            self.push_listed(Kind::Country, &cue, confidence, marks, &mut entities);
        }
        for cue in self.longest(&[Class::Demonym]) {
            let capital = self.words.items[cue.first].capital;
            let of_film = self.film_noun_follows(cue.end) || self.is_said_of_film(cue.first);
            if matches!(self.words.get(cue.first), "polish" | "kiwi") && !capital && !of_film {
                continue;
            }
            let confidence = if of_film { 0.85 } else { 0.35 };
            self.push_listed(Kind::Country, &cue, confidence, marks, &mut entities);
        }
        for cue in self.longest(&[Class::Language]) {
            let before = self.words.before(cue.first, 1);
            let after = self.words.within(cue.end, cue.first);
            let spoken =
                matches!(before, "in" | "speak" | "speaks" | "speaking" | "spoke" | "into" | "spoken")
                    || matches!(after, "language" | "speaking" | "audio" | "spoken" | "dialogue");
            let of_film = self.film_noun_follows(cue.end) || self.is_said_of_film(cue.first);
            // "English subtitles", "dubbed in English": not the language of the film.
            let translated =
                matches!(after, "subtitles" | "subtitle" | "subs" | "dub" | "dubbed" | "dubbing")
                    || (1..=2).any(|back| {
                        matches!(self.words.before(cue.first, back), "dubbed" | "subtitled" | "translated")
                    });
            if (spoken || of_film) && !translated {
                let confidence = if spoken { 0.8 } else { 0.6 };
                self.push_listed(Kind::Language, &cue, confidence, marks, &mut entities);
            }
        }
        entities
    }

    fn push_listed(&self, kind: Kind, cue: &Cue, confidence: f32, marks: &Marks, entities: &mut Vec<Entity>) {
        let span = self.words.span(cue.first, cue.end);
        if entities
            .iter()
            .any(|entity| entity.kind == kind && entity.name == cue.value && entity.span.overlaps(span))
        {
            return;
        }
        entities.push(Entity {
            kind,
            name: cue.value.to_owned(),
            ids: self.ids_of(kind, cue.value),
            span,
            negated: self.is_negated(marks, span),
            compared: false,
            confidence: confidence * self.certainty(cue.first),
        });
    }

    /// The entities of the lexicon for a name of our lists, by the first of its aliases that is known.
    fn ids_of(&self, kind: Kind, name: &'static str) -> Vec<u32> {
        if self.lexicon.is_empty() {
            return Vec::new();
        }
        let ids = |name: &str| -> Vec<u32> {
            self.lexicon
                .entities_named(name)
                .into_iter()
                .filter(|(found, _)| *found == kind)
                .map(|(_, id)| id)
                .collect()
        };
        let own = ids(name);
        if !own.is_empty() {
            return own;
        }
        let aliases = Phrases::shared().aliases.get(name);
        aliases.into_iter().flatten().map(|alias| ids(alias)).find(|ids| !ids.is_empty()).unwrap_or_default()
    }

    /// Traits of our lists.
    pub(super) fn traits(&self, marks: &Marks) -> Vec<TraitFound> {
        let mut traits: Vec<TraitFound> = Vec::new();
        for cue in self.longest(&[Class::Trait]) {
            let Some(what) = Trait::parse(cue.value) else { continue };
            let span = self.words.span(cue.first, cue.end);
            if !traits.iter().any(|other| other.what == what && other.span.overlaps(span)) {
                // "Not in English" is said with its negation.
                let said_with_it =
                    matches!(what, Trait::Foreign | Trait::LiveAction | Trait::Recent | Trait::Silent);
                let negated = !said_with_it && self.is_negated(marks, span);
                traits.push(TraitFound { what, span, negated });
            }
        }
        traits
    }

    /// Cues of these classes, without those that lie in a longer one of the same value.
    fn longest(&self, classes: &[Class]) -> Vec<Cue> {
        let cues: Vec<Cue> = self.cues.iter().filter(|cue| classes.contains(&cue.class)).copied().collect();
        let inside = |cue: &Cue| {
            cues.iter().any(|other| {
                other.value == cue.value
                    && other.first <= cue.first
                    && cue.end <= other.end
                    && other.end - other.first > cue.end - cue.first
            })
        };
        cues.iter().filter(|cue| !inside(cue)).copied().collect()
    }

    /// Whether all words of `span` are denied of the film.
    pub(super) fn is_negated(&self, marks: &Marks, span: Span) -> bool {
        let mut inside = self
            .words
            .items
            .iter()
            .zip(&marks.of)
            .skip_while(|(word, _)| word.span.end <= span.start)
            .take_while(|(word, _)| word.span.start < span.end)
            .peekable();
        inside.peek().is_some() && inside.all(|(_, mark)| mark.negated)
    }

    fn film_noun_follows(&self, end: usize) -> bool {
        end > 0
            && of_class(self.cues, Class::FilmNoun).any(|cue| {
                cue.first >= end && cue.first <= end + 2 && self.words.same_sentence(cue.first, end - 1)
            })
    }

    /// A word for a film or another genre follows, or "genre" stands before.
    fn film_noun_beside(&self, first: usize, end: usize) -> bool {
        let follows = of_class(self.cues, Class::FilmNoun).any(|cue| {
            cue.first >= end && cue.first <= end + 1 && self.words.same_sentence(cue.first, first)
        });
        let before = self.cues.iter().any(|cue| cue.class == Class::Genre && cue.end == first);
        follows || before || matches!(self.words.before(first, 1), "genre")
    }

    /// "It was French", "in French", "it's Japanese".
    fn is_said_of_film(&self, first: usize) -> bool {
        let mut back = 1;
        while matches!(
            self.words.before(first, back),
            "a" | "probably"
                | "possibly"
                | "maybe"
                | "definitely"
                | "likely"
                | "either"
                | "an"
                | "was"
                | "is"
                | "be"
                | "in"
                | "may"
                | "might"
                | "could"
                | "have"
                | "been"
                | "most"
        ) {
            back += 1;
        }
        back > 1
            && matches!(
                self.words.before(first, back),
                "it" | "movie" | "film" | "show" | "this" | "was" | "its"
            )
    }
}

fn is_all_generic(first: usize, end: usize, marks: &Marks) -> bool {
    marks.of[first..end].iter().all(|mark| mark.generic || mark.stop || mark.frame)
}
