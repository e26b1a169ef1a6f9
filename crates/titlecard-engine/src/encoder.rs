//! The contrastive static encoder on a working folder: training it on films and questions, and a picture
//! of the space it learned.
//!
//! What a question is trained against is the record of its film, `title. tags`. Films of the train split
//! alone take part, also as wrong answers; so do their questions. A sentence or two of an overview
//! against the rest of the record make up most of the pairs, and other texts about a film (plots, say) can
//! be added from a file.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use wordvec::WordVecError;
use wordvec::encoder::{
    EncoderConfig, Pair, Side, StaticEncoder, TextEncoder, TokenBag, hard_negatives, train_encoder,
};
use wordvec::write::Precision;

use crate::artifact::{ArtifactError, write_bytes};
use crate::catalogue::{Film, Split, open_decompressed, split_of};
use crate::config::Config;
use crate::eval::plots::COLOURS;
use crate::eval::queries::Query;
use crate::eval::tasks::EvalError;
use crate::pipeline::{PipelineError, Workspace, load_word_vectors};
use crate::progress::{Interrupted, Progress, Report, tell};
use crate::text::{Tokenizer, TokenizerConfig};

/// Settings of [`train`].
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderSettings {
    /// How the encoder is trained.
    pub training: EncoderConfig,
    /// Rows for words outside the vocabulary.
    pub n_buckets: usize,
    /// How often a question takes part in an epoch; sentences and other texts take part once.
    pub question_copies: usize,
    /// Trainings one after the other; before each but the first, hard negatives are looked for.
    pub rounds: usize,
    /// File with more texts about films: JSON lines with `film_id` and `text`.
    pub texts: Option<PathBuf>,
    /// Word vectors to start from, instead of those of the working folder.
    pub start: Option<PathBuf>,
    /// Encoders trained besides, each without the films of one fold.
    pub folds: usize,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        let training = EncoderConfig {
            epochs: 1,
            hard_negatives: 0,
            random_negatives: 2048,
            dropout: 0.5,
            ..EncoderConfig::default()
        };
        Self {
            training,
            n_buckets: 1 << 16,
            question_copies: 4,
            rounds: 1,
            texts: None,
            start: None,
            folds: 0,
        }
    }
}

/// What [`train`] did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderSummary {
    /// Films of the train split.
    pub n_films: usize,
    /// Questions used.
    pub n_questions: usize,
    /// Pairs in all.
    pub n_pairs: usize,
    /// Components of a vector, and lengths it can be cut to.
    pub dims: Vec<usize>,
    /// The saved encoder.
    pub path: PathBuf,
}

/// Where the encoder of a working folder is.
pub fn encoder_path(workspace: &Workspace) -> PathBuf {
    workspace.root().join("models/encoder.tcse")
}

/// Lengths a vector can be cut to, where it is longer.
const SHORTER: [usize; 3] = [64, 128, 256];
/// Fewest tokens of a sentence that asks, and of a rest that answers.
const LEAST_TOKENS: (usize, usize) = (8, 12);
/// First hard negatives passed over: they may be right.
const PASSED_OVER: usize = 5;

/// One line of a file of texts about films.
#[derive(Deserialize)]
struct TextLine {
    film_id: String,
    text: String,
}

/// Trains an encoder from the word vectors of the working folder and saves it.
///
/// With folds, as many more encoders are trained, each without the films of one fold: what such an
/// encoder says of a question about a film of its fold is as honest as what the encoder says of a question
/// nobody has seen, so that a ranker can be trained on it ([`fold_path`], [`fold_of`]).
///
/// # Errors
/// [`PipelineError`] if files are missing or damaged, no film is in the train split, none of the queries
/// given can be used, or it was stopped.
pub fn train(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    queries: &[Query],
    settings: &EncoderSettings,
    report: &mut Report<'_>,
) -> Result<EncoderSummary, PipelineError> {
    let vectors = match &settings.start {
        Some(path) => wordvec::read::read_path(path, &wordvec::read::ReadOptions::default())?.0,
        None => load_word_vectors(workspace, config)?.0,
    };
    let texts = settings.texts.as_deref().map(read_texts).transpose()?.unwrap_or_default();
    let path = encoder_path(workspace);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
    }
    let material = Material { config, films, queries, texts: &texts, settings, vectors: &vectors };
    for fold in 0..settings.folds {
        let (encoder, _) = material.train(Some((fold, settings.folds)), report)?;
        encoder.save(&fold_path(workspace, fold), Precision::F16)?;
    }
    let (encoder, summary) = material.train(None, report)?;
    encoder.save(&path, Precision::F16)?;
    Ok(EncoderSummary { path, ..summary })
}

