//! What can be said of a question and a film together: named facts, true or not, and numbers.
//!
//! Facts come from what the question says ([`Understanding`]) and what the graph knows of the film; numbers
//! from the sources of candidates. Rules are made of facts and of numbers compared with a bound. Every
//! fact and number has a name, a family (which masks refer to) and a sentence that says what it means.

use std::collections::{HashMap, HashSet};

use super::AllowedYears;
use crate::graph::{EntityId, Graph, Kind, Relation};
use crate::query::{DateKind, Trait, Understanding};

/// A family of facts or numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Scores of the sources.
    Text,
    /// Years and decades.
    Time,
    /// Genres and kinds of film.
    Genre,
    /// Keywords, places and periods.
    Topic,
    /// People.
    People,
    /// Countries and languages.
    Origin,
    /// The film alone, whatever the question.
    Film,
    /// Titles named in the question.
    Title,
}

impl Family {
    /// Its name in rule files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Time => "time",
            Self::Genre => "genre",
            Self::Topic => "topic",
            Self::People => "people",
            Self::Origin => "origin",
            Self::Film => "film",
            Self::Title => "title",
        }
    }

    /// Whether it is drawn from the graph.
    pub fn is_of_graph(self) -> bool {
        !matches!(self, Self::Text | Self::Film)
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident, $count:ident: $($variant:ident $name:literal $family:ident $words:literal,)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum $type { $($variant,)+ }

        /// How many there are.
        pub const $count: usize = [$($type::$variant),+].len();

        impl $type {
            /// All, in the order of their numbers.
            pub const ALL: [Self; $count] = [$(Self::$variant),+];

            /// Name in rule files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Family.
            pub fn family(self) -> Family {
                match self { $(Self::$variant => Family::$family,)+ }
            }

            /// What it means, in plain words.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)+ }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|known| known.name() == name)
            }
        }
    };
}

named! {
    /// A fact about a question and a film.
    Fact, N_FACTS:
    GenreShared "genre shared" Genre "the film has a genre the question names, itself or through what it is a kind of",
    GenreSharedTwice "two genres shared" Genre "the film has two or more of the genres the question names",
    GenreSharedIsA "genre shared by kind" Genre "a genre or keyword of the film is a kind of a genre the question names",
    GenreConflict "genre conflict" Genre "the question names genres, and the film has genres but none of those",
    GenreDenied "genre denied" Genre "the film has a genre the question says it is not",
    AnimationShared "animation agrees" Genre "the question asks for animation and the film is animated",
    AnimationConflict "animation conflict" Genre "the question asks for animation and the film is not animated, or the other way round",
    AnimationUnasked "animated, unasked" Genre "the film is animated and the question does not speak of animation",
    DocumentaryUnasked "documentary, unasked" Genre "the film is a documentary and the question does not ask for one",
    MusicUnasked "music film, unasked" Genre "the film is of the genre Music and the question does not ask for music",
    TvShared "made for television, agrees" Genre "the question speaks of a television film and the film is one",
    ChildrenShared "for children, agrees" Genre "the question speaks of a children's film and the film is for families or animated",
    YearInRange "year fits" Time "the film came out in the years the question gives",
    YearNear "year nearly fits" Time "the film came out at most three years outside the years the question gives",
    YearFar "year far off" Time "the film came out more than ten years outside the years the question gives",
    YearNarrow "year fits a narrow range" Time "the film came out in the years the question gives, and they are five or fewer",
    YearAfterSeen "newer than seen" Time "the film came out after the person saw it",
    YearUnsaid "no year said" Time "the question gives no years",
    SettingShared "setting shared" Time "the question and the overview name the same year or decade as the time of the story",
    OldAgrees "old, agrees" Time "the question says the film is old or black and white, and it is from before 1970",
    OldConflict "old, conflict" Time "the question says the film is old or black and white, and it is from 1990 or later",
    SilentConflict "silent, conflict" Time "the question says the film is silent, and it is from after 1935",
    RecentAgrees "recent, agrees" Time "the question says the film is recent, and it is from after 2005",
    KeywordShared "keyword shared" Topic "the film has a keyword the question names",
    KeywordSharedTwice "two keywords shared" Topic "the film has two or more keywords the question names",
    KeywordRare "rare keyword shared" Topic "the film has a keyword the question names that few films have",
    KeywordSharedIsA "keyword shared by kind" Topic "a keyword of the film is a kind of something the question names, or the other way round",
    PlaceShared "place shared" Topic "the question and the film name the same place",
    PersonShared "person named" People "a person the question names acts in the film or directed it",
    PersonMentioned "person mentioned" People "a person the question names is named in the film's overview",
    CoActor "co-actor" People "somebody in the film has acted with a person the question names",
    PersonConflict "person conflict" People "the question names a person, and the film's cast is known and lacks them",
    CountryShared "country shared" Origin "the film is from, or its overview names, a country the question names",
    CountryConflict "country conflict" Origin "the question names a country, and the film has countries but none of those",
    LanguageShared "language shared" Origin "the film is in a language the question names",
    LanguageConflict "language conflict" Origin "the question names a language, and the film's is another",
    ForeignAgrees "foreign, agrees" Origin "the question says the film is foreign or not in English, and its language is not English",
    ForeignConflict "foreign, conflict" Origin "the question does not speak of a foreign film, and its language is not English",
    TitleNamed "title named" Title "the question names the film's title",
    TitleQuoted "title quoted" Title "the question puts the film's title between quotation marks",
    Compared "named to compare" Title "the question names the film only to compare with it",
    Denied "ruled out" Title "the question says it is not this film",
    HasKeywords "has keywords" Film "the catalogue has keywords for the film",
    HasCast "has a cast" Film "the catalogue has actors for the film",
    HasPlot "has a plot" Film "the catalogue tells the film's plot",
    IsShortOverview "brief overview" Film "the film's overview has fewer than twenty words",
}

