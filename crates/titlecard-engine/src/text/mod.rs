//! The one tokenizer of indexing, word vectors and queries.
//!
//! The default mode lower-cases by Unicode, folds diacritics ("Amélie" and "amelie" are one word) and
//! keeps every script. A token is a run of letters, digits and vowel signs; an apostrophe inside a word
//! joins it ("don't" → `dont`), and a possessive ending goes ("father's" → `father`). Scripts written
//! without spaces (Han, kana, Thai, Lao, Khmer, Burmese) give overlapping pairs of characters, as is
//! usual where there is no dictionary.
//!
//! The compatible mode is the research project's cleaning, token for token: lower-case, everything
//! outside `a-zA-Z0-9` to a space, gensim's stop list, NLTK's `word_tokenize`.
//!
//! ```
//! use titlecard_engine::text::{Tokenizer, TokenizerConfig};
//! let tokenizer = Tokenizer::new(TokenizerConfig::default());
//! assert_eq!(tokenizer.tokens("Amélie's don't-care 七人の侍"), ["amelie", "dont", "care", "七人", "人の", "の侍"]);
//! ```

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

use frostem::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// How text is cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All scripts, diacritics folded.
    #[default]
    Default,
    /// Exactly the research project's tokens: ASCII letters and digits, without gensim's stop words.
    Compatible,
}

/// Settings of a [`Tokenizer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// How text is cleaned.
    pub mode: Mode,
    /// Keep function words ("the", "of"). The compatible mode always drops gensim's.
    pub stop_words: bool,
    /// Reduce English words to their stem (Snowball). Other languages pass through mostly unchanged.
    pub stem: bool,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { mode: Mode::Default, stop_words: true, stem: false }
    }
}

/// Cuts text into tokens; cheap to clone.
#[derive(Debug, Clone, Copy)]
pub struct Tokenizer {
    config: TokenizerConfig,
}

impl Tokenizer {
    /// A tokenizer with these settings.
    pub fn new(config: TokenizerConfig) -> Self {
        Self { config }
    }

    /// The settings.
    pub fn config(&self) -> &TokenizerConfig {
        &self.config
    }

    /// The tokens of `text`, in order.
    pub fn tokens(&self, text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        self.for_each(text, |token| tokens.push(token.to_owned()));
        tokens
    }

    /// Calls `with` for every token, in order, without allocating one each.
    pub fn for_each(&self, text: &str, mut with: impl FnMut(&str)) {
        self.for_each_with_span(text, |token, _| with(token));
    }

    /// [`Tokenizer::for_each`] with the bytes of `text` each token came from.
    pub fn for_each_with_span(&self, text: &str, mut with: impl FnMut(&str, Range<usize>)) {
        let stemmer = self.config.stem.then(|| Stemmer::new(Algorithm::English));
        let mut emit = |token: &str, span: Range<usize>| match &stemmer {
            Some(stemmer) if token.is_ascii() => with(&stemmer.stem(token), span),
            _ => with(token, span),
        };
        match self.config.mode {
            Mode::Default => {
                let stop_words = (!self.config.stop_words).then(stop_words);
                for_each_word(text, &mut |token, span| {
                    if stop_words.is_none_or(|stop_words| !stop_words.contains(token)) {
                        emit(token, span);
                    }
                });
            }
            Mode::Compatible => for_each_compatible(text, &mut emit),
        }
    }
}

/// A title as compared with others: folded, lower-case, words joined by single spaces.
pub fn title_key(title: &str) -> String {
    Tokenizer::new(TokenizerConfig::default()).tokens(title).join(" ")
}

/// Whether `word`, in any case and with or without apostrophes, is an English function word.
pub fn is_stop_word(word: &str) -> bool {
    let mut plain = word.replace(['\'', '\u{2019}', '\u{2bc}'], "");
    plain.make_ascii_lowercase();
    stop_words().contains(plain.as_str())
}

/// English function words of the default mode: words that say nothing of what a film is about.
fn stop_words() -> &'static HashSet<&'static str> {
    static WORDS: OnceLock<HashSet<&'static str>> = OnceLock::new();
    WORDS.get_or_init(|| {
        "a about above after again against all also am an and any are arent as at be because been before being \
         below between both but by can cannot cant could couldnt did didnt do does doesnt doing dont down during \
         each few for from further had hadnt has hasnt have havent having he her here hers herself him himself his \
         how i id if im in into is isnt it its itself ive just me more most my myself no nor not now of off on \
         once only or other our ours ourselves out over own same she should shouldnt so some such than that thats \
         the their theirs them themselves then there theres these they theyre this those through to too under until \
         up upon very was wasnt we were werent what when where which while who whom whose why will with wont would \
         wouldnt you your youre yours yourself yourselves"
            .split_whitespace()
            .collect()
    })
}