/// Fold of a film, of `n_folds`; fixed by its id.
pub fn fold_of(film_id: &str, n_folds: usize) -> usize {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(b"titlecard-fold:");
    hash.update(film_id.as_bytes());
    usize::from(hash.finalize()[0]) % n_folds.max(1)
}

/// Where the encoder is that was trained without the films of a fold.
pub fn fold_path(workspace: &Workspace, fold: usize) -> PathBuf {
    workspace.root().join(format!("models/encoder-fold-{fold}.tcse"))
}

/// Everything an encoder is trained from.
struct Material<'a> {
    config: &'a Config,
    films: &'a [Film],
    queries: &'a [Query],
    texts: &'a [(String, String)],
    settings: &'a EncoderSettings,
    vectors: &'a wordvec::WordVectors,
}

impl Material<'_> {
    /// Trains one encoder, without the films of a fold (its number, and how many there are).
    fn train(
        &self,
        left_out: Option<(usize, usize)>,
        report: &mut Report<'_>,
    ) -> Result<(StaticEncoder, EncoderSummary), PipelineError> {
        let Self { config, films, queries, settings, vectors, .. } = self;
        let tokenizer = word_tokenizer();
        let dims: Vec<usize> =
            SHORTER.into_iter().filter(|dim| *dim < vectors.dim()).chain([vectors.dim()]).collect();
        let mut encoder = StaticEncoder::new(vectors, &dims, settings.n_buckets, config.run.seed)?;
        let bag = |text: &str| bag_of(&encoder, tokenizer, text);

        let takes_part = |film: &&Film| {
            split_of(&film.id, &config.split) == Split::Train
                && left_out.is_none_or(|(fold, n_folds)| fold_of(&film.id, n_folds) != fold)
        };
        let in_train: Vec<&Film> = films.iter().filter(takes_part).collect();
        tell(report, "counting words of films", 0, in_train.len(), "")?;
        let mut documents: Vec<TokenBag> = in_train.par_iter().map(|film| bag(&record(film))).collect();
        let number: HashMap<&str, u32> =
            in_train.iter().enumerate().map(|(at, film)| (film.id.as_str(), at as u32)).collect();

        let mut pairs = Vec::new();
        let mut add =
            |query: TokenBag, document: u32| pairs.push(Pair { query, document, negatives: Vec::new() });
        let mut n_questions = 0;
        for query in *queries {
            let usable = query.split.is_none_or(|split| split == Split::Train);
            if let (true, Some(&document)) = (usable, number.get(query.film_id.as_str())) {
                n_questions += 1;
                let question = bag(&query.text);
                for _ in 0..settings.question_copies {
                    add(question.clone(), document);
                }
                for piece in pieces(&in_train[document as usize].plot, PIECES_OF_ANSWER) {
                    add(question.clone(), documents.len() as u32);
                    documents.push(bag(piece));
                }
            }
        }
        if !queries.is_empty() && n_questions == 0 {
            let why = format!(
                "none of the {} given asks for a training film of this catalogue; check `film_id` and `split` in \
                 the file",
                queries.len()
            );
            return Err(EvalError::NoQuery { why }.into());
        }
        for (film, at) in in_train.iter().zip(0_u32..) {
            if let Some((sentence, rest)) = sentence_and_rest(film, config.run.seed) {
                let (query, document) = (bag(&sentence), bag(&rest));
                if query.len() >= LEAST_TOKENS.0 && document.len() >= LEAST_TOKENS.1 {
                    add(query, documents.len() as u32);
                    documents.push(document);
                }
            }
            for piece in pieces(&film.plot, PIECES_OF_PLOT) {
                add(bag(piece), at);
            }
        }
        for (film_id, text) in self.texts {
            if let Some(&document) = number.get(film_id.as_str()) {
                add(bag(text), document);
            }
        }
        let n_pairs = pairs.len();
        let of_films: Vec<u32> = (0..in_train.len() as u32).collect();
        let step = match left_out {
            Some(_) => "training the encoder of a fold",
            None => "training the encoder",
        };
        for round in 0..settings.rounds as u64 {
            if round > 0 && settings.training.hard_negatives > 0 {
                tell(report, "looking for hard negatives", 0, n_pairs, "")?;
                let found = hard_negatives(&encoder, &documents, &of_films, &pairs, PASSED_OVER, 30);
                pairs.iter_mut().zip(found).for_each(|(pair, negatives)| pair.negatives = negatives);
            }
            let training = EncoderConfig { seed: config.run.seed + round, ..settings.training.clone() };
            train_encoder(&mut encoder, &documents, &pairs, &training, &mut |state| {
                let note = format!("loss {:.3}", state.loss);
                let (done, total) = (state.steps_done as u64, state.steps_total as u64);
                report(&Progress { step, done, total, note: &note })
            })
            .map_err(|error| match error {
                WordVecError::Interrupted => Interrupted { step: "training the encoder" }.into(),
                error => PipelineError::from(error),
            })?;
        }
        let n_films = in_train.len();
        Ok((encoder, EncoderSummary { n_films, n_questions, n_pairs, dims, path: PathBuf::new() }))
    }
}

