//! What an overview names: people, countries, places, years and decades. No model: names come from the
//! catalogue's own columns, from the lists inside the program and, where set, from WordNet.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::phrases::Phrases;
use super::store::entity_key;
use super::wordnet::WordNet;
use super::{Relation, vocabulary};
use crate::catalogue::Film;
use crate::text::{Tokenizer, TokenizerConfig};

/// A given name or surname is one that at least this many people of the catalogue bear.
const MIN_NAMESAKES: u32 = 3;

/// Something named in a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fact {
    pub(super) relation: Relation,
    /// Its name; kind of a year or decade by its form.
    pub(super) name: String,
}

/// Finds names in texts.
pub(super) struct Facts {
    phrases: Phrases,
    named: Vec<Named>,
    given_names: HashSet<String>,
    surnames: HashSet<String>,
    tokenizer: Tokenizer,
    /// Key of a country's other name to its name.
    countries: HashMap<String, &'static str>,
}

#[derive(Debug)]
struct Named {
    what: What,
    name: String,
    /// Also a given name or surname: only after a word like "in".
    is_ambiguous: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Person,
    Country,
    People,
    Place,
}

/// One word of a text.
struct Word {
    text: String,
    span: Range<usize>,
    is_capital: bool,
    /// All its letters are capitals ("US").
    is_upper: bool,
}

impl Facts {
    /// Learns the names of all people of `films`.
    pub(super) fn learn(films: &[Film], wordnet: Option<&WordNet>) -> Self {
        let people = films.iter().flat_map(|film| film.cast.iter().chain(&film.directors));
        Self::of_people(people.map(|name| (entity_key(name), name.as_str())).collect(), wordnet)
    }

