//! What search opens: text index, film vectors, title vectors and the models that made them, as one state.
//!
//! An index folder holds `manifest.json` and one generation, a folder named by its content:
//!
//! ```text
//! index/manifest.json            written last, by renaming: the one commit point
//! index/gen-4f1c…/text/          text index
//!                 tags.tcvi      SIF vector of every film's tags
//!                 titles.tcvi    vector of every title, pooled as the regressor wants it
//!                 vectors.tcwv   word vectors, 8 bits a component
//!                 sif.json       word weights and common direction of SIF
//!                 regressor.safetensors
//!                 facts.tcff     year, votes and whether there is a plot, of every film
//!                 encoder.tcse, encoded.tcvi, encoded-plots.tcvi
//!                                the trained encoder, if there is one, and its vectors of records and plots
//! ```
//!
//! A build that stops half-way leaves a `.building-…` folder that the next build removes, and the
//! manifest still names the old generation.

pub mod facts;
pub mod layout;
pub mod lexical;
pub mod vectors;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use wordvec::WordVectors;
use wordvec::encoder::{MappedEncoder, Side, StaticEncoder, TextEncoder};
use wordvec::pool::Sif;

use crate::artifact::{
    ArtifactError, FileStamp, Manifest, films_stamp, hex, read_bytes, sync_folder, write_atomically,
    write_bytes,
};
use crate::catalogue::Film;
use crate::config::{Config, ServerConfig};
use crate::embedding::{Embedder, Pooling};
use crate::progress::{Interrupted, Report, tell};
use crate::regressor::{Regressor, RegressorError};
use crate::text::Tokenizer;
use facts::Facts;
use layout::Layout;
use lexical::{LexicalError, LexicalIndex};
use vectors::{RoundedQuery, VectorError, VectorIndex};

