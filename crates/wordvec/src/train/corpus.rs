//! Text as numbers of words, in memory or in a scratch file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::WordVecError;
use crate::read::open_path;

/// Mark after every sentence.
pub(crate) const SENTENCE_END: u32 = u32::MAX;

/// Sentences that can be gone through more than once.
pub trait SentenceSource {
    /// Calls `with` for every sentence, in the same order every time.
    ///
    /// # Errors
    /// What `with` gives, or [`WordVecError::Io`].
    fn for_each(
        &mut self,
        with: &mut dyn FnMut(&[&str]) -> Result<(), WordVecError>,
    ) -> Result<(), WordVecError>;
}

/// A text file, plain, `.gz` or `.zst`: a sentence a line, words between white space.
///
/// Lines of more than [`TextFile::LONGEST`] words are cut, so that a file without line feeds does not
/// have to fit into memory.
#[derive(Debug, Clone)]
pub struct TextFile {
    path: PathBuf,
}

impl TextFile {
    /// Most words of a sentence, as in gensim.
    pub const LONGEST: usize = 10_000;

    /// The file at `path`, opened when it is gone through.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl SentenceSource for TextFile {
    fn for_each(
        &mut self,
        with: &mut dyn FnMut(&[&str]) -> Result<(), WordVecError>,
    ) -> Result<(), WordVecError> {
        let mut reader = open_path(&self.path)?;
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line without end is read in parts; a word at the cut falls apart, once in megabytes.
            if Read::take(&mut reader, 16 << 20).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let words: Vec<&str> = text.split_whitespace().collect();
            for sentence in words.chunks(Self::LONGEST) {
                with(sentence)?;
            }
        }
    }
}

/// What of a text to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorpusOptions {
    /// Words that occur less often are dropped.
    pub min_count: u64,
    /// Most words of the vocabulary; the rarest go.
    pub max_vocab: Option<usize>,
    /// Most different words held while counting. When there are more, the rarest are forgotten (first
    /// those seen once, next time those seen twice, and so on), as word2vec does; counts of words that
    /// come and go are then too low.
    pub max_distinct: Option<usize>,
    /// Folder for a scratch file that holds the text as numbers; in memory if none. The file is removed
    /// with the corpus.
    pub scratch: Option<PathBuf>,
}

/// Text as numbers of words, with the vocabulary.
#[derive(Debug)]
pub struct Corpus {
    words: Vec<String>,
    counts: Vec<u64>,
    tokens: Tokens,
    n_tokens: u64,
    n_seen: u64,
}

/// Word numbers; [`SENTENCE_END`] after every sentence.
#[derive(Debug)]
enum Tokens {
    Memory(Vec<u32>),
    File(ScratchFile),
}

/// A file that goes when this does.
#[derive(Debug)]
struct ScratchFile {
    path: PathBuf,
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // What cannot be removed stays in a scratch folder; there is nobody to tell.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Words and how often they occur, while counting.
#[derive(Default)]
struct Counter {
    number: HashMap<String, u32>,
    counts: Vec<u64>,
}

impl Counter {
    fn add(&mut self, token: &str) -> u32 {
        let at = if let Some(&at) = self.number.get(token) {
            at
        } else {
            let at = self.counts.len() as u32;
            self.number.insert(token.to_owned(), at);
            self.counts.push(0);
            at
        };
        self.counts[at as usize] += 1;
        at
    }

    /// Forgets words seen `least` times or less.
    fn prune(&mut self, least: u64) {
        let old = std::mem::take(&mut self.counts);
        let counts = &mut self.counts;
        self.number.retain(|_, at| {
            let count = old[*at as usize];
            if count > least {
                *at = counts.len() as u32;
                counts.push(count);
            }
            count > least
        });
    }

