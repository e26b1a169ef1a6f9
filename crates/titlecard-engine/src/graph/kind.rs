//! Kinds of entities.

use serde::{Deserialize, Serialize};

/// What an entity of the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A film of the catalogue.
    Film,
    /// A genre, such as `Horror`.
    Genre,
    /// A keyword, such as `time travel`.
    Keyword,
    /// Somebody who acts in, directs or is named in the text of a film.
    Person,
    /// A production company.
    Company,
    /// A country.
    Country,
    /// A language.
    Language,
    /// A place smaller than a country.
    Place,
    /// A year.
    Year,
    /// Ten years, such as `1980s`.
    Decade,
    /// A series of films.
    Collection,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Film,
        Self::Genre,
        Self::Keyword,
        Self::Person,
        Self::Company,
        Self::Country,
        Self::Language,
        Self::Place,
        Self::Year,
        Self::Decade,
        Self::Collection,
    ];

    /// Its name in files and on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Film => "film",
            Self::Genre => "genre",
            Self::Keyword => "keyword",
            Self::Person => "person",
            Self::Company => "company",
            Self::Country => "country",
            Self::Language => "language",
            Self::Place => "place",
            Self::Year => "year",
            Self::Decade => "decade",
            Self::Collection => "collection",
        }
    }
}