/// Pieces of a plot paired with the record of its film, and with every question about it.
const PIECES_OF_PLOT: usize = 3;
const PIECES_OF_ANSWER: usize = 2;
/// Length of a piece, in bytes: some 40 to 120 words.
const PIECE_BYTES: (usize, usize) = (220, 700);

/// Passages a plot is found by: the whole, and its pieces where it has several; none without a plot.
pub(crate) fn passages(plot: &str) -> Vec<&str> {
    const MOST: usize = 6;
    if plot.is_empty() {
        return Vec::new();
    }
    let pieces = pieces(plot, MOST);
    std::iter::once(plot)
        .chain(pieces.into_iter().filter(|piece| piece.len() + PIECE_BYTES.0 < plot.len()))
        .collect()
}

/// At most `most` pieces of a text, evenly spread, each of whole words; none of a text too short for one.
fn pieces(text: &str, most: usize) -> Vec<&str> {
    if text.len() < PIECE_BYTES.0 {
        return Vec::new();
    }
    let n = (text.len() / PIECE_BYTES.1).clamp(1, most);
    let bound = |at: usize| {
        let mut at = at.min(text.len());
        while at < text.len() && !text[..at].ends_with(' ') {
            // Forward to the next word, over whole characters.
            at += 1;
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
        at
    };
    (0..n)
        .map(|piece| {
            let mut start = text.len() * piece / n;
            while !text.is_char_boundary(start) {
                start += 1;
            }
            let start = if start == 0 { 0 } else { bound(start) };
            let mut end = (start + PIECE_BYTES.1).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text[start..bound(end)].trim()
        })
        .filter(|piece| piece.len() >= PIECE_BYTES.0 / 2)
        .collect()
}

/// The tokenizer of everything the encoder reads: all words, unstemmed, since it learns their weights.
pub(crate) fn word_tokenizer() -> Tokenizer {
    Tokenizer::new(TokenizerConfig::default())
}

pub(crate) fn bag_of(encoder: &(impl TextEncoder + ?Sized), tokenizer: Tokenizer, text: &str) -> TokenBag {
    encoder.count(&tokenizer.tokens(text))
}

/// Text of a film that is searched.
pub(crate) fn record(film: &Film) -> String {
    format!("{}. {}", film.title, film.tags)
}

/// A sentence of the overview, and the record without it; none for overviews of fewer than three.
fn sentence_and_rest(film: &Film, seed: u64) -> Option<(String, String)> {
    let sentences: Vec<&str> =
        film.overview.split_inclusive(['.', '!', '?']).map(str::trim).filter(|part| part.len() > 3).collect();
    if sentences.len() < 3 {
        return None;
    }
    // Any sentence, the same one every time.
    let mixed =
        film.id.bytes().fold(seed, |mixed, byte| (mixed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let chosen = (mixed >> 33) as usize % sentences.len();
    let sentence = sentences[chosen];
    let record = record(film);
    let at = record.find(sentence)?;
    Some((sentence.to_owned(), format!("{} {}", &record[..at], &record[at + sentence.len()..])))
}

fn read_texts(path: &Path) -> Result<Vec<(String, String)>, PipelineError> {
    let reader = open_decompressed(path).map_err(ArtifactError::io("open", path))?;
    let mut texts = Vec::new();
    for line in reader.lines() {
        let line = line.map_err(ArtifactError::io("read", path))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed: Result<TextLine, _> = serde_json::from_str(&line);
        let TextLine { film_id, text } =
            parsed.map_err(|error| ArtifactError::io("read", path)(std::io::Error::other(error)))?;
        texts.push((film_id, text));
    }
    Ok(texts)
}

/// Formats of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Scalable, with text as text.
    Svg,
    /// Pixels.
    Png,
}

impl PictureFormat {
    /// The format that the end of the name says, in capitals or not.
    ///
    /// # Errors
    /// [`PipelineError::PictureName`].
    pub fn of(path: &Path) -> Result<Self, PipelineError> {
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
        match end.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(PipelineError::PictureName { path: path.to_owned() }),
        }
    }
}

/// A picture of the space: films of the most frequent genres in two dimensions.
///
/// Films with one genre among the `n_genres` most frequent ones are shown, at most `per_genre` of each,
/// by the first two principal components of the genres' means: the plane in which the means lie
/// furthest apart. Genres differ by marker and colour, and their names stand at their medians. Returns how
/// many films are shown. The end of the name says the format.
///
/// # Errors
/// [`PipelineError`] if the name ends in neither `.svg` nor `.png`, there is no film to show or files cannot be read or written.
pub fn plot_space(
    encoder: &StaticEncoder,
    films: &[Film],
    n_genres: usize,
    per_genre: usize,
    path: &Path,
) -> Result<usize, PipelineError> {
    let format = PictureFormat::of(path)?;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    films.iter().flat_map(|film| &film.genres).for_each(|genre| *counts.entry(genre).or_default() += 1);
    let mut genres: Vec<(&str, usize)> = counts.into_iter().collect();
    genres.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    genres.truncate(n_genres.min(COLOURS.len()));
    let tokenizer = word_tokenizer();
    let mut shown: Vec<(usize, &Film)> = Vec::new();
    let mut n_of = vec![0; genres.len()];
    for film in films {
        let of: Vec<usize> =
            (0..genres.len()).filter(|&at| film.genres.iter().any(|genre| genre == genres[at].0)).collect();
        if let [genre] = of[..]
            && n_of[genre] < per_genre
            && film.overview.len() > 100
        {
            n_of[genre] += 1;
            shown.push((genre, film));
        }
    }
    if shown.len() < 2 {
        return Err(WordVecError::Empty.into());
    }
    let dim = encoder.dim();
    let mut rows = vec![0.0_f32; shown.len() * dim];
    rows.par_chunks_mut(dim).zip(&shown).for_each(|(row, (_, film))| {
        // The overview alone: the record names the genres.
        encoder.encode_bag(&bag_of(encoder, tokenizer, &film.overview), Side::Document, row);
    });
    let axes =
        axes_between(&rows, dim, &shown.iter().map(|(genre, _)| *genre).collect::<Vec<_>>(), genres.len());
    let points: Vec<(usize, f64, f64)> = shown
        .iter()
        .zip(rows.chunks_exact(dim))
        .map(|((genre, _), row)| {
            let along = |axis: &[f64]| row.iter().zip(axis).map(|(x, a)| f64::from(*x) * a).sum::<f64>();
            (*genre, along(&axes[0]), along(&axes[1]))
        })
        .collect();
    let names: Vec<&str> = genres.iter().map(|(name, _)| *name).collect();
    let picture = match format {
        PictureFormat::Svg => draw_svg(&points, &names).map(String::into_bytes),
        PictureFormat::Png => draw_png(&points, &names),
    }
    .map_err(|what| ArtifactError::io("draw", path)(std::io::Error::other(what)))?;
    write_bytes(path, &picture)?;
    Ok(shown.len())
}

/// First two principal components of the groups' means, `[2][dim]`, of length 1.
fn axes_between(rows: &[f32], dim: usize, group: &[usize], n_groups: usize) -> [Vec<f64>; 2] {
    let mut means = vec![vec![0.0; dim]; n_groups];
    let mut counts = vec![0.0_f64; n_groups];
    for (row, &of) in rows.chunks_exact(dim).zip(group) {
        means[of].iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        counts[of] += 1.0;
    }
    means.iter_mut().zip(&counts).for_each(|(mean, n)| mean.iter_mut().for_each(|x| *x /= n.max(1.0)));
    let centre: Vec<f64> =
        (0..dim).map(|d| means.iter().map(|mean| mean[d]).sum::<f64>() / n_groups as f64).collect();
    means.iter_mut().for_each(|mean| mean.iter_mut().zip(&centre).for_each(|(x, c)| *x -= c));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut axes: Vec<Vec<f64>> = Vec::new();
    for _ in 0..2 {
        let mut axis: Vec<f64> = (0..dim).map(|d| 1.0 + (d as f64 * 0.618_033_988_75).fract()).collect();
        for _ in 0..100 {
            let mut next = vec![0.0; dim];
            for mean in &means {
                let along = dot(mean, &axis);
                next.iter_mut().zip(mean).for_each(|(x, m)| *x += along * m);
            }
            for before in &axes {
                let along = dot(&next, before);
                next.iter_mut().zip(before).for_each(|(x, b)| *x -= along * b);
            }
            let length = dot(&next, &next).sqrt();
            if length == 0.0 {
                break;
            }
            axis = next.into_iter().map(|x| x / length).collect();
        }
        axes.push(axis);
    }
    let second = axes.pop().unwrap_or_default();
    [axes.pop().unwrap_or_default(), second]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Width and height of the picture in pixels.
const PICTURE_SIZE: (u32, u32) = (1100, 800);

fn draw_svg(points: &[(usize, f64, f64)], names: &[&str]) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, PICTURE_SIZE).into_drawing_area();
        try_draw(&area, points, names).map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

fn draw_png(points: &[(usize, f64, f64)], names: &[&str]) -> Result<Vec<u8>, String> {
    let (width, height) = PICTURE_SIZE;
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, PICTURE_SIZE).into_drawing_area();
        try_draw(&area, points, names).map_err(|error| error.to_string())?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn try_draw<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    points: &[(usize, f64, f64)],
    names: &[&str],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    crate::eval::plots::register_fonts();
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.fill(&WHITE)?;
    area.draw_text("Films by what their overviews say, coloured by genre", &text(24), (30, 12))?;
    let note = format!(
        "{} films of one of these genres each; plane in which the genres' means lie furthest apart",
        points.len()
    );
    area.draw_text(&note, &text(14), (30, 44))?;
    let range = |values: Vec<f64>| {
        let (low, high) =
            values.iter().fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        let margin = (high - low).max(1e-9) * 0.04;
        low - margin..high + margin
    };
    let (left, legend) = area.margin(72, 16, 16, 16).split_horizontally(900);
    let chart = ChartBuilder::on(&left).build_cartesian_2d(
        range(points.iter().map(|point| point.1).collect()),
        range(points.iter().map(|point| point.2).collect()),
    )?;
    left.draw(&PathElement::new([(0, 0), (899, 0), (899, 711), (0, 711), (0, 0)], RGBColor(190, 190, 190)))?;
    for &(genre, x, y) in points {
        let place = chart.backend_coord(&(x, y));
        mark(area, genre, place, COLOURS[genre].mix(0.55).to_rgba())?;
    }
    let mut placed: Vec<(i32, i32, i32)> = Vec::new();
    for (genre, name) in names.iter().enumerate() {
        let of = |value: fn(&(usize, f64, f64)) -> f64| {
            median(points.iter().filter(|point| point.0 == genre).map(value).collect())
        };
        let (x, y) = chart.backend_coord(&(of(|point| point.1), of(|point| point.2)));
        let half = 5 * name.chars().count() as i32 + 6;
        // A name that would cover another stands below it.
        let mut y = y;
        while placed
            .iter()
            .any(|&(other_x, other_y, other)| (x - other_x).abs() < half + other && (y - other_y).abs() < 26)
        {
            y += 27;
        }
        placed.push((x, y, half));
        let corners = [(x - half, y - 12), (x + half, y + 12)];
        area.draw(&Rectangle::new(corners, WHITE.mix(0.85).filled()))?;
        area.draw(&Rectangle::new(corners, COLOURS[genre].stroke_width(2)))?;
        area.draw_text(name, &text(17), (x - half + 6, y - 9))?;
        let at = 20 + 28 * genre as i32;
        let (base_x, base_y) = legend.get_base_pixel();
        mark(area, genre, (base_x + 16, base_y + at), COLOURS[genre].to_rgba())?;
        legend.draw_text(name, &text(15), (30, at - 9))?;
    }
    area.present()
}