    /// The vocabulary by falling frequency, equal ones in alphabetical order: word and old number.
    fn vocabulary(self, min_count: u64, max_vocab: Option<usize>) -> Result<Vocabulary, WordVecError> {
        let counts = self.counts;
        let mut kept: Vec<(String, u32)> =
            self.number.into_iter().filter(|(_, at)| counts[*at as usize] >= min_count.max(1)).collect();
        kept.sort_unstable_by(|a, b| {
            counts[b.1 as usize].cmp(&counts[a.1 as usize]).then_with(|| a.0.cmp(&b.0))
        });
        kept.truncate(max_vocab.unwrap_or(usize::MAX));
        if kept.len() < 2 {
            return Err(WordVecError::TooLittleText { n_words: kept.len(), min_count });
        }
        Ok(Vocabulary { kept, counts })
    }
}

struct Vocabulary {
    /// Word and number while counting.
    kept: Vec<(String, u32)>,
    /// By number while counting.
    counts: Vec<u64>,
}

impl Vocabulary {
    fn into_corpus(self, tokens: Tokens, n_seen: u64) -> Corpus {
        let counts: Vec<u64> = self.kept.iter().map(|(_, old)| self.counts[*old as usize]).collect();
        let n_tokens = counts.iter().sum();
        Corpus {
            words: self.kept.into_iter().map(|(word, _)| word).collect(),
            counts,
            tokens,
            n_tokens,
            n_seen,
        }
    }
}

impl Corpus {
    /// Counts words, drops those rarer than `min_count` (and beyond `max_vocab`), numbers the rest by
    /// falling frequency, equal ones in alphabetical order.
    ///
    /// # Errors
    /// [`WordVecError::TooLittleText`] if fewer than two words are left.
    pub fn from_sentences<S: AsRef<str>>(
        sentences: impl IntoIterator<Item = impl IntoIterator<Item = S>>,
        min_count: u64,
        max_vocab: Option<usize>,
    ) -> Result<Self, WordVecError> {
        let mut counter = Counter::default();
        let mut tokens = Vec::new();
        for sentence in sentences {
            tokens.extend(sentence.into_iter().map(|token| counter.add(token.as_ref())));
            tokens.push(SENTENCE_END);
        }
        let n_seen = counter.counts.iter().sum();
        let vocabulary = counter.vocabulary(min_count, max_vocab)?;
        let mut renumber = vec![SENTENCE_END; vocabulary.counts.len()];
        for (new, (_, old)) in vocabulary.kept.iter().enumerate() {
            renumber[*old as usize] = new as u32;
        }
        tokens.retain_mut(|token| {
            if *token == SENTENCE_END {
                return true;
            }
            *token = renumber[*token as usize];
            *token != SENTENCE_END
        });
        Ok(vocabulary.into_corpus(Tokens::Memory(tokens), n_seen))
    }

    /// Counts words in one pass and numbers the text in a second, so that only the vocabulary (and,
    /// without a scratch folder, the numbers) has to fit into memory.
    ///
    /// # Errors
    /// [`WordVecError::TooLittleText`], or [`WordVecError::Io`].
    pub fn from_source(
        source: &mut dyn SentenceSource,
        options: &CorpusOptions,
    ) -> Result<Self, WordVecError> {
        let mut counter = Counter::default();
        let (mut n_seen, mut least) = (0, 0);
        source.for_each(&mut |sentence| {
            for token in sentence {
                counter.add(token);
            }
            n_seen += sentence.len() as u64;
            while options.max_distinct.is_some_and(|most| counter.counts.len() > most.max(2)) {
                least += 1;
                counter.prune(least);
            }
            Ok(())
        })?;
        let vocabulary = counter.vocabulary(options.min_count, options.max_vocab)?;
        let number: HashMap<&str, u32> =
            vocabulary.kept.iter().enumerate().map(|(new, (word, _))| (word.as_str(), new as u32)).collect();
        let mut encode = |put: &mut dyn FnMut(u32) -> Result<(), WordVecError>| {
            source.for_each(&mut |sentence| {
                for token in sentence.iter().filter_map(|token| number.get(token)) {
                    put(*token)?;
                }
                put(SENTENCE_END)
            })
        };
        let tokens = if let Some(folder) = &options.scratch {
            let path = folder.join(format!("wordvec-{}-{n_seen}.tokens", std::process::id()));
            let scratch = ScratchFile { path };
            let file = File::create_new(&scratch.path)
                .map_err(|source| WordVecError::Open { path: scratch.path.clone(), source })?;
            let mut out = BufWriter::with_capacity(1 << 20, file);
            encode(&mut |token| Ok(out.write_all(&token.to_le_bytes())?))?;
            out.flush()?;
            Tokens::File(scratch)
        } else {
            let mut tokens = Vec::new();
            encode(&mut |token| {
                tokens.push(token);
                Ok(())
            })?;
            Tokens::Memory(tokens)
        };
        drop(number);
        Ok(vocabulary.into_corpus(tokens, n_seen))
    }

    /// The vocabulary, most frequent word first.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// How often each word occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Words of text inside the vocabulary.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Words of text read, those outside the vocabulary included.
    pub fn n_seen(&self) -> u64 {
        self.n_seen
    }

    /// The text in pieces of about `length` words, cut at sentence ends.
    pub(crate) fn pieces(&self, length: usize) -> Result<Pieces<'_>, WordVecError> {
        Ok(match &self.tokens {
            Tokens::Memory(tokens) => Pieces::Memory { rest: tokens, length },
            Tokens::File(scratch) => {
                let mut file = File::open(&scratch.path)?;
                file.seek(SeekFrom::Start(0))?;
                Pieces::File { reader: BufReader::with_capacity(1 << 20, file), length }
            }
        })
    }
}

/// Pieces of a text in order.
#[derive(Debug)]
pub(crate) enum Pieces<'c> {
    Memory { rest: &'c [u32], length: usize },
    File { reader: BufReader<File>, length: usize },
}

