//! What is a kind of what: the film vocabulary inside the program, genres among the keywords, WordNet,
//! and the last word of a compound ("factory worker" is a worker).
//!
//! Of WordNet only the first (most frequent) sense of a word is used. Its hypernyms become keywords if
//! they are [`MIN_DEPTH`] or more steps below the top, are not on a short list of nodes that say nothing
//! of a film, can be named by a word whose first sense they are, and are either keywords of the catalogue
//! or have at least two of them below. Edges that would close a circle are left out, the earlier sources
//! winning.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::wordnet::{Synset, WordNet};
use super::{Kind, vocabulary};

/// Hypernyms nearer to WordNet's top than this are too general (organism, artifact, event, group …).
const MIN_DEPTH: u32 = 6;
/// Deeper nodes that are too general all the same.
const TOO_GENERAL: [&str; 26] = [
    "person",
    "adult",
    "worker",
    "leader",
    "device",
    "instrumentality",
    "activity",
    "action",
    "change",
    "equipment",
    "structure",
    "construction",
    "happening",
    "cognition",
    "content",
    "communicator",
    "relative",
    "good person",
    "bad person",
    "unfortunate",
    "expert",
    "professional",
    "container",
    "implement",
    "conveyance",
    "chordate",
];
/// A keyword with one of these words is no compound whose last word says what it is.
const LINKING_WORDS: [&str; 20] = [
    "of", "in", "on", "at", "to", "by", "for", "from", "with", "without", "and", "or", "vs", "versus", "the",
    "between", "against", "based", "under", "as",
];
/// Last words that are no kind of thing.
const NO_HEADS: [&str; 13] = [
    "s",
    "i",
    "ii",
    "iii",
    "relationship",
    "life",
    "film",
    "movie",
    "story",
    "issue",
    "theme",
    "scene",
    "based",
];

/// An entity that is no film yet: its kind and place among those of the kind.
pub(super) type Node = (Kind, u32);

/// Names by kind while the graph is built.
#[derive(Default)]
pub(super) struct Names {
    places: HashMap<Kind, HashMap<String, u32>>,
    rows: HashMap<Kind, Vec<(String, String)>>,
}

impl Names {
    /// The entity with this key; made, with this name, if it is new.
    pub(super) fn intern(&mut self, kind: Kind, key: String, name: &str) -> Node {
        let places = self.places.entry(kind).or_default();
        let rows = self.rows.entry(kind).or_default();
        let at = *places.entry(key).or_insert_with_key(|key| {
            rows.push((key.clone(), name.trim().to_owned()));
            rows.len() as u32 - 1
        });
        (kind, at)
    }

    pub(super) fn find(&self, kind: Kind, key: &str) -> Option<Node> {
        self.places.get(&kind)?.get(key).map(|&at| (kind, at))
    }

    /// Keys and names of a kind, in the order of their making.
    pub(super) fn rows(&self, kind: Kind) -> &[(String, String)] {
        self.rows.get(&kind).map_or(&[], Vec::as_slice)
    }

    pub(super) fn take_rows(&mut self, kind: Kind) -> Vec<(String, String)> {
        self.rows.remove(&kind).unwrap_or_default()
    }
}

/// Edges from child to parent, without circles.
#[derive(Default)]
pub(super) struct Hierarchy {
    parents: BTreeMap<Node, Vec<Node>>,
}

impl Hierarchy {
    fn add(&mut self, child: Node, parent: Node) {
        if child == parent || self.is_above(child, parent) {
            return;
        }
        let parents = self.parents.entry(child).or_default();
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }

    /// Whether `upper` is `lower` or an ancestor of it.
    fn is_above(&self, upper: Node, lower: Node) -> bool {
        upper == lower || self.ancestors(lower).contains(&upper)
    }

    /// All ancestors of a node.
    pub(super) fn ancestors(&self, node: Node) -> HashSet<Node> {
        let mut found = HashSet::new();
        let mut open = vec![node];
        while let Some(at) = open.pop() {
            for &parent in self.parents.get(&at).into_iter().flatten() {
                if found.insert(parent) {
                    open.push(parent);
                }
            }
        }
        found
    }

    /// Nodes with their direct parents.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Node, &[Node])> {
        self.parents.iter().map(|(&child, parents)| (child, parents.as_slice()))
    }

    pub(super) fn n_edges(&self) -> usize {
        self.parents.values().map(Vec::len).sum()
    }
}

/// Number of is-a edges by where they are from.
pub(super) type Sources = BTreeMap<&'static str, usize>;

