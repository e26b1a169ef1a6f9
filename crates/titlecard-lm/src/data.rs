//! Examples to train on: films put into a template, as tokens with what is to be learned marked.
//!
//! Prompt and completion are tokenised apart, the completion begins with a space and ends with the end
//! token, and only the completion is learned. A prompt that is too long loses words of its longest field,
//! never its frame. Films are split by the engine's fixed hash, as everywhere.

use std::borrow::Cow;

use rayon::prelude::*;
use titlecard_engine::catalogue::{Film, Split, SplitConfig, split_of};

use crate::{Batch, LmError, Tokenizer};

/// Fields of a film that a template may name.
const FIELDS: [&str; 9] =
    ["title", "year", "overview", "genres", "keywords", "cast", "directors", "tags", "plot"];

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Field(&'static str),
}

/// Prompt and completion with places for fields of a film: `Description: {overview}\nTitle:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    prompt: Vec<Piece>,
    completion: Vec<Piece>,
    source: (String, String),
}

impl Template {
    /// Reads a template; `{name}` stands for a field, and `\n` for a line break.
    ///
    /// # Errors
    /// [`LmError::Setting`] if a name is unknown, a brace is left open, or the completion is empty.
    pub fn new(prompt: &str, completion: &str) -> Result<Self, LmError> {
        let template = Self {
            prompt: parse("lm.prompt", prompt)?,
            completion: parse("lm.completion", completion)?,
            source: (prompt.to_owned(), completion.to_owned()),
        };
        if template.completion.is_empty() {
            return Err(LmError::Setting {
                name: "lm.completion",
                found: "empty".to_owned(),
                expected: "what is to be learned, like ` {title}`",
            });
        }
        Ok(template)
    }

    /// `description-to-title`, `title-to-description` or `text`.
    ///
    /// # Errors
    /// [`LmError::Setting`] for another name.
    pub fn named(name: &str) -> Result<Self, LmError> {
        match name {
            "description-to-title" => Self::new("Description: {overview}\nTitle:", " {title}"),
            "title-to-description" => Self::new("Title: {title}\nDescription:", " {overview}"),
            "text" => Self::new("", "{title}\n{overview}"),
            other => Err(LmError::Setting {
                name: "lm.template",
                found: format!("`{other}`"),
                expected: "`description-to-title`, `title-to-description` or `text`",
            }),
        }
    }

    /// Prompt and completion as they were given.
    pub fn source(&self) -> (&str, &str) {
        (&self.source.0, &self.source.1)
    }

    /// Both in one line, for messages.
    pub fn label(&self) -> String {
        format!("{}|{}", self.source.0, self.source.1).replace('\n', "\\n")
    }

    /// Whether all of a text is learned.
    pub fn is_plain_text(&self) -> bool {
        self.prompt.is_empty()
    }

    /// The prompt for a text that is not a film's: every field of the prompt is `text`.
    pub fn prompt_for(&self, text: &str) -> String {
        self.prompt
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Field(_) => text,
            })
            .collect()
    }

    /// What a completion is for a text that stands in place of its fields.
    pub fn completion_for(&self, text: &str) -> String {
        self.completion
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Field(_) => text,
            })
            .collect()
    }

    /// Prompt and completion of a film; none if a field is blank.
    pub fn fill(&self, film: &Film) -> Option<(String, String)> {
        Some((fill(&self.prompt, film, usize::MAX)?, fill(&self.completion, film, usize::MAX)?))
    }
}

