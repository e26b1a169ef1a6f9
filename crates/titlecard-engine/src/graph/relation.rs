//! Kinds of edges.

use serde::{Deserialize, Serialize};

use super::Kind;

/// What an edge from a film to an entity says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Its genre.
    Genre,
    /// A keyword; derived: a phrase of the overview that mostly goes with the keyword.
    Keyword,
    /// Somebody who acts in it; derived: named after "starring" in the overview.
    Actor,
    /// Its director; derived: named after "directed by" in the overview.
    Director,
    /// Somebody known from casts or as a director whom the overview names in no such role; always derived.
    Mentions,
    /// A production company.
    Company,
    /// A country of production; derived: a country or its people named in the overview.
    Country,
    /// A language.
    Language,
    /// A place; derived: named in the overview.
    Place,
    /// Year of release.
    Year,
    /// Decade of release.
    Decade,
    /// A year or decade named in the overview; always derived.
    Period,
    /// A series of films it belongs to.
    Collection,
}

impl Relation {
    /// All relations, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Genre,
        Self::Keyword,
        Self::Actor,
        Self::Director,
        Self::Mentions,
        Self::Company,
        Self::Country,
        Self::Language,
        Self::Place,
        Self::Year,
        Self::Decade,
        Self::Period,
        Self::Collection,
    ];

    /// Its name in files and on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Genre => "genre",
            Self::Keyword => "keyword",
            Self::Actor => "actor",
            Self::Director => "director",
            Self::Mentions => "mentions",
            Self::Company => "company",
            Self::Country => "country",
            Self::Language => "language",
            Self::Place => "place",
            Self::Year => "year",
            Self::Decade => "decade",
            Self::Period => "period",
            Self::Collection => "collection",
        }
    }

    /// Kinds of the entities it leads to; two only for [`Relation::Period`].
    pub fn targets(self) -> &'static [Kind] {
        match self {
            Self::Genre => &[Kind::Genre],
            Self::Keyword => &[Kind::Keyword],
            Self::Actor | Self::Director | Self::Mentions => &[Kind::Person],
            Self::Company => &[Kind::Company],
            Self::Country => &[Kind::Country],
            Self::Language => &[Kind::Language],
            Self::Place => &[Kind::Place],
            Self::Year => &[Kind::Year],
            Self::Decade => &[Kind::Decade],
            Self::Period => &[Kind::Year, Kind::Decade],
            Self::Collection => &[Kind::Collection],
        }
    }

    /// Its number in files.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}