impl<'c> Iterator for Pieces<'c> {
    type Item = Result<Cow<'c, [u32]>, WordVecError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory { rest, length } => {
                let (piece, after) = first_piece(rest, *length)?;
                *rest = after;
                Some(Ok(Cow::Borrowed(piece)))
            }
            Self::File { reader, length } => {
                let mut piece = Vec::with_capacity(*length + 64);
                let mut bytes = [0; 4];
                while piece.len() < *length || piece.last() != Some(&SENTENCE_END) {
                    match reader.fill_buf() {
                        Ok([]) => break,
                        Ok(_) => {}
                        Err(error) => return Some(Err(error.into())),
                    }
                    if let Err(error) = reader.read_exact(&mut bytes) {
                        return Some(Err(error.into()));
                    }
                    piece.push(u32::from_le_bytes(bytes));
                }
                (!piece.is_empty()).then_some(Ok(Cow::Owned(piece)))
            }
        }
    }
}

fn first_piece(tokens: &[u32], length: usize) -> Option<(&[u32], &[u32])> {
    if tokens.is_empty() {
        return None;
    }
    let from = length.clamp(1, tokens.len());
    let end = tokens[from - 1..].iter().position(|&token| token == SENTENCE_END);
    Some(tokens.split_at(end.map_or(tokens.len(), |end| from + end)))
}

/// Cuts text at sentence ends into pieces of about `length` words.
pub(crate) fn cut_at_sentences(mut tokens: &[u32], length: usize) -> impl Iterator<Item = &[u32]> {
    std::iter::from_fn(move || {
        let (piece, rest) = first_piece(tokens, length)?;
        tokens = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_is_sorted_by_count_then_word() {
        let corpus =
            Corpus::from_sentences(["b a c a".split(' '), "c b rare b".split(' ')], 2, None).unwrap();
        assert_eq!(corpus.words(), ["b", "a", "c"]);
        assert_eq!(corpus.counts(), [3, 2, 2]);
        assert_eq!((corpus.n_tokens(), corpus.n_seen()), (7, 8));
        let Tokens::Memory(tokens) = &corpus.tokens else { panic!("not in memory") };
        assert_eq!(tokens, &[0, 1, 2, 1, SENTENCE_END, 2, 0, 0, SENTENCE_END]);
    }

    #[test]
    fn too_little_text_is_refused() {
        let one = Corpus::from_sentences(["a a a".split(' ')], 1, None).unwrap_err();
        assert!(matches!(one, WordVecError::TooLittleText { n_words: 1, .. }));
        let none: [std::str::Split<'_, char>; 0] = [];
        assert!(Corpus::from_sentences(none, 1, None).is_err());
    }

    #[test]
    fn pieces_end_with_sentences_and_lose_nothing() {
        let tokens: Vec<u32> = (0..100).map(|at| if at % 7 == 6 { SENTENCE_END } else { at }).collect();
        for length in [1, 5, 10, 99, 1000] {
            let cut: Vec<&[u32]> = cut_at_sentences(&tokens, length).collect();
            assert_eq!(cut.concat(), tokens);
            for piece in &cut[..cut.len() - 1] {
                assert_eq!(piece.last(), Some(&SENTENCE_END));
            }
        }
    }

    #[test]
    fn a_streamed_text_is_the_same_in_memory_and_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.zst");
        let lines: Vec<String> = (0..500).map(|n| format!("a w{} b w{}\n", n % 17, n % 5)).collect();
        let text = lines.concat();
        std::fs::write(&path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
        let options = CorpusOptions { min_count: 20, ..CorpusOptions::default() };
        let in_memory = Corpus::from_source(&mut TextFile::new(&path), &options).unwrap();
        let direct = Corpus::from_sentences(text.lines().map(str::split_whitespace), 20, None).unwrap();
        let scratch = Some(folder.path().to_owned());
        let in_file =
            Corpus::from_source(&mut TextFile::new(&path), &CorpusOptions { scratch, ..options }).unwrap();
        for corpus in [&in_memory, &in_file] {
            assert_eq!((corpus.words(), corpus.counts()), (direct.words(), direct.counts()));
            assert_eq!(corpus.n_seen(), direct.n_seen());
            let pieces = |corpus: &Corpus| -> Vec<Vec<u32>> {
                corpus.pieces(100).unwrap().map(|piece| piece.unwrap().into_owned()).collect()
            };
            assert_eq!(pieces(corpus), pieces(&direct));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(in_file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the scratch file stays behind");
    }

    #[test]
    fn rare_words_are_forgotten_while_counting() {
        struct Words(Vec<String>);
        impl SentenceSource for Words {
            fn for_each(
                &mut self,
                with: &mut dyn FnMut(&[&str]) -> Result<(), WordVecError>,
            ) -> Result<(), WordVecError> {
                self.0.iter().try_for_each(|word| with(&[word, "often", "also"]))
            }
        }
        let mut source = Words((0..1000).map(|n| n.to_string()).collect());
        let options = CorpusOptions { min_count: 1, max_distinct: Some(50), ..CorpusOptions::default() };
        let corpus = Corpus::from_source(&mut source, &options).unwrap();
        assert!(corpus.words().len() <= 51, "{} words", corpus.words().len());
        assert_eq!(corpus.words()[..2], ["also", "often"]);
        assert_eq!((corpus.counts()[0], corpus.n_seen()), (1000, 3000));
    }
}