fn parse(setting: &'static str, text: &str) -> Result<Vec<Piece>, LmError> {
    let text = text.replace("\\n", "\n");
    let wrong = |found: String| {
        Err(LmError::Setting {
            name: setting,
            found,
            expected: "text with `{title}`, `{year}`, `{overview}`, `{genres}`, `{keywords}`, `{cast}`, \
                       `{directors}`, `{tags}` or `{plot}`",
        })
    };
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('{') {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_owned()));
        }
        let Some(end) = rest[at..].find('}') else { return wrong(format!("`{}`", &rest[at..])) };
        let name = &rest[at + 1..at + end];
        match FIELDS.iter().find(|field| **field == name) {
            Some(field) => pieces.push(Piece::Field(field)),
            None => return wrong(format!("`{{{name}}}`")),
        }
        rest = &rest[at + end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn field<'f>(film: &'f Film, name: &str) -> Cow<'f, str> {
    match name {
        "title" => film.title.as_str().into(),
        "year" => film.year.map_or(String::new(), |year| year.to_string()).into(),
        "overview" => film.overview.as_str().into(),
        "genres" => film.genres.join(", ").into(),
        "keywords" => film.keywords.join(", ").into(),
        "cast" => film.cast.join(", ").into(),
        "directors" => film.directors.join(", ").into(),
        "plot" => film.plot.as_str().into(),
        _ => film.tags.as_str().into(),
    }
}

/// Text of pieces, of the longest field only the first `n_words` words; none if a field is blank.
fn fill(pieces: &[Piece], film: &Film, n_words: usize) -> Option<String> {
    let longest = longest_field(pieces, film);
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Field(name) => {
                let value = field(film, name);
                let value = value.trim();
                if value.is_empty() {
                    return None;
                }
                if Some(*name) == longest && n_words < usize::MAX {
                    text.push_str(&value.split_whitespace().take(n_words).collect::<Vec<_>>().join(" "));
                } else {
                    text.push_str(value);
                }
            }
        }
    }
    Some(text)
}

fn longest_field(pieces: &[Piece], film: &Film) -> Option<&'static str> {
    let fields = pieces.iter().filter_map(|piece| match piece {
        Piece::Field(name) => Some(*name),
        Piece::Text(_) => None,
    });
    fields.max_by_key(|name| field(film, name).len())
}

/// Tokens of one example; those from `n_prompt` on are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// All tokens.
    pub ids: Vec<u32>,
    /// Tokens that are given.
    pub n_prompt: usize,
}

impl Example {
    /// Number of tokens that are learned; the first of a text cannot be.
    pub fn n_targets(&self) -> usize {
        self.ids.len() - self.n_prompt.max(1)
    }

    /// Adds the example to a batch.
    pub fn push_to(&self, batch: &mut Batch) {
        let labelled: Vec<bool> = (0..self.ids.len()).map(|at| at >= self.n_prompt).collect();
        batch.push(&self.ids, &labelled);
    }
}

/// What became of the films.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct DataReport {
    /// Films looked at, of all splits.
    pub n_films: usize,
    /// Films left out: a field of the template is blank.
    pub n_dropped: usize,
    /// Prompts that lost words to fit.
    pub n_shortened: usize,
    /// Completions that were cut to fit; these have no end token.
    pub n_cut: usize,
    /// Tokens of all training examples.
    pub n_train_tokens: usize,
    /// Tokens of these that are learned.
    pub n_train_targets: usize,
}

/// Examples for training, and for choosing when to stop.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// Learned.
    pub train: Vec<Example>,
    /// Only scored.
    pub dev: Vec<Example>,
    /// What became of the films.
    pub report: DataReport,
}

impl Dataset {
    /// Makes examples of at most `context` tokens of films; held-out films are left alone.
    ///
    /// # Errors
    /// [`LmError::NoExamples`] if there is nothing to learn, [`LmError::Setting`] if the template's frame
    /// alone is too long.
    pub fn from_films(
        films: &[Film],
        split: &SplitConfig,
        template: &Template,
        tokenizer: &Tokenizer,
        end: u32,
        context: usize,
    ) -> Result<Self, LmError> {
        let made: Vec<(Split, Made)> = films
            .par_iter()
            .filter_map(|film| {
                let part = split_of(&film.id, split);
                (part != Split::Test).then(|| Ok((part, make(film, template, tokenizer, end, context)?)))
            })
            .collect::<Result<_, LmError>>()?;
        let mut data = Self::default();
        data.report.n_films = films.len();
        for (part, made) in made {
            match made {
                Made::Dropped => data.report.n_dropped += 1,
                Made::Examples { examples, shortened, cut } => {
                    data.report.n_shortened += usize::from(shortened);
                    data.report.n_cut += usize::from(cut);
                    let into = if part == Split::Train { &mut data.train } else { &mut data.dev };
                    into.extend(examples.into_iter().filter(|example| example.n_targets() > 0));
                }
            }
        }
        data.report.n_train_tokens = data.train.iter().map(|example| example.ids.len()).sum();
        data.report.n_train_targets = data.train.iter().map(Example::n_targets).sum();
        if data.train.is_empty() {
            return Err(LmError::NoExamples {
                template: template.label(),
                n_films: films.len(),
                n_dropped: data.report.n_dropped,
            });
        }
        Ok(data)
    }
}