/// Stop words of gensim 4.4 (`gensim.parsing.preprocessing.STOPWORDS`), one a line.
fn gensim_stop_words() -> &'static HashSet<&'static str> {
    static WORDS: OnceLock<HashSet<&'static str>> = OnceLock::new();
    WORDS.get_or_init(|| include_str!("gensim_stopwords.txt").lines().collect())
}

/// What a character does to the word it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a word.
    Word,
    /// Part of a text written without spaces.
    Unspaced,
    /// Joins what stands on both sides.
    Apostrophe,
    /// Anything else.
    Separator,
}

fn kind_of(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Kind::Word,
        '\'' | '\u{2019}' | '\u{2bc}' => Kind::Apostrophe,
        _ if c.is_ascii() => Kind::Separator,
        // Thai and Lao; Burmese; Khmer; kana, bopomofo; Han and its extensions.
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{312f}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9d}'
        | '\u{20000}'..='\u{323af}'
        // The mark that repeats a character.
        | '\u{3005}' => Kind::Unspaced,
        _ if c.is_alphanumeric() || is_mark(c) => Kind::Word,
        _ => Kind::Separator,
    }
}

/// Vowel signs and other marks that belong to the letter before them.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c) || matches!(c, '\u{200c}' | '\u{200d}')
}

/// Tokens of the default mode with their places.
fn for_each_word(text: &str, emit: &mut dyn FnMut(&str, Range<usize>)) {
    let bytes = text.as_bytes();
    let mut folded = String::new();
    let mut at = 0;
    while at < text.len() {
        // Skips what separates words; ASCII is looked at byte by byte.
        let Some(c) = char_at(text, bytes, at) else { break };
        let start = at;
        match kind_of(c) {
            Kind::Separator | Kind::Apostrophe => at += c.len_utf8(),
            Kind::Unspaced => {
                while let Some(c) = char_at(text, bytes, at) {
                    if kind_of(c) != Kind::Unspaced && !is_mark(c) {
                        break;
                    }
                    at += c.len_utf8();
                }
                emit_pairs(text, start..at, &mut folded, emit);
            }
            Kind::Word => {
                let mut is_ascii = true;
                while let Some(c) = char_at(text, bytes, at) {
                    match kind_of(c) {
                        Kind::Word => {}
                        Kind::Apostrophe => {
                            let next = char_at(text, bytes, at + c.len_utf8());
                            if next.is_none_or(|next| kind_of(next) != Kind::Word) {
                                break;
                            }
                        }
                        Kind::Unspaced | Kind::Separator => break,
                    }
                    is_ascii &= c.is_ascii();
                    at += c.len_utf8();
                }
                emit_word(&text[start..at], start, is_ascii, &mut folded, emit);
            }
        }
    }
}

fn char_at(text: &str, bytes: &[u8], at: usize) -> Option<char> {
    match bytes.get(at) {
        Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
        Some(_) => text[at..].chars().next(),
        None => None,
    }
}

/// Folds one word and drops apostrophes and a possessive ending.
fn emit_word(
    word: &str,
    start: usize,
    is_ascii: bool,
    folded: &mut String,
    emit: &mut dyn FnMut(&str, Range<usize>),
) {
    let span = start..start + word.len();
    let has_apostrophe = !is_ascii || word.as_bytes().contains(&b'\'');
    let mut word = word;
    if has_apostrophe {
        for ending in ["'s", "\u{2019}s", "'S", "\u{2019}S", "\u{2bc}s"] {
            if let Some(stem) = word.strip_suffix(ending) {
                word = stem;
                break;
            }
        }
    }
    folded.clear();
    if is_ascii {
        folded.extend(
            word.bytes().filter(|byte| *byte != b'\'').map(|byte| char::from(byte.to_ascii_lowercase())),
        );
    } else {
        let mut plain = word.replace(['\'', '\u{2019}', '\u{2bc}'], "");
        // "9½" is 9 and 1/2, not 91/2.
        if let Some(at) = plain.find(is_fraction) {
            plain.insert(at, ' ');
        }
        fold_into(&plain, folded);
    }
    emit_pieces(folded, &span, emit);
}

