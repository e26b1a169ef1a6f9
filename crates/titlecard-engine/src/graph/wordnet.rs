//! WordNet's nouns: what is a kind of what. Reads `index.noun` and `data.noun` (release 3.0 and later).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::GraphError;

/// A sense, by its place in the table.
pub(super) type Synset = usize;

/// Nouns with their hypernyms.
#[derive(Debug, Default)]
pub(super) struct WordNet {
    /// First sense of each word (lower case, spaces for underscores).
    first_sense: HashMap<String, Synset>,
    synsets: Vec<Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    words: Vec<String>,
    /// Hypernyms; instance hypernyms after them.
    above: Vec<Synset>,
    /// What it is a part of.
    wholes: Vec<Synset>,
    is_instance: bool,
    /// Steps to the top by the shortest way.
    depth: u32,
}

impl WordNet {
    /// Reads the folder `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, GraphError> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| fault(&path, error.to_string()))
        };
        let (data, index) = (text("data.noun")?, text("index.noun")?);
        Self::parse(&data, &index).map_err(|what| fault(folder, what))
    }

    fn parse(data: &str, index: &str) -> Result<Self, String> {
        let mut at_offset = HashMap::new();
        let mut wordnet = Self::default();
        let mut pointers = Vec::new();
        // Lines that begin with a space are the licence.
        for line in data.lines().filter(|line| !line.starts_with(' ')) {
            let (entry, offset, links) =
                synset(line).ok_or_else(|| format!("not a line of data.noun: `{}`", cut(line)))?;
            at_offset.insert(offset, wordnet.synsets.len());
            wordnet.synsets.push(entry);
            pointers.push(links);
        }
        for (at, links) in pointers.into_iter().enumerate() {
            for (symbol, offset) in links {
                let to = *at_offset.get(offset).ok_or_else(|| format!("no synset at {offset}"))?;
                match symbol {
                    "@" => wordnet.synsets[at].above.push(to),
                    "@i" => {
                        wordnet.synsets[at].above.push(to);
                        wordnet.synsets[at].is_instance = true;
                    }
                    _ => wordnet.synsets[at].wholes.push(to),
                }
            }
        }
        for line in index.lines().filter(|line| !line.starts_with(' ')) {
            let bad = || format!("not a line of index.noun: `{}`", cut(line));
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let n_senses: usize = fields.get(2).and_then(|n| n.parse().ok()).ok_or_else(bad)?;
            let first = fields.len().checked_sub(n_senses).and_then(|at| fields.get(at)).ok_or_else(bad)?;
            let synset = *at_offset.get(first).ok_or_else(bad)?;
            wordnet.first_sense.insert(fields[0].replace('_', " "), synset);
        }
        if wordnet.synsets.is_empty() || wordnet.first_sense.is_empty() {
            return Err("no nouns in it".to_owned());
        }
        wordnet.measure_depths();
        Ok(wordnet)
    }

    /// Breadth first from the top.
    fn measure_depths(&mut self) {
        let mut below = vec![Vec::new(); self.synsets.len()];
        let mut level = Vec::new();
        for (at, entry) in self.synsets.iter_mut().enumerate() {
            entry.depth = u32::MAX;
            if entry.above.is_empty() {
                entry.depth = 0;
                level.push(at);
            }
            entry.above.iter().for_each(|&above| below[above].push(at));
        }
        let mut depth = 0;
        while !level.is_empty() {
            depth += 1;
            let mut next = Vec::new();
            for &lower in level.iter().flat_map(|&at| &below[at]) {
                if self.synsets[lower].depth == u32::MAX {
                    self.synsets[lower].depth = depth;
                    next.push(lower);
                }
            }
            level = next;
        }
    }

    /// The first sense of a word, or of its singular.
    pub(super) fn first_sense(&self, word: &str) -> Option<Synset> {
        let find = |word: &str| self.first_sense.get(word).copied();
        find(word).or_else(|| {
            let stem = word.strip_suffix('s')?;
            find(stem)
                .or_else(|| find(&format!("{}y", stem.strip_suffix("ie")?)))
                .or_else(|| find(stem.strip_suffix('e')?))
        })
    }

    /// Direct hypernyms.
    pub(super) fn above(&self, synset: Synset) -> &[Synset] {
        &self.synsets[synset].above
    }

    /// Steps to the top by the shortest way.
    pub(super) fn depth(&self, synset: Synset) -> u32 {
        self.synsets[synset].depth
    }

    /// The first of its words whose first sense it is: the word it can be known by.
    pub(super) fn word(&self, synset: Synset) -> Option<&str> {
        let words = &self.synsets[synset].words;
        words.iter().find(|word| self.first_sense.get(*word) == Some(&synset)).map(String::as_str)
    }

    /// Whether `top` is the synset or above it.
    fn is_below(&self, synset: Synset, top: Synset) -> bool {
        let mut open = vec![synset];
        while let Some(at) = open.pop() {
            if at == top {
                return true;
            }
            open.extend(self.above(at));
        }
        false
    }

    /// Names of single places (cities, regions, states …) by which a first sense is meant, with what
    /// each is part of, nearest first. In no certain order.
    pub(super) fn places(&self) -> Vec<(&str, Vec<&str>)> {
        let Some(top) = self.first_sense("location") else { return Vec::new() };
        let mut places = Vec::new();
        for (word, &synset) in &self.first_sense {
            if self.synsets[synset].is_instance && self.is_below(synset, top) {
                let mut wholes = Vec::new();
                let mut at = synset;
                while let Some(&whole) = self.synsets[at].wholes.first()
                    && wholes.len() < 8
                {
                    wholes.extend(self.synsets[whole].words.iter().map(String::as_str));
                    at = whole;
                }
                places.push((word.as_str(), wholes));
            }
        }
        places
    }
}