impl Dataset {
    /// Examples of films of whatever split, in their order; films without a field of the template are left
    /// out. A long plain text becomes more than one.
    ///
    /// # Errors
    /// [`LmError::Setting`] if the template's frame alone is too long.
    pub fn examples(
        films: &[Film],
        template: &Template,
        tokenizer: &Tokenizer,
        end: u32,
        context: usize,
    ) -> Result<Vec<Example>, LmError> {
        let mut all = Vec::new();
        for film in films {
            if let Made::Examples { examples, .. } = make(film, template, tokenizer, end, context)? {
                all.extend(examples);
            }
        }
        Ok(all)
    }
}

enum Made {
    Dropped,
    Examples { examples: Vec<Example>, shortened: bool, cut: bool },
}

fn make(
    film: &Film,
    template: &Template,
    tokenizer: &Tokenizer,
    end: u32,
    context: usize,
) -> Result<Made, LmError> {
    let Some((prompt, completion)) = template.fill(film) else { return Ok(Made::Dropped) };
    let mut completion = tokenizer.encode(&completion)?;
    completion.push(end);
    if template.is_plain_text() {
        // A text begins with the end of another; one that is too long goes on in the next example.
        let mut ids = vec![end];
        ids.append(&mut completion);
        let examples = ids.chunks(context).map(|ids| Example { ids: ids.to_vec(), n_prompt: 0 }).collect();
        return Ok(Made::Examples { examples, shortened: false, cut: false });
    }
    let mut ids = tokenizer.encode(&prompt)?;
    // Half the context belongs to the prompt if both are too long.
    let room = context.saturating_sub(completion.len()).max(context / 2);
    let shortened = ids.len() > room;
    let mut n_words = usize::MAX;
    while ids.len() > room {
        let now = n_words.min(longest_words(&template.prompt, film));
        if now == 0 {
            return Err(LmError::Setting {
                name: "lm.context",
                found: context.to_string(),
                expected: "enough for the template without its fields",
            });
        }
        // As many words fewer as tokens are too many, in the end word by word.
        n_words = (now * room / ids.len()).min(now - 1);
        ids = tokenizer.encode(&fill(&template.prompt, film, n_words).unwrap_or_default())?;
    }
    let n_prompt = ids.len();
    let cut = n_prompt + completion.len() > context;
    ids.extend(completion.into_iter().take(context - n_prompt));
    Ok(Made::Examples { examples: vec![Example { ids, n_prompt }], shortened, cut })
}

fn longest_words(pieces: &[Piece], film: &Film) -> usize {
    longest_field(pieces, film).map_or(0, |name| field(film, name).split_whitespace().count())
}

/// Cuts examples, in the order given, into batches of at most `n_tokens` tokens (or one example).
pub fn batches_of(examples: &[Example], order: &[usize], n_tokens: usize) -> Vec<std::ops::Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, &example) in order.iter().enumerate() {
        let n = examples[example].ids.len();
        if at > start && size + n > n_tokens {
            batches.push(start..at);
            (start, size) = (at, 0);
        }
        size += n;
    }
    if start < order.len() {
        batches.push(start..order.len());
    }
    batches
}

/// The batch of some examples.
pub fn batch_of(examples: &[Example], order: &[usize]) -> Batch {
    let mut batch = Batch::default();
    order.iter().for_each(|&example| examples[example].push_to(&mut batch));
    batch
}