named! {
    /// A number about a question and a film; NaN where there is none.
    Number, N_NUMBERS:
    Lexical "lexical" Text "BM25 over the film's record, relative to the best film's",
    Plot "plot" Text "BM25 over the film's plot, relative to the best film's",
    Encoder "encoder" Text "cosine of question and record by the trained encoder",
    PlotEncoder "plot encoder" Text "cosine of question and plot by the trained encoder",
    Vectors "vectors" Text "cosine of question and tags by word vectors",
    Regression "regression" Text "cosine of the title predicted from the question and the film's title",
    Popularity "popularity" Film "logarithm of the votes, relative to the best-known film",
    FirstStage "first stage" Text "sum of the sources' weighted scores: text, year and popularity",
    LexicalPlace "lexical place" Text "place by BM25 over records, as 1 / (1 + log2 of it)",
    PlotPlace "plot place" Text "place by BM25 over plots, as 1 / (1 + log2 of it)",
    EncoderPlace "encoder place" Text "place by the better of the encoder's two cosines, as 1 / (1 + log2 of it)",
    FirstPlace "first-stage place" Text "place in the first stage, as 1 / (1 + log2 of it)",
    BestSentence "best sentence" Text "highest cosine of one sentence of the question with the film's record or plot",
    Year "year" Film "year of release",
    YearsOff "years off" Time "years between the film's year and the nearest year the question allows",
    GenresShared "genres shared" Genre "number of genres the question names that the film has",
    TopicRarity "topic rarity" Topic "sum of the rarities of shared keywords and places, in bits",
    EncoderBest "encoder best" Text "the better of the encoder's cosines with record and plot",
}

/// Facts that imply wider ones.
pub const IMPLIED: [(Fact, Fact); 5] = [
    (Fact::GenreSharedTwice, Fact::GenreShared),
    (Fact::GenreSharedIsA, Fact::GenreShared),
    (Fact::KeywordSharedTwice, Fact::KeywordShared),
    (Fact::KeywordRare, Fact::KeywordShared),
    (Fact::YearNarrow, Fact::YearInRange),
];

/// Facts and numbers of some films for one question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Bit `f` of entry `i`: whether [`Fact`] number `f` holds for film `i`.
    pub facts: Vec<u64>,
    /// `[n_films, N_NUMBERS]`.
    pub numbers: Vec<f32>,
}

// One word holds all facts of a film.
const _: () = assert!(N_FACTS <= 64);

impl Table {
    /// Number of films.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there are no films.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Whether a fact holds for film `row`.
    pub fn holds(&self, row: usize, fact: Fact) -> bool {
        self.facts[row] >> fact as u32 & 1 == 1
    }