type Links<'a> = Vec<(&'a str, &'a str)>;

/// `offset file type n_words(hex) (word id)… n_pointers (symbol offset pos source/target)… | gloss`
fn synset(line: &str) -> Option<(Entry, &str, Links<'_>)> {
    let mut fields = line.split(" | ").next()?.split_ascii_whitespace();
    let offset = fields.next()?;
    let n_words = usize::from_str_radix(fields.nth(2)?, 16).ok()?;
    let mut entry = Entry::default();
    for _ in 0..n_words {
        entry.words.push(fields.next()?.replace('_', " ").to_lowercase());
        fields.next()?;
    }
    let n_pointers: usize = fields.next()?.parse().ok()?;
    let mut links = Vec::new();
    for _ in 0..n_pointers {
        let (symbol, to, part) = (fields.next()?, fields.next()?, fields.next()?);
        fields.next()?;
        if part == "n" && matches!(symbol, "@" | "@i" | "#p") {
            links.push((symbol, to));
        }
    }
    Some((entry, offset, links))
}

fn cut(line: &str) -> String {
    line.chars().take(60).collect()
}

fn fault(path: &Path, what: String) -> GraphError {
    GraphError::Input { setting: "graph.wordnet", path: path.to_owned(), what }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A few lines of our own in the format of `data.noun`.
    pub(in crate::graph) const DATA: &str = "  1 a licence\n\
        00000001 03 n 01 entity 0 000 | top\n\
        00000002 15 n 01 location 0 001 @ 00000001 n 0000 | a place\n\
        00000003 15 n 01 city 0 001 @ 00000002 n 0000 | large\n\
        00000004 15 n 02 Lutetia 0 Old_Lutetia 0 002 @i 00000003 n 0000 #p 00000005 n 0000 | an old city\n\
        00000005 15 n 01 Gaul 0 001 @i 00000002 n 0000 | a region\n\
        00000006 05 n 01 beast 0 001 @ 00000001 n 0000 | alive\n\
        00000007 05 n 02 dog 0 hound 1 001 @ 00000006 n 0000 | barks\n\
        00000008 05 n 01 dog 1 001 @ 00000001 n 0000 | another\n";
    pub(in crate::graph) const INDEX: &str = "  1 a licence\n\
        entity n 1 0 1 0 00000001\n\
        location n 1 1 @ 1 0 00000002\n\
        city n 1 1 @ 1 0 00000003\n\
        lutetia n 1 2 @i #p 1 0 00000004\n\
        gaul n 1 1 @i 1 0 00000005\n\
        beast n 1 1 @ 1 0 00000006\n\
        dog n 2 1 @ 2 0 00000007 00000008\n\
        hound n 1 1 @ 1 0 00000007\n";

    #[test]
    fn senses_hypernyms_and_places_are_read() {
        let wordnet = WordNet::parse(DATA, INDEX).unwrap();
        let dog = wordnet.first_sense("dogs").unwrap();
        assert_eq!(wordnet.word(dog), Some("dog"));
        let beast = wordnet.above(dog)[0];
        assert_eq!((wordnet.word(beast), wordnet.depth(dog)), (Some("beast"), 2));
        let second = wordnet.synsets.iter().position(|entry| entry.words == ["dog"]).unwrap();
        assert_eq!(wordnet.word(second), None, "not the first sense of its word");
        let mut places = wordnet.places();
        places.sort();
        assert_eq!(places, [("gaul", vec![]), ("lutetia", vec!["gaul"])]);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(WordNet::parse("hello\n", INDEX).is_err());
        assert!(WordNet::parse(DATA, "hello\n").is_err());
        assert!(WordNet::parse("", "").is_err());
        let error = WordNet::read(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(error.starts_with("setting `graph.wordnet`"), "{error}");
    }
}