/// Emits a folded word. Compatibility forms may decompose into several ("½" into 1 and 2, a pointed
/// Arabic ligature into a space and a mark).
fn emit_pieces(folded: &str, span: &Range<usize>, emit: &mut dyn FnMut(&str, Range<usize>)) {
    let separates = |c: char| matches!(kind_of(c), Kind::Separator | Kind::Apostrophe);
    for piece in folded.split(separates).filter(|piece| !piece.is_empty()) {
        emit(piece, span.clone());
    }
}

/// `¼` and the like: one character that stands for two numbers.
fn is_fraction(c: char) -> bool {
    matches!(c, '\u{bc}'..='\u{be}' | '\u{2150}'..='\u{215f}' | '\u{2189}')
}

/// Overlapping pairs of characters, each with the marks that follow it; a single one alone.
fn emit_pairs(text: &str, run: Range<usize>, folded: &mut String, emit: &mut dyn FnMut(&str, Range<usize>)) {
    let mut starts: Vec<usize> = text[run.clone()]
        .char_indices()
        .filter(|(_, c)| !is_mark(*c))
        .map(|(at, _)| run.start + at)
        .collect();
    if starts.first() != Some(&run.start) {
        starts.insert(0, run.start);
    }
    starts.push(run.end);
    let pairs: Vec<Range<usize>> = if starts.len() > 2 {
        starts.windows(3).map(|three| three[0]..three[2]).collect()
    } else {
        vec![run]
    };
    for pair in pairs {
        folded.clear();
        fold_into(&text[pair.clone()], folded);
        emit_pieces(folded, &pair, emit);
    }
}