    /// A number of film `row`.
    pub fn number(&self, row: usize, number: Number) -> f32 {
        self.numbers[row * N_NUMBERS + number as usize]
    }
}

/// What a question names, ready to be compared with films: entities by number with how they were reached.
#[derive(Debug, Clone, Default)]
pub struct QuestionFacts {
    genres: HashMap<EntityId, Reach>,
    n_genres: usize,
    denied_genres: Vec<EntityId>,
    keywords: HashMap<EntityId, Reach>,
    places: Vec<EntityId>,
    periods: Vec<EntityId>,
    countries: Vec<EntityId>,
    languages: Vec<EntityId>,
    people: Vec<EntityId>,
    co_actors: HashSet<EntityId>,
    /// Films by number: named, quoted, compared, denied.
    films: HashMap<u32, [bool; 4]>,
    years: Option<AllowedYears>,
    seen: Option<i32>,
    traits: Vec<(Trait, bool)>,
    says_genre: [bool; 3],
}

/// How an entity of a film is reached from one of the question's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    /// Number of the entity in the question that leads here.
    from: u32,
    /// It is the entity itself and not a kind of it.
    direct: bool,
}

/// Films of a person whose actors count as co-actors, at most: more would say nothing.
const MAX_FILMS_OF_PERSON: usize = 120;
/// A keyword is rare if at most one film in so many has it.
const RARE: usize = 1_000;

impl QuestionFacts {
    /// Links what `understood` names with the graph.
    pub fn new(understood: &Understanding, graph: &Graph) -> Self {
        let mut facts = Self::default();
        let find = |kind: Kind, name: &str, ids: &[u32]| -> Vec<EntityId> {
            let found: Vec<EntityId> = ids.iter().map(|&id| EntityId(id)).collect();
            if found.is_empty() { graph.find(kind, name).into_iter().collect() } else { found }
        };
        let mut n_topics = 0;
        for entity in &understood.entities {
            for id in find(entity.kind, &entity.name, &entity.ids) {
                match entity.kind {
                    Kind::Film => {
                        let at = facts.films.entry(id.0).or_default();
                        at[0] |= !entity.negated && !entity.compared;
                        at[2] |= entity.compared;
                        at[3] |= entity.negated;
                    }
                    _ if entity.compared => {}
                    Kind::Genre if entity.negated => facts.denied_genres.push(id),
                    _ if entity.negated => {}
                    Kind::Genre => {
                        let from = facts.n_genres as u32;
                        facts.n_genres += 1;
                        reach(&mut facts.genres, graph, id, from);
                    }
                    Kind::Keyword => {
                        reach(&mut facts.keywords, graph, id, n_topics);
                        // What a keyword names may be a genre's kind as well ("slasher").
                        n_topics += 1;
                    }
                    Kind::Place => facts.places.push(id),
                    Kind::Country => facts.countries.push(id),
                    Kind::Language => facts.languages.push(id),
                    Kind::Person => facts.people.push(id),
                    Kind::Company | Kind::Year | Kind::Decade | Kind::Collection => {}
                }
            }
        }
        for quote in understood.quotes.iter().filter(|quote| quote.kind == crate::query::QuoteKind::Title) {
            for entity in understood.entities_of(Kind::Film).filter(|entity| quote.span.overlaps(entity.span))
            {
                entity.ids.iter().for_each(|&id| facts.films.entry(id).or_default()[1] = true);
            }
        }
        for list in [
            &mut facts.places,
            &mut facts.countries,
            &mut facts.languages,
            &mut facts.people,
            &mut facts.denied_genres,
        ] {
            list.sort_unstable();
            list.dedup();
        }
        let reached = &facts.genres;
        facts.denied_genres.retain(|id| !reached.contains_key(id));
        for &person in &facts.people {
            for relation in [Relation::Actor, Relation::Director] {
                for film in graph.films_of(person, relation).take(MAX_FILMS_OF_PERSON) {
                    graph.edges(film, Relation::Actor).for_each(|(actor, _)| {
                        facts.co_actors.insert(actor);
                    });
                }
            }
        }
        let people = &facts.people;
        facts.co_actors.retain(|actor| people.binary_search(actor).is_err());
        let release = understood.release();
        facts.years = release
            .filter(|release| release.kind == DateKind::Release)
            .and_then(|_| AllowedYears::of(understood));
        facts.seen = understood
            .dates
            .iter()
            .filter(|date| date.kind == DateKind::Seen && !date.negated)
            .filter_map(|date| date.to)
            .min();
        for date in understood.dates.iter().filter(|date| date.kind == DateKind::Setting) {
            if let (Some(from), Some(to)) = (date.from, date.to)
                && to - from <= 10
            {
                for year in from..=to {
                    facts.periods.extend(graph.find(Kind::Year, &year.to_string()));
                }
                facts.periods.extend(graph.find(Kind::Decade, &format!("{}s", from / 10 * 10)));
            }
        }
        facts.periods.sort_unstable();
        facts.periods.dedup();
        facts.traits =
            Trait::ALL.iter().filter_map(|&what| Some((what, understood.has_trait(what)?))).collect();
        facts.says_genre = ["Documentary", "Music", "Animation"]
            .map(|name| graph.find(Kind::Genre, name).is_some_and(|id| facts.genres.contains_key(&id)));
        facts
    }