/// Puts everything together; parents that no film has yet are made. Without `kinds`, genres and keywords have none.
pub(super) fn build(
    names: &mut Names,
    kinds: bool,
    wordnet: Option<&WordNet>,
    key_of: &dyn Fn(&str) -> String,
) -> (Hierarchy, Sources) {
    let mut hierarchy = Hierarchy::default();
    let mut sources = Sources::new();
    let mut done = 0;
    let mut count = |source, hierarchy: &Hierarchy| {
        sources.insert(source, hierarchy.n_edges() - done);
        done = hierarchy.n_edges();
    };
    years_and_places(names, wordnet, &mut hierarchy, key_of);
    count("years and places", &hierarchy);
    if !kinds {
        return (hierarchy, sources);
    }
    film_vocabulary(names, &mut hierarchy, key_of);
    count("film vocabulary", &hierarchy);
    keywords_that_are_genres(names, &mut hierarchy);
    count("keywords that are genres", &hierarchy);
    if let Some(wordnet) = wordnet {
        hypernyms(names, wordnet, &mut hierarchy, key_of);
        count("wordnet", &hierarchy);
    }
    compounds(names, &mut hierarchy);
    count("last words of compounds", &hierarchy);
    (hierarchy, sources)
}

/// 1984 lies in the 1980s, Paris in France.
fn years_and_places(
    names: &mut Names,
    wordnet: Option<&WordNet>,
    hierarchy: &mut Hierarchy,
    key_of: &dyn Fn(&str) -> String,
) {
    for at in 0..names.rows(Kind::Year).len() {
        let Ok(year) = names.rows(Kind::Year)[at].0.parse::<i32>() else { continue };
        let decade = decade_of(year);
        let decade = names.intern(Kind::Decade, decade.clone(), &decade);
        hierarchy.add((Kind::Year, at as u32), decade);
    }
    for (place, country) in vocabulary::places() {
        if let Some(place) = names.find(Kind::Place, &key_of(place))
            && !country.is_empty()
        {
            let country = names.intern(Kind::Country, key_of(country), country);
            hierarchy.add(place, country);
        }
    }
    let forms: HashMap<String, &str> = vocabulary::countries()
        .flat_map(|country| {
            country.names.into_iter().chain([country.name]).map(move |name| (name, country.name))
        })
        .map(|(form, name)| (key_of(form), name))
        .collect();
    let mut places = wordnet.map(WordNet::places).unwrap_or_default();
    places.sort_unstable();
    for (place, wholes) in places {
        let Some(place) = names.find(Kind::Place, &key_of(place)) else { continue };
        let country = wholes.iter().find_map(|whole| forms.get(&key_of(whole)));
        if let Some(country) = country
            && hierarchy.ancestors(place).is_empty()
        {
            let country = names.intern(Kind::Country, key_of(country), country);
            hierarchy.add(place, country);
        }
    }
}

/// "1980s" for 1984.
pub(super) fn decade_of(year: i32) -> String {
    format!("{}s", year - year.rem_euclid(10))
}

/// Entries whose child, or a child of whose child, the catalogue has.
fn film_vocabulary(names: &mut Names, hierarchy: &mut Hierarchy, key_of: &dyn Fn(&str) -> String) {
    let genres: HashMap<String, &str> =
        vocabulary::GENRES.iter().map(|genre| (key_of(genre), *genre)).collect();
    let entries: Vec<(String, String, &str)> =
        vocabulary::film().map(|(child, parent)| (key_of(child), key_of(parent), parent)).collect();
    // Upwards until nothing is added: parents made by one entry are children of others.
    let mut done = HashSet::new();
    loop {
        let mut has_grown = false;
        for (at, (child, parent_key, parent)) in entries.iter().enumerate() {
            for kind in [Kind::Genre, Kind::Keyword] {
                let Some(child) = names.find(kind, child) else { continue };
                if !done.insert((at, kind)) {
                    continue;
                }
                has_grown = true;
                let parent = match (names.find(Kind::Genre, parent_key), genres.get(parent_key)) {
                    (Some(genre), _) => genre,
                    (None, Some(genre)) => names.intern(Kind::Genre, parent_key.clone(), genre),
                    (None, None) => names.intern(Kind::Keyword, parent_key.clone(), parent),
                };
                hierarchy.add(child, parent);
            }
        }
        if !has_grown {
            break;
        }
    }
}

fn keywords_that_are_genres(names: &Names, hierarchy: &mut Hierarchy) {
    for (at, (key, _)) in names.rows(Kind::Genre).iter().enumerate() {
        if let Some(keyword) = names.find(Kind::Keyword, key) {
            hierarchy.add(keyword, (Kind::Genre, at as u32));
        }
    }
}