    /// From people by key and name.
    pub(super) fn of_people(mut people: Vec<(String, &str)>, wordnet: Option<&WordNet>) -> Self {
        let mut facts = Self {
            phrases: Phrases::default(),
            named: Vec::new(),
            given_names: HashSet::new(),
            surnames: HashSet::new(),
            tokenizer: Tokenizer::new(TokenizerConfig::default()),
            countries: HashMap::new(),
        };
        people.sort_unstable();
        people.dedup_by(|a, b| a.0 == b.0);
        let (mut first, mut last) = (HashMap::<&str, u32>::new(), HashMap::<&str, u32>::new());
        for (key, _) in &people {
            if let Some((given, rest)) = key.split_once(' ') {
                *first.entry(given).or_default() += 1;
                *last.entry(rest.rsplit(' ').next().unwrap_or(rest)).or_default() += 1;
            }
        }
        let common = |names: HashMap<&str, u32>| {
            let names = names.into_iter().filter(|&(_, count)| count >= MIN_NAMESAKES);
            names.map(|(name, _)| name.to_owned()).collect::<HashSet<String>>()
        };
        (facts.given_names, facts.surnames) = (common(first), common(last));
        for country in vocabulary::countries() {
            for name in country.names.iter().chain([&country.name]) {
                facts.add(What::Country, name, country.name);
                facts.countries.insert(entity_key(name), country.name);
            }
            country.people.iter().for_each(|people| facts.add(What::People, people, country.name));
        }
        for (place, _) in vocabulary::places() {
            facts.add(What::Place, place, place);
        }
        for (key, name) in &people {
            if key.contains(' ') {
                facts.add(What::Person, key, name);
            }
        }
        // WordNet's places come last: a name that is taken already stays what it is.
        let mut places: Vec<String> = wordnet
            .into_iter()
            .flat_map(WordNet::places)
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.len() >= 4 && !name.chars().any(|c| c.is_ascii_digit()))
            .collect();
        places.sort();
        for place in &places {
            facts.add(What::Place, place, &capitalised(place));
        }
        facts
    }

    fn add(&mut self, what: What, form: &str, name: &str) {
        let key = entity_key(form);
        let is_name = self.given_names.contains(&key) || self.surnames.contains(&key);
        let number = self.named.len() as u32;
        if self.phrases.add(&key, number) == Some(number) {
            let is_ambiguous = is_name && what != What::People;
            self.named.push(Named { what, name: name.to_owned(), is_ambiguous });
        }
    }

    /// The name of a country as we know it, however the catalogue writes it.
    pub(super) fn country<'a>(&self, name: &'a str) -> &'a str {
        self.countries.get(&entity_key(name)).copied().unwrap_or(name)
    }

    /// All facts of a film that its overview and keywords name, each once, in a fixed order.
    pub(super) fn of(&self, film: &Film) -> Vec<Fact> {
        let mut found = self.in_text(&film.overview);
        for keyword in &film.keywords {
            found.extend(self.in_keyword(&entity_key(keyword)));
        }
        found.sort();
        found.dedup();
        found
    }

    /// A keyword that is a place ("paris", "paris france") or a decade.
    fn in_keyword(&self, key: &str) -> Option<Fact> {
        if let Some(name) = decade(key) {
            return Some(Fact { relation: Relation::Period, name });
        }
        let named = |key: &str| self.phrases.find(key).map(|number| &self.named[number as usize]);
        let place = |key: &str| named(key).filter(|named| named.what == What::Place);
        let in_country = || {
            // The longest place whose rest is a country ("new york city usa").
            key.match_indices(' ').rev().find_map(|(at, _)| {
                named(&key[at + 1..]).filter(|named| named.what == What::Country)?;
                place(&key[..at])
            })
        };
        let found = place(key).or_else(in_country)?;
        Some(Fact { relation: Relation::Place, name: found.name.clone() })
    }

    fn in_text(&self, text: &str) -> Vec<Fact> {
        let mut words: Vec<Word> = Vec::new();
        self.tokenizer.for_each_with_span(text, |token, span| {
            let is_capital = text[span.clone()].chars().next().is_some_and(char::is_uppercase);
            let is_upper = !text[span.clone()].chars().any(char::is_lowercase);
            words.push(Word { text: token.to_owned(), span, is_capital, is_upper });
        });
        let numbers: Vec<u32> = words.iter().map(|word| self.phrases.word(&word.text)).collect();
        let mut found = Vec::new();
        let mut at = 0;
        // Where the last person ended, and in which role.
        let mut last_person: Option<(usize, Relation)> = None;
        while at < words.len() {
            if let Some(name) = period(text, &words, at) {
                found.push(Fact { relation: Relation::Period, name });
                at += 1;
                continue;
            }
            let Some((length, number)) = self.phrases.longest(&numbers, at) else {
                at += 1;
                continue;
            };
            let named = &self.named[number as usize];
            let range = at..at + length;
            if !is_written_as_name(&words[range.clone()])
                || (named.what != What::Person && !self.is_no_person(text, &words, &range, named))
            {
                at += 1;
                continue;
            }
            let relation = match named.what {
                What::Country | What::People => Relation::Country,
                What::Place => Relation::Place,
                What::Person => {
                    let role = role(text, &words, at, last_person);
                    last_person = Some((range.end, role));
                    role
                }
            };
            found.push(Fact { relation, name: named.name.clone() });
            at = range.end;
        }
        found
    }

    /// Whether a country or place is not rather part of somebody's name ("Jack London", "Paris Hilton").
    fn is_no_person(&self, text: &str, words: &[Word], range: &Range<usize>, named: &Named) -> bool {
        let before = range.start.checked_sub(1).map(|at| &words[at]);
        if named.is_ambiguous {
            return before.is_some_and(|word| {
                matches!(
                    word.text.as_str(),
                    "in" | "from"
                        | "to"
                        | "near"
                        | "at"
                        | "across"
                        | "through"
                        | "around"
                        | "outside"
                        | "into"
                        | "towards"
                        | "toward"
                        | "throughout"
                        | "between"
                        | "via"
                        | "visits"
                )
            });
        }
        let follows_name = before.is_some_and(|word| {
            word.is_capital
                && is_adjacent(text, word, &words[range.start])
                && self.given_names.contains(&word.text)
        });
        // "Lake Victoria Smith" is rare; "Washington Irving" is caught by the ambiguity above.
        !(follows_name && named.what != What::People)
    }
}