    fn says(&self, what: Trait) -> Option<bool> {
        self.traits.iter().find(|(known, _)| *known == what).map(|(_, is)| *is)
    }

    /// Numbers of films the question names, as its answer or to compare.
    pub fn films(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.films.iter().map(|(&film, how)| (film, how[0] && !how[2] && !how[3]))
    }
}

/// Adds an entity and all that is a kind of it.
fn reach(reached: &mut HashMap<EntityId, Reach>, graph: &Graph, id: EntityId, from: u32) {
    reached.insert(id, Reach { from, direct: true });
    for below in graph.descendants(id) {
        reached.entry(below).or_insert(Reach { from, direct: false });
    }
}

/// Genres that decide facts of their own, looked up once a graph.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownGenres {
    animation: Option<EntityId>,
    documentary: Option<EntityId>,
    music: Option<EntityId>,
    tv: Option<EntityId>,
    family: Option<EntityId>,
    english: Option<EntityId>,
}

impl KnownGenres {
    /// Looks them up.
    pub fn of(graph: &Graph) -> Self {
        let genre = |name| graph.find(Kind::Genre, name);
        Self {
            animation: genre("Animation"),
            documentary: genre("Documentary"),
            music: genre("Music"),
            tv: genre("TV Movie"),
            family: genre("Family"),
            english: graph.find(Kind::Language, "en").or_else(|| graph.find(Kind::Language, "English")),
        }
    }
}

/// Facts of one film for a question, and the numbers that come from the graph.
pub struct FilmFacts {
    /// Bits of [`Fact`].
    pub facts: u64,
    /// [`Number::YearsOff`], [`Number::GenresShared`], [`Number::TopicRarity`].
    pub numbers: [f32; 3],
}

/// The facts of film number `film` for a question.
pub fn facts_of_film(
    question: &QuestionFacts,
    graph: &Graph,
    known: &KnownGenres,
    film: u32,
    year: Option<i32>,
) -> FilmFacts {
    let mut bits_of = FactBits(0);
    let pair = Pair { question, graph, known, film };
    let (n_shared, topic_rarity) = pair.genres_and_topics(&mut bits_of);
    let years_off = question.time_facts(year, &mut bits_of);
    let place_rarity = pair.other_relations(&mut bits_of);
    FilmFacts { facts: bits_of.0, numbers: [years_off, n_shared as f32, topic_rarity + place_rarity] }
}

/// Facts as bits.
struct FactBits(u64);

impl FactBits {
    fn set(&mut self, fact: Fact, holds: bool) {
        self.0 |= u64::from(holds) << fact as u32;
    }
}

/// A question and a film.
struct Pair<'a> {
    question: &'a QuestionFacts,
    graph: &'a Graph,
    known: &'a KnownGenres,
    film: u32,
}