fn hypernyms(
    names: &mut Names,
    wordnet: &WordNet,
    hierarchy: &mut Hierarchy,
    key_of: &dyn Fn(&str) -> String,
) {
    let keywords: Vec<(Node, Synset)> = names
        .rows(Kind::Keyword)
        .iter()
        .enumerate()
        .filter_map(|(at, (key, name))| {
            let synset = wordnet.first_sense(&name.to_lowercase()).or_else(|| wordnet.first_sense(key))?;
            Some(((Kind::Keyword, at as u32), synset))
        })
        .collect();
    // Keywords below each node that is special enough.
    let mut n_below: HashMap<Synset, u32> = HashMap::new();
    for &(_, synset) in &keywords {
        let mut seen = HashSet::new();
        let mut open = wordnet.above(synset).to_vec();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                *n_below.entry(at).or_default() += 1;
                open.extend(wordnet.above(at));
            }
        }
    }
    let special_word = |synset: Synset| {
        wordnet
            .word(synset)
            .filter(|word| wordnet.depth(synset) >= MIN_DEPTH && !TOO_GENERAL.contains(word))
            .map(|word| (key_of(word), word))
    };
    let mut open: Vec<(Node, Synset)> = keywords;
    let mut done: HashSet<Node> = HashSet::new();
    while let Some((child, synset)) = open.pop() {
        if !done.insert(child) {
            continue;
        }
        // Through nodes that are not kept, up to the nearest that are.
        let mut passed = HashSet::new();
        let mut above = wordnet.above(synset).to_vec();
        while let Some(at) = above.pop() {
            if !passed.insert(at) {
                continue;
            }
            let kept = special_word(at).and_then(|(key, word)| {
                let known = names.find(Kind::Keyword, &key);
                if known.is_some() || n_below.get(&at).is_some_and(|&count| count >= 2) {
                    Some(names.intern(Kind::Keyword, key, word))
                } else {
                    None
                }
            });
            match kept {
                Some(parent) if parent != child => {
                    hierarchy.add(child, parent);
                    open.push((parent, at));
                }
                _ => above.extend(wordnet.above(at)),
            }
        }
    }
}

/// "factory worker" is a worker, if that is a keyword too.
fn compounds(names: &Names, hierarchy: &mut Hierarchy) {
    for (at, (key, _)) in names.rows(Kind::Keyword).iter().enumerate() {
        let words: Vec<&str> = key.split(' ').collect();
        if words.len() < 2 || words.iter().any(|word| LINKING_WORDS.contains(word)) {
            continue;
        }
        // The longest ending that is a keyword: "serial killer" of "female serial killer".
        let head = (1..words.len()).find_map(|from| {
            let head = words[from..].join(" ");
            let is_good = !NO_HEADS.contains(&head.as_str()) && head.chars().any(char::is_alphabetic);
            names.find(Kind::Keyword, &head).filter(|_| is_good)
        });
        if let Some(head) = head {
            hierarchy.add((Kind::Keyword, at as u32), head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keywords: &[&str], genres: &[&str]) -> Names {
        let mut names = Names::default();
        for keyword in keywords {
            names.intern(Kind::Keyword, (*keyword).to_owned(), keyword);
        }
        for genre in genres {
            names.intern(Kind::Genre, genre.to_lowercase(), genre);
        }
        names
    }

    fn above(names: &Names, hierarchy: &Hierarchy, keyword: &str) -> Vec<String> {
        let node = names.find(Kind::Keyword, keyword).unwrap();
        let mut found: Vec<String> = hierarchy
            .ancestors(node)
            .into_iter()
            .map(|(kind, at)| names.rows(kind)[at as usize].1.clone())
            .collect();
        found.sort();
        found
    }

    #[test]
    fn the_film_vocabulary_is_closed_and_makes_what_is_missing() {
        let mut names = names(&["zombies", "horror", "female serial killer", "serial killer"], &["Horror"]);
        let (hierarchy, _) = build(&mut names, true, None, &str::to_lowercase);
        assert_eq!(above(&names, &hierarchy, "zombies"), ["Horror", "monster", "undead", "zombie"]);
        assert_eq!(above(&names, &hierarchy, "horror"), ["Horror"]);
        assert_eq!(
            above(&names, &hierarchy, "female serial killer"),
            ["Crime", "murder", "murderer", "serial killer"]
        );
    }

    #[test]
    fn circles_are_left_out() {
        let mut hierarchy = Hierarchy::default();
        let node = |at| (Kind::Keyword, at);
        hierarchy.add(node(1), node(2));
        hierarchy.add(node(2), node(3));
        hierarchy.add(node(3), node(1));
        hierarchy.add(node(3), node(3));
        assert_eq!(hierarchy.n_edges(), 2);
    }

    #[test]
    fn years_lie_in_their_decades() {
        assert_eq!(decade_of(1980), "1980s");
        assert_eq!(decade_of(1989), "1980s");
        let mut names = Names::default();
        let year = names.intern(Kind::Year, "1984".to_owned(), "1984");
        let (hierarchy, _) = build(&mut names, true, None, &str::to_owned);
        assert_eq!(names.rows(Kind::Decade)[0].1, "1980s");
        assert_eq!(hierarchy.ancestors(year).len(), 1);
    }
}