/// All words begin with a capital, but for short ones inside ("Rio de Janeiro").
fn is_written_as_name(words: &[Word]) -> bool {
    let last = words.len() - 1;
    words.iter().enumerate().all(|(at, word)| {
        word.is_capital || (at != 0 && at != last && word.text.len() <= 3)
    })
        // "US" is a country, "Us" is not.
        && (words.len() > 1 || words[0].text != "us" || words[0].is_upper)
}

fn is_adjacent(text: &str, first: &Word, second: &Word) -> bool {
    text.get(first.span.end..second.span.start).is_some_and(|gap| gap == " ")
}

/// What the words before a person's name say of them.
fn role(text: &str, words: &[Word], at: usize, last: Option<(usize, Relation)>) -> Relation {
    // "directed by A, B and C": a name that follows another has its role.
    if let Some((end, role)) = last {
        let gap = &words[end..at];
        let joined = matches!(gap, []) || matches!(gap, [and] if matches!(and.text.as_str(), "and"));
        let between = text.get(words[end - 1].span.end..words[at].span.start).unwrap_or_default();
        if joined && !between.contains(['.', ';', '(']) {
            return role;
        }
    }
    let before = |back: usize| at.checked_sub(back).map_or("", |at| words[at].text.as_str());
    match (before(2), before(1)) {
        ("directed" | "film" | "movie" | "documentary" | "comedy" | "drama" | "short", "by")
        | (_, "director" | "filmmaker" | "directors" | "filmmakers") => Relation::Director,
        (_, "starring" | "stars" | "starred") => Relation::Actor,
        _ => Relation::Mentions,
    }
}

/// A year or decade at word `at`.
fn period(text: &str, words: &[Word], at: usize) -> Option<String> {
    let word = &words[at];
    let before = at.checked_sub(1).map_or("", |at| words[at].text.as_str());
    if let Some(name) = decade(&word.text) {
        return Some(name);
    }
    // What follows the digits; nothing if they are not written as the tokenizer gives them ("１９８０").
    let after = text[word.span.start..].strip_prefix(word.text.as_str()).unwrap_or_default();
    let number: Option<u32> = word.text.parse().ok();
    // The tokenizer drops a possessive ending: "1980's" is a decade, "in 1980" a year.
    let has_ending = after.starts_with(['\'', '\u{2019}']);
    match number {
        Some(year @ 1800..=2030) if word.text.len() == 4 => {
            if has_ending && year % 10 == 0 {
                return Some(format!("{year}s"));
            }
            let opened = text[..word.span.start].ends_with('(') && after.starts_with(')');
            (opened || introduces_year(before)).then(|| year.to_string())
        }
        Some(decade @ 20..=90) if has_ending && decade % 10 == 0 && word.text.len() == 2 => {
            Some(format!("19{decade}s"))
        }
        _ => {
            // "the sixties", but not "in his sixties".
            let number = match word.text.as_str() {
                "twenties" => 1920,
                "thirties" => 1930,
                "forties" => 1940,
                "fifties" => 1950,
                "sixties" => 1960,
                "seventies" => 1970,
                "eighties" => 1980,
                "nineties" => 1990,
                _ => return None,
            };
            let is_period = matches!(before, "the" | "early" | "late" | "mid" | "roaring" | "swinging");
            is_period.then(|| format!("{number}s"))
        }
    }
}

/// "1980s", "80s".
fn decade(word: &str) -> Option<String> {
    let digits = word.strip_suffix('s').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    if !digits.ends_with('0') {
        return None;
    }
    match (digits.len(), digits.parse().ok()?) {
        (4, year @ 1800..=2029) => Some(format!("{year}s")),
        (2, decade @ 20..=90) => Some(format!("19{decade}s")),
        _ => None,
    }
}