impl Pair<'_> {
    /// How rare an entity is, in bits.
    fn rarity(&self, entity: EntityId) -> f32 {
        (self.graph.n_films() as f32 / self.graph.n_films_of(entity).max(1) as f32).log2()
    }

    /// Facts of genres and keywords; the number of genres shared, and the rarity of what is shared.
    fn genres_and_topics(&self, bits_of: &mut FactBits) -> (u32, f32) {
        let Self { question, graph, known, film } = *self;
        let n_films = graph.n_films();
        // Genres, and keywords that are kinds of genres.
        let (mut shared, mut by_kind, mut n_genres, mut denied) = (0_u64, false, 0, false);
        let (mut animated, mut documentary, mut music, mut tv, mut family) =
            (false, false, false, false, false);
        for (genre, _) in graph.edges(film, Relation::Genre) {
            n_genres += 1;
            match question.genres.get(&genre) {
                Some(reach) if reach.direct => shared |= 1 << reach.from.min(63),
                Some(_) => by_kind = true,
                None => {}
            }
            denied |= question.denied_genres.contains(&genre);
            let is = |known: Option<EntityId>| known == Some(genre);
            animated |= is(known.animation);
            documentary |= is(known.documentary);
            music |= is(known.music);
            tv |= is(known.tv);
            family |= is(known.family);
        }
        let (mut topics, mut topics_by_kind, mut rare, mut rarity, mut n_keywords) =
            (0_u64, false, false, 0.0, 0);
        for (keyword, _) in graph.edges(film, Relation::Keyword) {
            n_keywords += 1;
            by_kind |= question.genres.contains_key(&keyword);
            match question.keywords.get(&keyword) {
                Some(reach) if reach.direct => {
                    topics |= 1 << reach.from.min(63);
                    rare |= graph.n_films_of(keyword) as usize * RARE <= n_films;
                    rarity += self.rarity(keyword);
                }
                Some(_) => {
                    topics_by_kind = true;
                    rarity += self.rarity(keyword) / 2.0;
                }
                None => {}
            }
        }
        let n_shared = shared.count_ones();
        bits_of.set(Fact::GenreShared, n_shared > 0 || by_kind);
        bits_of.set(Fact::GenreSharedTwice, n_shared > 1);
        bits_of.set(Fact::GenreSharedIsA, by_kind);
        bits_of.set(Fact::GenreConflict, question.n_genres > 0 && n_genres > 0 && n_shared == 0 && !by_kind);
        bits_of.set(Fact::GenreDenied, denied);
        bits_of.set(Fact::KeywordShared, topics != 0);
        bits_of.set(Fact::KeywordSharedTwice, topics.count_ones() > 1);
        bits_of.set(Fact::KeywordRare, rare);
        bits_of.set(Fact::KeywordSharedIsA, topics_by_kind);
        bits_of.set(Fact::HasKeywords, n_keywords > 0);

        let says = |what| question.says(what);
        let asks_animation = says(Trait::Animation) == Some(true)
            || says(Trait::Anime) == Some(true)
            || says(Trait::StopMotion) == Some(true)
            || question.says_genre[2];
        let asks_actors = says(Trait::LiveAction) == Some(true) || says(Trait::Animation) == Some(false);
        bits_of.set(Fact::AnimationShared, asks_animation && animated);
        bits_of.set(
            Fact::AnimationConflict,
            asks_animation && n_genres > 0 && !animated || asks_actors && animated,
        );
        bits_of.set(Fact::AnimationUnasked, animated && !asks_animation);
        bits_of.set(Fact::DocumentaryUnasked, documentary && !question.says_genre[0]);
        bits_of.set(Fact::MusicUnasked, music && !question.says_genre[1]);
        bits_of.set(Fact::TvShared, tv && says(Trait::TvFilm) == Some(true));
        bits_of.set(Fact::ChildrenShared, (family || animated) && says(Trait::Children) == Some(true));
        (n_shared, rarity)
    }

    /// Facts of people, places, countries, languages and titles; the rarity of places shared.
    fn other_relations(&self, bits_of: &mut FactBits) -> f32 {
        let Self { question, graph, known, film } = *self;
        let mut rarity = 0.0;
        // Other relations: few entities each, so lists are searched.
        let meets = |list: &[EntityId], relation: Relation| {
            !list.is_empty() && graph.edges(film, relation).any(|(id, _)| list.binary_search(&id).is_ok())
        };
        let has = |relation: Relation| graph.edges(film, relation).len() > 0;
        bits_of.set(Fact::SettingShared, meets(&question.periods, Relation::Period));
        let place = meets(&question.places, Relation::Place);
        if place {
            rarity += graph
                .edges(film, Relation::Place)
                .filter(|(id, _)| question.places.binary_search(id).is_ok())
                .map(|(id, _)| self.rarity(id))
                .sum::<f32>();
        }
        bits_of.set(Fact::PlaceShared, place);
        let has_cast = has(Relation::Actor);
        bits_of.set(Fact::HasCast, has_cast);
        if !question.people.is_empty() {
            let named =
                meets(&question.people, Relation::Actor) || meets(&question.people, Relation::Director);
            bits_of.set(Fact::PersonShared, named);
            bits_of.set(Fact::PersonMentioned, meets(&question.people, Relation::Mentions));
            bits_of.set(
                Fact::CoActor,
                graph.edges(film, Relation::Actor).any(|(actor, _)| question.co_actors.contains(&actor)),
            );
            bits_of.set(Fact::PersonConflict, has_cast && !named);
        }
        let country = meets(&question.countries, Relation::Country);
        bits_of.set(Fact::CountryShared, country);
        bits_of
            .set(Fact::CountryConflict, !question.countries.is_empty() && !country && has(Relation::Country));
        let language = meets(&question.languages, Relation::Language);
        let has_language = has(Relation::Language);
        bits_of.set(Fact::LanguageShared, language);
        bits_of.set(Fact::LanguageConflict, !question.languages.is_empty() && !language && has_language);
        let is_foreign =
            has_language && !graph.edges(film, Relation::Language).any(|(id, _)| Some(id) == known.english);
        let says = |what| question.says(what);
        let says_foreign = says(Trait::Foreign) == Some(true)
            || says(Trait::Subtitled) == Some(true)
            || says(Trait::Dubbed) == Some(true);
        bits_of.set(Fact::ForeignAgrees, is_foreign && says_foreign);
        let names_origin = !question.languages.is_empty() || !question.countries.is_empty();
        bits_of.set(Fact::ForeignConflict, is_foreign && !says_foreign && !names_origin);

        if let Some(&[named, quoted, compared, denied]) = question.films.get(&film) {
            bits_of.set(Fact::TitleNamed, named);
            bits_of.set(Fact::TitleQuoted, quoted);
            bits_of.set(Fact::Compared, compared && !named);
            bits_of.set(Fact::Denied, denied);
        }
        rarity
    }
}