/// Lower-case, compatibility forms, no diacritics.
///
/// Marks of combining class 200 and above (accents, cedillas) are dropped, and the Hebrew and Arabic
/// points; vowel signs, viramas and the voicing marks of kana are other classes and stay.
fn fold_into(word: &str, folded: &mut String) {
    let is_kept = |c: &char| {
        let class = canonical_combining_class(*c);
        !(class >= 200 || (10..=35).contains(&class) || matches!(c, '\u{200c}' | '\u{200d}'))
    };
    // Decomposing can bring capitals back ("ꟸ" holds an "Ħ"), so lower case comes before and after.
    let lower = word.chars().flat_map(char::to_lowercase).nfkd().filter(is_kept).nfc();
    for c in lower.flat_map(char::to_lowercase) {
        // Letters that are no accented form to Unicode but are to a person with another keyboard.
        match c {
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'ŋ' => folded.push('n'),
            'ŧ' => folded.push('t'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            _ => folded.push(c),
        }
    }
}

/// Tokens of the compatible mode.
fn for_each_compatible(text: &str, emit: &mut dyn FnMut(&str, Range<usize>)) {
    let mut word = String::new();
    let mut start = 0;
    let mut flush = |word: &mut String, span: Range<usize>| {
        if !word.is_empty() && !gensim_stop_words().contains(word.as_str()) {
            match contraction(word) {
                Some(cut) => {
                    emit(&word[..cut], span.clone());
                    emit(&word[cut..], span);
                }
                None => emit(word, span),
            }
        }
        word.clear();
    };
    for (at, c) in text.char_indices() {
        // Python's lower-casing of one character may give several ("İ" → "i" and a dot above).
        for lower in c.to_lowercase() {
            if lower.is_ascii_alphanumeric() {
                if word.is_empty() {
                    start = at;
                }
                word.push(lower);
            } else {
                flush(&mut word, start..at);
            }
        }
    }
    flush(&mut word, start..text.len());
}

/// Where NLTK's `word_tokenize` cuts a word that has only letters and digits: the contractions of the
/// Penn Treebank that have no apostrophe.
fn contraction(word: &str) -> Option<usize> {
    match word {
        "cannot" | "gimme" | "gonna" | "gotta" | "lemme" | "wanna" => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Vec<String> {
        Tokenizer::new(TokenizerConfig::default()).tokens(text)
    }

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        text: String,
        tokens: Vec<String>,
    }

    /// Expected values: gensim and NLTK (fixtures/golden/tokens.py).
    #[test]
    fn compatible_tokens_are_those_of_gensim_and_nltk() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../../../fixtures/golden/tokens.json")).unwrap();
        assert!(golden.cases.len() >= 100);
        let tokenizer = Tokenizer::new(TokenizerConfig { mode: Mode::Compatible, ..Default::default() });
        for case in golden.cases {
            assert_eq!(tokenizer.tokens(&case.text), case.tokens, "{:?}", case.text);
        }
    }

    #[test]
    fn diacritics_fold_and_scripts_stay() {
        assert_eq!(tokens("Amélie ÉTÉ Łódź smørrebrød"), ["amelie", "ete", "lodz", "smorrebrod"]);
        assert_eq!(tokens("Straße Ærø œuvre"), ["strasse", "aero", "oeuvre"]);
        assert_eq!(tokens("Иваново детство"), ["иваново", "детство"]);
        assert_eq!(tokens("हिन्दी फ़िल्म"), ["हिन्दी", "फ़िल्म"]);
        assert_eq!(tokens("기생충 (2019)"), ["기생충", "2019"]);
        assert_eq!(tokens("ﬁlm Ｆｉｌｍ ②"), ["film", "film", "2"]);
        assert_eq!(tokens("مُحَمَّد"), ["محمد"]);
        assert_eq!(tokens("İstanbul"), ["istanbul"]);
        assert_eq!(tokens("9½ weeks \u{fe72}"), ["9", "1", "2", "weeks"]);
    }

    #[test]
    fn text_without_spaces_gives_pairs() {
        assert_eq!(tokens("東京物語"), ["東京", "京物", "物語"]);
        assert_eq!(tokens("羅"), ["羅"]);
        assert_eq!(tokens("ゴジラ2"), ["ゴジ", "ジラ", "2"]);
        assert_eq!(tokens("รักแห่ง").len(), 4);
    }

    #[test]
    fn apostrophes_join_and_possessives_go() {
        assert_eq!(
            tokens("don't the father's O'Brien 'quoted' rock 'n' roll"),
            ["dont", "the", "father", "obrien", "quoted", "rock", "n", "roll"]
        );
        assert_eq!(tokens("Schindler\u{2019}s 90's"), ["schindler", "90"]);
        assert_eq!(tokens("ꟸ"), ["h"]);
        assert_eq!(tokens("well-known, U.S.A. 3.5"), ["well", "known", "u", "s", "a", "3", "5"]);
        assert_eq!(tokens("''' \u{2019} - "), [""; 0]);
    }

    #[test]
    fn stop_words_and_stems_are_optional() {
        let with = |stop_words, stem| {
            Tokenizer::new(TokenizerConfig { mode: Mode::Default, stop_words, stem })
                .tokens("The runners were running")
        };
        assert_eq!(with(true, false), ["the", "runners", "were", "running"]);
        assert_eq!(with(false, false), ["runners", "running"]);
        assert_eq!(with(false, true), ["runner", "run"]);
    }

    #[test]
    fn titles_compare_by_their_words() {
        assert_eq!(title_key("  Amélie: The Return!"), title_key("AMELIE - the return"));
    }

    proptest! {
        #[test]
        fn spans_lie_in_the_text_and_in_order(text in "\\PC{0,60}") {
            for mode in [Mode::Default, Mode::Compatible] {
                let mut last = 0;
                let tokenizer = Tokenizer::new(TokenizerConfig { mode, ..Default::default() });
                tokenizer.for_each_with_span(&text, |token, span| {
                    assert!(!token.is_empty());
                    assert!(text.get(span.clone()).is_some() && span.start >= last, "{token} {span:?}");
                    last = span.start;
                });
            }
        }

        #[test]
        fn ascii_words_go_through_unchanged_but_for_case(words in prop::collection::vec("[a-zA-Z0-9]{1,8}", 0..8)) {
            let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
            prop_assert_eq!(tokens(&words.join(" ")), lower);
        }

        #[test]
        fn tokens_of_tokens_are_the_same(text in "\\PC{0,40}") {
            let once = tokens(&text);
            // Pairs overlap, so only texts with spaces between words keep their tokens.
            if once.iter().flat_map(|token| token.chars()).all(|c| kind_of(c) != Kind::Unspaced) {
                let again = tokens(&once.join(" "));
                prop_assert_eq!(once, again);
            }
        }
    }
}