fn introduces_year(word: &str) -> bool {
    matches!(
        word,
        "in" | "of"
            | "since"
            | "from"
            | "during"
            | "until"
            | "till"
            | "by"
            | "year"
            | "summer"
            | "winter"
            | "spring"
            | "autumn"
            | "fall"
            | "early"
            | "late"
            | "mid"
            | "circa"
            | "around"
            | "about"
            | "after"
            | "before"
            | "between"
            | "january"
            | "february"
            | "march"
            | "april"
            | "may"
            | "june"
            | "july"
            | "august"
            | "september"
            | "october"
            | "november"
            | "december"
            | "christmas"
    )
}

/// WordNet's lower-case names with capitals; short words inside stay ("rio de janeiro").
fn capitalised(name: &str) -> String {
    let words = name.split(' ').enumerate().map(|(at, word)| {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if at == 0 || !matches!(word, "de" | "of" | "the" | "la" | "and" | "on" | "del") => {
                first.to_uppercase().collect::<String>() + letters.as_str()
            }
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(overview: &str) -> Film {
        Film { overview: overview.to_owned(), ..Film::default() }
    }

    fn facts() -> Facts {
        let people = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let films = [Film {
            cast: people(&[
                "Jack Nicholson",
                "Jack Lemmon",
                "Jack Black",
                "Michael B. Jordan",
                "Neil Jordan",
            ]),
            directors: people(&["Louis Jordan", "Sofia Coppola", "Madonna", "Joel Coen", "Ethan Coen"]),
            ..Film::default()
        }];
        Facts::learn(&films, None)
    }

    #[track_caller]
    fn check(text: &str, expected: &[(Relation, &str)]) {
        let found = facts().of(&film(text));
        let found: Vec<(Relation, &str)> =
            found.iter().map(|fact| (fact.relation, fact.name.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn people_are_named_in_their_roles() {
        check(
            "A comedy directed by Joel Coen and Ethan Coen, starring Jack Lemmon.",
            &[
                (Relation::Actor, "Jack Lemmon"),
                (Relation::Director, "Ethan Coen"),
                (Relation::Director, "Joel Coen"),
            ],
        );
        check("He looks like jack black; so does Jack Black.", &[(Relation::Mentions, "Jack Black")]);
        check("Madonna and Jack", &[]);
    }

    #[test]
    fn countries_and_places_are_no_names_of_people() {
        check(
            "A French painter moves from Rio de Janeiro to the US, not to us.",
            &[
                (Relation::Country, "France"),
                (Relation::Country, "United States of America"),
                (Relation::Place, "Rio de Janeiro"),
            ],
        );
        check("Jack London reads. Us", &[]);
        check("Jordan travels to Jordan", &[(Relation::Country, "Jordan")]);
        check("Jordan travels to turkey", &[]);
    }

    #[test]
    fn years_and_decades_are_told_from_numbers_and_ages() {
        check(
            "In the 1980s, 2000 people; in 1944 a man in his sixties.",
            &[(Relation::Period, "1944"), (Relation::Period, "1980s")],
        );
        check("Café １９８０ und Zé's (１９３１), in １９４４", &[(Relation::Period, "1944")]);
        check(
            "The late sixties, the 90's and the 1920's (1931)",
            &[
                (Relation::Period, "1920s"),
                (Relation::Period, "1931"),
                (Relation::Period, "1960s"),
                (Relation::Period, "1990s"),
            ],
        );
    }

    #[test]
    fn keywords_name_places_and_decades() {
        let with = |keyword: &str| {
            let film = Film { keywords: vec![keyword.to_owned()], ..Film::default() };
            facts().of(&film).into_iter().map(|fact| fact.name).collect::<Vec<_>>()
        };
        assert_eq!(with("paris, france"), ["Paris"]);
        assert_eq!(with("new york city, usa"), ["New York City"]);
        assert_eq!(with("1970s"), ["1970s"]);
        assert_eq!(with("time travel"), [""; 0]);
    }
}
