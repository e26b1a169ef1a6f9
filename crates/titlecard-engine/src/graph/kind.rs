//! Kinds of entities.

use serde::{Deserialize, Serialize};

use crate::catalogue::LEGAL_FORMS;

/// What ends the name of a company without telling it from others, beside [`LEGAL_FORMS`].
const OF_COMPANIES: [&str; 14] = [
    "animation",
    "cinema",
    "entertainment",
    "film",
    "filmproduktion",
    "films",
    "group",
    "media",
    "motion",
    "picture",
    "pictures",
    "production",
    "productions",
    "studios",
];

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

    /// What people call an entity of this kind for short, by its key: `ghibli` for `studio ghibli`, `walt disney` for
    /// `walt disney pictures`, `toy story` for `toy story collection`; the key itself where there is nothing to leave out.
    pub fn short_name(self, key: &str) -> &str {
        match self {
            Self::Company => {
                let key = key.strip_suffix(" the").unwrap_or(key);
                let mut short = key.strip_prefix("the ").unwrap_or(key);
                let is_of_all = |word: &str| {
                    word == "studio" || OF_COMPANIES.contains(&word) || LEGAL_FORMS.contains(&word)
                };
                while let Some((before, _)) = short.rsplit_once(' ').filter(|(_, last)| is_of_all(last)) {
                    short = before;
                }
                short.strip_prefix("studio ").unwrap_or(short)
            }
            Self::Collection => key.strip_suffix(" collection").unwrap_or(key),
            _ => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companies_and_series_have_short_names() {
        for (key, short) in [
            ("studio ghibli", "ghibli"),
            ("walt disney pictures", "walt disney"),
            ("the walt disney company", "walt disney"),
            ("weinstein company the", "weinstein"),
            ("pixar animation studios", "pixar"),
            ("toei animation co ltd", "toei"),
            ("hammer film productions", "hammer"),
            ("metro goldwyn mayer", "metro goldwyn mayer"),
            ("working title films", "working title"),
            ("a24", "a24"),
            // One word is always left.
            ("film studio", "film"),
            ("pictures", "pictures"),
        ] {
            assert_eq!(Kind::Company.short_name(key), short);
        }
        assert_eq!(Kind::Collection.short_name("toy story collection"), "toy story");
        assert_eq!(Kind::Collection.short_name("collection"), "collection");
        assert_eq!(Kind::Film.short_name("a collection"), "a collection");
    }
}