impl QuestionFacts {
    /// Facts of a film's year; years off what the question allows.
    fn time_facts(&self, year: Option<i32>, bits_of: &mut FactBits) -> f32 {
        let question = self;
        let says = |what| question.says(what);
        // Time.
        let mut years_off = f32::NAN;
        if let (Some(allowed), Some(year)) = (question.years, year) {
            let off = allowed.years_off(year);
            years_off = off as f32;
            bits_of.set(Fact::YearInRange, off == 0);
            bits_of.set(Fact::YearNear, (1..=3).contains(&off));
            bits_of.set(Fact::YearFar, off > 10);
            bits_of.set(Fact::YearNarrow, off == 0 && allowed.is_narrow());
        }
        bits_of.set(
            Fact::YearAfterSeen,
            matches!((question.seen, year), (Some(seen), Some(year)) if year > seen),
        );
        bits_of.set(Fact::YearUnsaid, question.years.is_none());
        let says_old = says(Trait::BlackAndWhite) == Some(true)
            || says(Trait::Old) == Some(true)
            || says(Trait::Silent) == Some(true);
        bits_of.set(Fact::OldAgrees, says_old && year.is_some_and(|year| year < 1970));
        bits_of.set(Fact::OldConflict, says_old && year.is_some_and(|year| year >= 1990));
        bits_of.set(
            Fact::SilentConflict,
            says(Trait::Silent) == Some(true) && year.is_some_and(|year| year > 1935),
        );
        bits_of.set(
            Fact::RecentAgrees,
            says(Trait::Recent) == Some(true) && year.is_some_and(|year| year > 2005),
        );
        years_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for fact in Fact::ALL {
            assert_eq!(Fact::named(fact.name()), Some(fact));
            assert_eq!(Number::named(fact.name()), None, "a fact and a number of one name");
            assert!(!fact.words().is_empty());
        }
        for number in Number::ALL {
            assert_eq!(Number::named(number.name()), Some(number));
        }
        let mut names: Vec<&str> = Fact::ALL.iter().map(|fact| fact.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), N_FACTS);
    }
}
