//! The vocabularies inside the program, `data/vocabulary/*.txt`: one entry a line, `#` begins a remark.

/// `child < parent, parent`: what is a kind of what among genres and keywords.
const FILM: &str = include_str!("../../../../data/vocabulary/film.txt");
/// `Name | other names | words for its people`.
const COUNTRIES: &str = include_str!("../../../../data/vocabulary/countries.txt");
/// `Place < country`.
const PLACES: &str = include_str!("../../../../data/vocabulary/places.txt");
/// `code Name`.
const LANGUAGES: &str = include_str!("../../../../data/vocabulary/languages.txt");

/// The genres of TMDB: parents by these names are genres even where the catalogue has no such film.
pub(super) const GENRES: [&str; 19] = [
    "Action",
    "Adventure",
    "Animation",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Family",
    "Fantasy",
    "History",
    "Horror",
    "Music",
    "Mystery",
    "Romance",
    "Science Fiction",
    "TV Movie",
    "Thriller",
    "War",
    "Western",
];

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}

fn list(text: &'static str, separator: char) -> Vec<&'static str> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Pairs (child, parent) of genres and keywords.
pub(super) fn film() -> impl Iterator<Item = (&'static str, &'static str)> {
    lines(FILM)
        .filter_map(|line| line.split_once('<'))
        .flat_map(|(child, parents)| list(parents, ',').into_iter().map(move |parent| (child.trim(), parent)))
}

/// A country with the words that name it.
pub(super) struct Country {
    /// As TMDB writes it.
    pub(super) name: &'static str,
    /// Other names of the country.
    pub(super) names: Vec<&'static str>,
    /// Its people, and the adjective.
    pub(super) people: Vec<&'static str>,
}

/// All countries.
pub(super) fn countries() -> impl Iterator<Item = Country> {
    lines(COUNTRIES).map(|line| {
        let mut parts = line.split('|');
        Country {
            name: parts.next().unwrap_or_default().trim(),
            names: list(parts.next().unwrap_or_default(), ','),
            people: list(parts.next().unwrap_or_default(), ','),
        }
    })
}

/// Well-known places with their countries (empty for none).
pub(super) fn places() -> impl Iterator<Item = (&'static str, &'static str)> {
    lines(PLACES).map(|line| {
        let (place, country) = line.split_once('<').unwrap_or((line, ""));
        (place.trim(), country.trim())
    })
}

/// The English name of a language by its two-letter code.
pub(super) fn language(code: &str) -> Option<&'static str> {
    lines(LANGUAGES)
        .filter_map(|line| line.split_once(' '))
        .find(|(known, _)| *known == code)
        .map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_vocabularies_are_well_formed() {
        assert!(film().count() >= 200);
        assert!(film().all(|(child, parent)| !child.is_empty() && !parent.is_empty() && child != parent));
        for line in lines(FILM) {
            assert_eq!(line.matches('<').count(), 1, "{line}");
        }
        let names: Vec<&str> = countries().map(|country| country.name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "a country twice");
        for (place, country) in places() {
            assert!(country.is_empty() || names.contains(&country), "{place} in {country}");
        }
        assert_eq!(language("fr"), Some("French"));
        assert_eq!(language("zz"), None);
    }
}