/// Why an index could not be built or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// There is nothing to index.
    #[error("the catalogue is empty: there is nothing to index; check the report of `titlecard prepare`")]
    EmptyCatalogue,
    /// A file cannot be written, found or trusted.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The text index.
    #[error(transparent)]
    Lexical(#[from] LexicalError),
    /// The film or title vectors.
    #[error(transparent)]
    Vectors(#[from] VectorError),
    /// The word vectors inside the index.
    #[error("word vectors of the index: {0}")]
    WordVectors(#[from] wordvec::WordVecError),
    /// The regressor inside the index.
    #[error(transparent)]
    Regressor(#[from] RegressorError),
    /// Files of the index do not belong together.
    #[error("the index in `{}` is inconsistent: {what}; remake it with `titlecard index`", folder.display())]
    Inconsistent {
        /// The index folder.
        folder: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

const MANIFEST: &str = "manifest.json";
const TEXT: &str = "text";
const TAG_VECTORS: &str = "tags.tcvi";
const TITLE_VECTORS: &str = "titles.tcvi";
const WORD_VECTORS: &str = "vectors.tcwv";
const SIF: &str = "sif.json";
const REGRESSOR: &str = "regressor.safetensors";
const FACTS: &str = "facts.tcff";
const ENCODER: &str = "encoder.tcse";
const ENCODED: &str = "encoded.tcvi";
const ENCODED_PLOTS: &str = "encoded-plots.tcvi";
const COMMAND: &str = "titlecard index";

/// An opened index: one consistent state of catalogue, vectors and models.
pub struct SearchIndex {
    /// Text of the films.
    pub lexical: LexicalIndex,
    /// SIF vectors of the films' tags, `[n_films, dim]`.
    pub tag_vectors: VectorIndex,
    /// Vectors of the titles, `[n_films, dim]`, pooled as the regressor wants them.
    pub title_vectors: VectorIndex,
    /// Turns queries into vectors.
    pub embedder: Embedder,
    /// From the vector of a description to that of a title.
    pub regressor: Arc<Regressor>,
    /// The trained encoder with its vectors, if one was trained.
    pub encoded: Option<Encoded>,
    /// Year, votes and plots of the films.
    pub facts: Facts,
    /// The manifest it was opened by.
    pub manifest: Manifest,
}

/// The trained encoder and what it makes of the films.
pub struct Encoded {
    encoder: Arc<dyn TextEncoder + Send + Sync>,
    records: VectorIndex,
    /// One row for every passage of a plot, in the order of the films ([`Facts::passages_of`]).
    plots: VectorIndex,
}

impl Encoded {
    /// Encodes the films into memory: for encoders that are no part of an index.
    ///
    /// # Errors
    /// [`VectorError`] if the rows cannot be kept.
    pub fn of_films(encoder: StaticEncoder, films: &[Film]) -> Result<Self, VectorError> {
        let encoder: Arc<dyn TextEncoder + Send + Sync> = Arc::new(encoder);
        Self::of_new(&encoder, &films.iter().collect::<Vec<_>>())
    }

    fn of_new(encoder: &Arc<dyn TextEncoder + Send + Sync>, films: &[&Film]) -> Result<Self, VectorError> {
        let records: Vec<String> = films.par_iter().map(|film| crate::encoder::record(film)).collect();
        let plots = plots_of(films.iter().copied());
        let records = VectorIndex::of_rows(&encode(&**encoder, &records), encoder.dim())?;
        let plots = VectorIndex::of_rows(&encode(&**encoder, &plots), encoder.dim())?;
        Ok(Self { encoder: Arc::clone(encoder), records, plots })
    }

    /// Vector of a question, `[dim]`; zeros if it has no word.
    pub fn question(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0; self.encoder.dim()];
        let bag = crate::encoder::bag_of(&*self.encoder, crate::encoder::word_tokenizer(), text);
        self.encoder.encode_bag(&bag, Side::Query, &mut vector);
        vector
    }

    /// Vector of the record of one film, `[dim]`, as it is stored.
    ///
    /// # Panics
    /// If there is no such film.
    pub fn record(&self, film: usize) -> Vec<f32> {
        self.records.row(film)
    }

    /// Cosine of a rounded question with the record of one film.
    pub fn with_record(&self, question: &RoundedQuery, film: usize) -> f32 {
        self.records.cosine_of(question, film)
    }

    /// Cosine of a rounded question with the nearest passage of a film's plot, if it has one.
    pub fn with_plot(&self, question: &RoundedQuery, facts: &Facts, film: usize) -> Option<f32> {
        facts.passages_of(film as u32).map(|row| self.plots.cosine_of(question, row)).reduce(f32::max)
    }

    /// Cosines of a question with the records of all films, `[n_films]`.
    pub fn with_records(&self, question: &[f32], scores: &mut [f32]) {
        self.records.cosine_all(question, scores);
    }

    /// Cosines of a question with the nearest passages of all films' plots, `[n_films]`; 0 for films without one.
    pub fn with_plots(&self, question: &[f32], facts: &Facts, scores: &mut [f32]) {
        scores.fill(0.0);
        let mut found = vec![0.0; self.plots.len()];
        self.plots.cosine_all(question, &mut found);
        for (&film, rows) in facts.with_plot().iter().zip(facts.plot_rows().windows(2)) {
            let passages = &found[rows[0] as usize..rows[1] as usize];
            scores[film as usize] = passages.iter().copied().fold(f32::MIN, f32::max);
        }
    }
}

impl SearchIndex {
    /// Builds a new generation in `folder` and makes it the current one.
    ///
    /// # Errors
    /// [`IndexError`]; the old index is then as it was.
    pub fn build(
        folder: &Path,
        films: &[Film],
        embedder: &Embedder,
        regressor: &Regressor,
        encoder: Option<&StaticEncoder>,
        config: &Config,
        report: &mut Report<'_>,
    ) -> Result<Manifest, IndexError> {
        if films.is_empty() {
            return Err(IndexError::EmptyCatalogue);
        }
        fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
        remove_leftovers(folder, BUILDING);
        let building = tempfile::Builder::new()
            .prefix(BUILDING)
            .tempdir_in(folder)
            .map_err(ArtifactError::io("create a folder in", folder))?;
        let at = |name: &str| building.path().join(name);

        let text = at(TEXT);
        fs::create_dir(&text).map_err(ArtifactError::io("create folder", &text))?;
        LexicalIndex::build(&text, films, &lexical_tokenizer(config), config.n_threads(), report)?;

        let path = at(WORD_VECTORS);
        write_atomically(&path, |out| {
            wordvec::write::write_tcwv(embedder.vectors(), wordvec::write::Precision::Int8, out)
                .map_err(IndexError::from)
        })?;
        // Films are embedded with the rounded vectors that questions, and films changed later, are embedded with.
        let words: WordVectors = wordvec::read::read_from_bytes(&read_bytes(&path, COMMAND)?)?;
        let embedder = &Embedder::from_parts(Arc::new(words), *embedder.tokenizer(), embedder.sif().clone());

        tell(report, "embedding films", 0, films.len(), "")?;
        let tags: Vec<&str> = films.iter().map(|film| film.tags.as_str()).collect();
        write_vectors(&at(TAG_VECTORS), embedder, &tags, Pooling::Sif)?;
        tell(report, "embedding titles", films.len() / 2, films.len(), "")?;
        let titles: Vec<&str> = films.iter().map(|film| film.title.as_str()).collect();
        write_vectors(&at(TITLE_VECTORS), embedder, &titles, regressor.config().pooling)?;
        tell(report, "embedding titles", films.len(), films.len(), "")?;

        write_bytes(&at(REGRESSOR), &regressor.to_bytes()?)?;
        let sif = serde_json::to_vec(embedder.sif()).map_err(|error| IndexError::Inconsistent {
            folder: folder.to_owned(),
            what: error.to_string(),
        })?;
        write_bytes(&at(SIF), &sif)?;

        write_atomically(&at(FACTS), |out| {
            Facts::write(films, out).map_err(ArtifactError::io("write", &at(FACTS))).map_err(IndexError::from)
        })?;
        if let Some(encoder) = encoder {
            tell(report, "encoding films", 0, films.len(), "")?;
            let records: Vec<String> = films.par_iter().map(crate::encoder::record).collect();
            write_encoded(&at(ENCODED), encoder, &records)?;
            tell(report, "encoding films", films.len() / 2, films.len(), "")?;
            write_encoded(&at(ENCODED_PLOTS), encoder, &plots_of(films))?;
            tell(report, "encoding films", films.len(), films.len(), "")?;
            encoder.save(&at(ENCODER), wordvec::write::Precision::F16)?;
        }

        let files = stamp_files(building.path())?;
        let generation = generation_name(&files);
        let target = folder.join(&generation);
        sync_folder(building.path());
        let building = building.keep();
        if target.exists() {
            // The same content is already there.
            fs::remove_dir_all(&building).map_err(ArtifactError::io("remove", &building))?;
        } else {
            fs::rename(&building, &target).map_err(ArtifactError::io("rename into", &target))?;
        }
        sync_folder(folder);
        let manifest = Manifest {
            format: Manifest::FORMAT.to_owned(),
            format_version: Manifest::VERSION,
            written_by: format!("titlecard {}", env!("CARGO_PKG_VERSION")),
            generation: generation.clone(),
            n_films: films.len(),
            films: Some(films_stamp(films.iter().map(|film| film.id.as_str()))),
            // An index is handed on; how it is served is nobody's business.
            settings: toml::Value::try_from(Config { server: ServerConfig::default(), ..config.clone() })
                .map_err(|error| IndexError::Inconsistent {
                    folder: folder.to_owned(),
                    what: error.to_string(),
                })?,
            files,
        };
        manifest.write(&folder.join(MANIFEST))?;
        remove_other_generations(folder, &generation);
        Ok(manifest)
    }

    /// Opens the current generation in `folder`, checking that every file has the length the
    /// manifest says, and the checksum too if it is small (`thorough`: of every file; see [`Manifest::check_files`]).
    ///
    /// # Errors
    /// [`IndexError`] naming the file and the command that remakes it.
    pub fn open(folder: &Path, thorough: bool) -> Result<Self, IndexError> {
        of_current(folder, |manifest| Self::open_generation(folder, manifest, thorough))
    }

    fn open_generation(folder: &Path, manifest: Manifest, thorough: bool) -> Result<Self, IndexError> {
        let generation = folder.join(&manifest.generation);
        manifest.check_files(&generation, thorough)?;
        let inconsistent = |what: String| IndexError::Inconsistent { folder: folder.to_owned(), what };
        let config: Config = manifest
            .settings
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| inconsistent(error.message().to_owned()))?;

        let lexical = LexicalIndex::open(&generation.join(TEXT), &lexical_tokenizer(&config))?;
        let tag_vectors = VectorIndex::open(&generation, TAG_VECTORS)?;
        let title_vectors = VectorIndex::open(&generation, TITLE_VECTORS)?;
        let words: WordVectors =
            wordvec::read::read_from_bytes(&read_bytes(&generation.join(WORD_VECTORS), COMMAND)?)?;
        let sif: Sif = serde_json::from_slice(&read_bytes(&generation.join(SIF), COMMAND)?)
            .map_err(|error| inconsistent(format!("`{SIF}`: {error}")))?;
        let regressor = Arc::new(Regressor::from_bytes(&read_bytes(&generation.join(REGRESSOR), COMMAND)?)?);

        let facts = Facts::read(&read_bytes(&generation.join(FACTS), COMMAND)?)
            .ok_or_else(|| inconsistent(format!("`{FACTS}` is damaged")))?;
        let encoded = if manifest.files.contains_key(ENCODER) {
            let encoder = MappedEncoder::open(&generation.join(ENCODER))?;
            let records = VectorIndex::open(&generation, ENCODED)?;
            let plots = VectorIndex::open(&generation, ENCODED_PLOTS)?;
            let n_films = records.len();
            let n_passages = facts.plot_rows().last().map_or(0, |&n| n as usize);
            if n_films != manifest.n_films || plots.len() != n_passages {
                return Err(inconsistent(format!(
                    "{n_films} encoded films and {} passages, {} films and {n_passages} passages expected",
                    plots.len(),
                    manifest.n_films
                )));
            }
            if [records.dim(), plots.dim()] != [encoder.dim(); 2] {
                return Err(inconsistent("encoded films of other dimensions than the encoder".to_owned()));
            }
            Some(Encoded { encoder: Arc::new(encoder), records, plots })
        } else {
            None
        };

        for (what, found) in [
            ("films among the facts", facts.n_films()),
            ("films in the text index", lexical.n_films()),
            ("film vectors", tag_vectors.len()),
            ("title vectors", title_vectors.len()),
        ] {
            if found != manifest.n_films {
                return Err(inconsistent(format!(
                    "{found} {what}, {} films in the manifest",
                    manifest.n_films
                )));
            }
        }
        for (what, found) in [
            ("film vectors", tag_vectors.dim()),
            ("title vectors", title_vectors.dim()),
            ("the regressor", regressor.dim()),
        ] {
            if found != words.dim() {
                return Err(inconsistent(format!("{what} of {found} dimensions, words of {}", words.dim())));
            }
        }
        let embedder = Embedder::from_parts(Arc::new(words), word_tokenizer(&config), sif);
        Ok(Self { lexical, tag_vectors, title_vectors, embedder, regressor, encoded, facts, manifest })
    }

    /// Moves the current generation of the index folder `from` into `to` and makes it the current one there; a
    /// second call ends what a first one began.
    ///
    /// # Errors
    /// [`IndexError::Artifact`].
    pub fn publish(from: &Path, to: &Path) -> Result<(), IndexError> {
        let new_manifest = from.join(MANIFEST);
        if !new_manifest.exists() {
            // The manifest is moved last: all is done.
            return Ok(());
        }
        let generation = Manifest::read(&new_manifest)?.generation;
        fs::create_dir_all(to).map_err(ArtifactError::io("create folder", to))?;
        let (source, target) = (from.join(&generation), to.join(&generation));
        if source.exists() && !target.exists() {
            fs::rename(&source, &target).map_err(ArtifactError::io("rename into", &target))?;
            sync_folder(to);
        }
        let manifest = to.join(MANIFEST);
        fs::rename(&new_manifest, &manifest).map_err(ArtifactError::io("rename into", &manifest))?;
        sync_folder(to);
        remove_other_generations(to, &generation);
        Ok(())
    }

    /// Year and votes of the films of the current generation in `folder`, without opening the rest.
    ///
    /// # Errors
    /// [`IndexError`] as for [`SearchIndex::open`].
    pub fn open_facts(folder: &Path) -> Result<Facts, IndexError> {
        of_current(folder, |manifest| {
            let path = folder.join(&manifest.generation).join(FACTS);
            Facts::read(&read_bytes(&path, COMMAND)?).ok_or_else(|| IndexError::Inconsistent {
                folder: folder.to_owned(),
                what: format!("`{FACTS}` is damaged"),
            })
        })
    }

    /// Number of films.
    pub fn n_films(&self) -> usize {
        self.manifest.n_films
    }

    /// The index of a changed catalogue, in memory, with the models of this one: `new` are the films that are new or
    /// changed, and only they are read. It answers as an index built anew of all films with the same models,
    /// SIF's word weights being one of them; tables a few bytes a film are made anew.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn changed(&self, new: &[&Film], layout: &Layout) -> Result<Self, IndexError> {
        if layout.n_films() == 0 {
            return Err(IndexError::EmptyCatalogue);
        }
        let facts_of_new = Facts::of_films(new.iter().copied());
        let embedded = |texts: Vec<&str>, pooling| -> Result<VectorIndex, VectorError> {
            let (rows, _) = self.embedder.embed_all(&texts, pooling);
            VectorIndex::of_rows(rows.as_slice(), self.embedder.dim())
        };
        let tags = embedded(new.iter().map(|film| film.tags.as_str()).collect(), Pooling::Sif)?;
        let pooling = self.regressor.config().pooling;
        let titles = embedded(new.iter().map(|film| film.title.as_str()).collect(), pooling)?;
        let encoded = self.encoded.as_ref().map(|encoded| -> Result<Encoded, VectorError> {
            let fresh = Encoded::of_new(&encoded.encoder, new)?;
            let passages = layout
                .runs_of_rows(|at| self.facts.passages_before(at), |at| facts_of_new.passages_before(at));
            Ok(Encoded {
                encoder: Arc::clone(&encoded.encoder),
                records: encoded.records.with_runs(&fresh.records, layout.runs()),
                plots: encoded.plots.with_runs(&fresh.plots, &passages),
            })
        });
        Ok(Self {
            lexical: self.lexical.changed(new, layout)?,
            tag_vectors: self.tag_vectors.with_runs(&tags, layout.runs()),
            title_vectors: self.title_vectors.with_runs(&titles, layout.runs()),
            embedder: self.embedder.clone(),
            regressor: Arc::clone(&self.regressor),
            encoded: encoded.transpose()?,
            facts: self.facts.changed(&facts_of_new, layout),
            manifest: Manifest { n_films: layout.n_films(), films: None, ..self.manifest.clone() },
        })
    }
}

/// Opens something of the current generation. Another process may make a new generation and remove this one meanwhile:
/// then the new one is opened.
fn of_current<T>(folder: &Path, open: impl Fn(Manifest) -> Result<T, IndexError>) -> Result<T, IndexError> {
    let path = folder.join(MANIFEST);
    loop {
        let manifest = Manifest::read(&path)?;
        let generation = manifest.generation.clone();
        match open(manifest) {
            Err(_) if Manifest::read(&path).is_ok_and(|now| now.generation != generation) => {}
            result => return result,
        }
    }
}

/// The tokenizer of the text index: stop words stay (they carry titles like "It"), words are stemmed.
pub fn lexical_tokenizer(config: &Config) -> Tokenizer {
    Tokenizer::new(crate::text::TokenizerConfig {
        mode: config.text.mode,
        stop_words: true,
        stem: config.text.stem,
    })
}

/// The tokenizer of word vectors: whole words, without stop words.
pub fn word_tokenizer(config: &Config) -> Tokenizer {
    Tokenizer::new(crate::text::TokenizerConfig { mode: config.text.mode, stop_words: false, stem: false })
}

fn write_vectors(
    path: &Path,
    embedder: &Embedder,
    texts: &[&str],
    pooling: Pooling,
) -> Result<(), ArtifactError> {
    let (rows, _) = embedder.embed_all(texts, pooling);
    write_atomically(path, |out| {
        VectorIndex::write(out, rows.as_slice(), embedder.dim()).map_err(ArtifactError::io("write", path))
    })
}

fn write_encoded(
    path: &Path,
    encoder: &StaticEncoder,
    texts: &[impl AsRef<str> + Sync],
) -> Result<(), ArtifactError> {
    let rows = encode(encoder, texts);
    write_atomically(path, |out| {
        VectorIndex::write(out, &rows, encoder.dim()).map_err(ArtifactError::io("write", path))
    })
}

/// Vectors of documents, `[n_texts, dim]`.
fn encode(encoder: &(dyn TextEncoder + Send + Sync), texts: &[impl AsRef<str> + Sync]) -> Vec<f32> {
    let dim = encoder.dim();
    let mut rows = vec![0.0; texts.len() * dim];
    rows.par_chunks_mut(dim).zip(texts).for_each(|(row, text)| {
        let bag = crate::encoder::bag_of(encoder, crate::encoder::word_tokenizer(), text.as_ref());
        encoder.encode_bag(&bag, Side::Document, row);
    });
    rows
}

/// Passages of all plots.
fn plots_of<'f>(films: impl IntoIterator<Item = &'f Film>) -> Vec<&'f str> {
    films.into_iter().flat_map(|film| crate::encoder::passages(&film.plot)).collect()
}

const BUILDING: &str = ".building-";
const GENERATION: &str = "gen-";

/// Stamps every file below `folder`, named by its path inside it with `/`.
fn stamp_files(folder: &Path) -> Result<BTreeMap<String, FileStamp>, ArtifactError> {
    let mut files = BTreeMap::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(ArtifactError::io("list", &folder))? {
            let path = entry.map_err(ArtifactError::io("list", &folder))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                open.push((path, format!("{prefix}{name}/")));
            } else if path.extension().is_none_or(|kind| kind != "lock") {
                files.insert(format!("{prefix}{name}"), FileStamp::of(&path)?);
            }
        }
    }
    Ok(files)
}

fn generation_name(files: &BTreeMap<String, FileStamp>) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (name, stamp) in files {
        hash.update(name.as_bytes());
        hash.update(stamp.sha256.as_bytes());
    }
    format!("{GENERATION}{}", &hex(&hash.finalize())[..16])
}

/// Best effort: a folder that cannot be removed now is removed by the next build.
fn remove_leftovers(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an unfinished build");
        }
    }
}

fn remove_other_generations(folder: &Path, current: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(GENERATION)
            && name != current
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an old generation");
        }
    }
}