/// Markers differ by shape as well as by colour.
fn mark<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    genre: usize,
    (x, y): (i32, i32),
    colour: RGBAColor,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    match genre % 4 {
        0 => area.draw(&Circle::new((x, y), 3, colour.filled())),
        1 => area.draw(&Rectangle::new([(x - 3, y - 3), (x + 3, y + 3)], colour.filled())),
        2 => area.draw(&TriangleMarker::new((x, y), 5, colour.filled())),
        _ => area.draw(&Cross::new((x, y), 3, colour.stroke_width(1))),
    }
}

/// Opens the encoder of a working folder.
///
/// # Errors
/// [`PipelineError`] if it is missing or damaged.
pub fn open(workspace: &Workspace) -> Result<StaticEncoder, PipelineError> {
    let path = encoder_path(workspace);
    let bytes = crate::artifact::read_bytes(&path, "titlecard train encoder")?;
    Ok(StaticEncoder::from_bytes(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::silent;
    use crate::sample;

    #[test]
    fn the_encoder_of_the_sample_is_trained_saved_opened_and_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path());
        let mut films = Vec::new();
        let options = crate::catalogue::ReadOptions::default();
        sample::read_films(&options, &mut |film| {
            films.push(film);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        let queries = sample::queries().unwrap();
        let settings = EncoderSettings {
            n_buckets: 256,
            training: EncoderConfig {
                epochs: 2,
                batch: 32,
                random_negatives: 32,
                ..EncoderSettings::default().training
            },
            ..EncoderSettings::default()
        };
        let config = Config::default();
        let unknown = [Query { film_id: "no such film".to_owned(), ..queries[0].clone() }];
        let error = train(&workspace, &config, &films, &unknown, &settings, &mut silent).unwrap_err();
        assert!(error.to_string().contains("none of the 1 given asks for a training film"), "{error}");
        let summary = train(&workspace, &config, &films, &queries, &settings, &mut silent).unwrap();
        assert!(summary.n_questions > 20 && summary.n_pairs > summary.n_questions, "{summary:?}");
        assert!(summary.n_films < films.len(), "films of other splits take no part");
        let encoder = open(&workspace).unwrap();
        assert_eq!(encoder.dims(), summary.dims);
        let path = folder.path().join("space.svg");
        let n_shown = plot_space(&encoder, &films, 6, 100, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(n_shown > 50 && svg.contains("coloured by genre"), "{n_shown} films");
        let path = folder.path().join("space.PNG");
        assert_eq!(plot_space(&encoder, &films, 6, 100, &path).unwrap(), n_shown);
        let decoder = png::Decoder::new(std::io::Cursor::new(std::fs::read(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height), PICTURE_SIZE);
        let n_coloured = pixels.as_chunks::<3>().0.iter().filter(|p| p[0].abs_diff(p[2]) > 60).count();
        assert!(n_coloured > 50 * 9, "markers are drawn: {n_coloured} coloured pixels");
        let path = folder.path().join("space.jpg");
        let error = plot_space(&encoder, &films, 6, 100, &path).unwrap_err().to_string();
        assert!(error.contains("space.jpg") && error.contains("`.svg` or `.png`"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_sentence_is_cut_out_of_the_record() {
        let overview = "A man walks. He finds a red balloon! Does it follow him home?";
        let film = Film {
            id: "5".to_owned(),
            title: "Balloon".to_owned(),
            overview: overview.to_owned(),
            tags: format!("{overview} Drama"),
            ..Film::default()
        };
        let (sentence, rest) = sentence_and_rest(&film, 1).unwrap();
        assert!(overview.contains(&sentence) && !rest.contains(&sentence));
        assert!(rest.starts_with("Balloon") && rest.ends_with("Drama"));
        assert!(sentence_and_rest(&Film { overview: "One. Two.".to_owned(), ..film }, 1).is_none());
    }
}
