//! The journal of changes: what was acknowledged is on disk before anybody is told so.
//!
//! A file of lines, `CRC32 JSON`, each a change of one film. A batch is appended in one write, flushed to disk,
//! and only then acknowledged; its last line is marked as the end, so a batch that was cut off half-way counts as a whole
//! or not at all. When changes have been built into catalogue, graph and index, the journal is written anew without
//! them and renamed into its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use titlecard_engine::artifact::{ArtifactError, write_bytes};
use titlecard_engine::catalogue::Film;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {action} the journal `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A line before the last batch is not what was written.
    #[error(
        "the journal `{}`, line {line}: {what}; changes behind it cannot be trusted, so put the file aside, remove \
         the lines from there on, and send those changes again", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What does not fit.
        what: String,
    },
    /// Writing it anew failed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// A change of one film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Change {
    /// The film is added, or takes the place of the one with its id.
    Put {
        /// The film.
        film: Box<Film>,
    },
    /// The film goes.
    Delete {
        /// Its id.
        id: String,
    },
    /// Nothing changes: everything up to this number has been built in. So numbers go on rising.
    Built,
}

impl Change {
    /// The film it is about.
    pub fn id(&self) -> &str {
        match self {
            Self::Put { film } => &film.id,
            Self::Delete { id } => id,
            Self::Built => "",
        }
    }
}

/// A change with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number, rising by one.
    pub seq: u64,
    /// Whether a batch ends here.
    pub end: bool,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
}

/// The opened journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Length of the whole batches.
    len: u64,
    entries: Vec<Entry>,
    last_seq: u64,
    /// Set when a write failed and could not be undone: nothing more is taken then.
    broken: bool,
}

fn line_of(entry: &Entry) -> Result<String, io::Error> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

fn parse(line: &str) -> Result<Entry, String> {
    let (sum, json) = line.split_once(' ').ok_or("no checksum")?;
    let sum = u32::from_str_radix(sum, 16).map_err(|_| "no checksum".to_owned())?;
    if crc32fast::hash(json.as_bytes()) != sum {
        return Err("its checksum differs".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// Whole batches of `bytes`, and how many bytes they take.
fn read_batches(bytes: &[u8], path: &Path) -> Result<(Vec<Entry>, usize), JournalError> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut n_whole, mut whole, mut at) = (0, 0, 0);
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        at += line.len();
        let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        let parsed = text.ok_or_else(|| "it is not whole".to_owned()).and_then(parse);
        match parsed {
            Ok(entry) => {
                let is_end = entry.end;
                entries.push(entry);
                if is_end {
                    (n_whole, whole) = (entries.len(), at);
                }
            }
            // A write that was cut off leaves a tail without an end of batch; an end behind means damage.
            Err(what) => {
                let is_tail = !bytes[at..].split(|&byte| byte == b'\n').any(|line| {
                    std::str::from_utf8(line).ok().and_then(|line| parse(line).ok()).is_some_and(|e| e.end)
                });
                if is_tail {
                    break;
                }
                return Err(JournalError::Damaged { path: path.to_owned(), line: number + 1, what });
            }
        }
    }
    entries.truncate(n_whole);
    Ok((entries, whole))
}

impl Journal {
    /// Opens the journal at `path`, or begins one. What a write that was cut off left behind its last whole batch
    /// was never acknowledged, and is removed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let fail = |action: &'static str| {
            let path = path.to_owned();
            move |source| JournalError::Io { action, path, source }
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail("make the folder of"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail("read"))?;
        let (mut entries, whole) = read_batches(&bytes, path)?;
        if whole < bytes.len() {
            tracing::warn!(n_bytes = bytes.len() - whole, "a change that was never acknowledged is left out");
            file.set_len(whole as u64).map_err(fail("shorten"))?;
        }
        file.sync_all().map_err(fail("flush"))?;
        sync_folder(path);
        let last_seq = entries.last().map_or(0, |entry| entry.seq);
        entries.retain(|entry| entry.change != Change::Built);
        Ok(Self { path: path.to_owned(), file, len: whole as u64, entries, last_seq, broken: false })
    }

    /// Reads the journal at `path` and changes nothing: the number of changes in it that are not built in, and of bytes
    /// behind its last whole batch, which [`Journal::open`] takes for a write that was cut off, and removes.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn check(path: &Path) -> Result<(usize, usize), JournalError> {
        let bytes = fs::read(path).map_err(|source| JournalError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let (entries, whole) = read_batches(&bytes, path)?;
        let n_changes = entries.iter().filter(|entry| entry.change != Change::Built).count();
        Ok((n_changes, bytes.len() - whole))
    }

    /// Changes that are not built in yet, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of the last change ever taken.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Appends a batch and flushes it to disk: when this returns, the changes survive the end of the process and
    /// of the machine.
    ///
    /// # Errors
    /// [`JournalError::Io`]; none of the batch is then taken.
    pub fn append(&mut self, changes: Vec<Change>) -> Result<u64, JournalError> {
        let fail = |action: &'static str, source: io::Error| JournalError::Io {
            action,
            path: self.path.clone(),
            source,
        };
        if self.broken {
            return Err(fail("write", io::Error::other("an earlier write failed; restart the server")));
        }
        let n = changes.len();
        let first = self.last_seq + 1;
        let batch: Vec<Entry> = changes
            .into_iter()
            .enumerate()
            .map(|(at, change)| Entry { seq: first + at as u64, end: at + 1 == n, change })
            .collect();
        let mut text = String::new();
        for entry in &batch {
            text.push_str(&line_of(entry).map_err(|error| fail("write", error))?);
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // After a failed flush nobody knows what is on disk; take nothing more than what stood before.
            self.broken = self.file.set_len(self.len).and_then(|()| self.file.sync_all()).is_err();
            return Err(fail("write", error));
        }
        self.len += text.len() as u64;
        self.last_seq += n as u64;
        self.entries.extend(batch);
        Ok(self.last_seq)
    }

    /// Leaves out the changes up to number `seq`, which have been built in.
    ///
    /// # Errors
    /// [`JournalError`]; the journal is then as it was.
    pub fn forget(&mut self, seq: u64) -> Result<(), JournalError> {
        let mut text = String::new();
        let kept: Vec<Entry> = self.entries.iter().filter(|entry| entry.seq > seq).cloned().collect();
        let built = Entry { seq: seq.min(self.last_seq), end: true, change: Change::Built };
        for entry in std::iter::once(&built).chain(&kept) {
            text.push_str(&line_of(entry).map_err(|source| JournalError::Io {
                action: "write",
                path: self.path.clone(),
                source,
            })?);
        }
        write_bytes(&self.path, text.as_bytes())?;
        self.file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(|source| {
            // The old file is still open and no longer in its place: a write into it would be lost.
            self.broken = true;
            JournalError::Io { action: "open", path: self.path.clone(), source }
        })?;
        self.len = text.len() as u64;
        self.entries = kept;
        Ok(())
    }
}

fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
}

/// The films of a catalogue after changes: a changed film keeps its place, a new one comes last.
pub fn apply<'c>(films: Vec<Film>, changes: impl IntoIterator<Item = &'c Change>) -> Vec<Film> {
    use std::collections::HashMap;
    let mut place: HashMap<String, usize> =
        films.iter().enumerate().map(|(at, film)| (film.id.clone(), at)).collect();
    let mut films: Vec<Option<Film>> = films.into_iter().map(Some).collect();
    for change in changes {
        match change {
            Change::Put { film } => match place.get(&film.id) {
                Some(&at) => films[at] = Some((**film).clone()),
                None => {
                    place.insert(film.id.clone(), films.len());
                    films.push(Some((**film).clone()));
                }
            },
            Change::Delete { id } => {
                if let Some(at) = place.remove(id) {
                    films[at] = None;
                }
            }
            Change::Built => {}
        }
    }
    films.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: &str, title: &str) -> Change {
        Change::Put {
            film: Box::new(Film { id: id.into(), title: title.into(), tags: "x".into(), ..Film::default() }),
        }
    }

    fn delete(id: &str) -> Change {
        Change::Delete { id: id.into() }
    }

    #[test]
    fn what_was_acknowledged_is_there_after_every_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server/journal");
        let mut journal = Journal::open(&path).unwrap();
        let mut acknowledged = vec![(0, 0)];
        for batch in
            [vec![put("1", "Jaws")], vec![put("2", "Alien"), delete("1")], vec![put("3", "Ümlaut\nline")]]
        {
            let seq = journal.append(batch).unwrap();
            acknowledged.push((fs::metadata(&path).unwrap().len(), seq));
        }
        let bytes = fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let expected = acknowledged.iter().rev().find(|(len, _)| *len <= cut as u64).unwrap().1;
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.last_seq(), expected, "cut at {cut}");
            // Writing goes on behind what is whole.
            journal.append(vec![delete("9")]).unwrap();
            assert_eq!(Journal::open(&path).unwrap().last_seq(), expected + 1);
        }
    }

    /// A journal as it was first written; every later release must open it, and change nothing by that.
    #[test]
    fn a_journal_of_the_first_format_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let saved = include_bytes!("../../../fixtures/saved/journal_v1");
        fs::write(&path, saved).unwrap();
        let changed = path.metadata().unwrap().modified().unwrap();
        assert_eq!(Journal::check(&path).unwrap(), (2, 0));
        let journal = Journal::open(&path).unwrap();
        assert_eq!((journal.entries().len(), journal.last_seq()), (2, 9));
        let Change::Put { film } = &journal.entries()[0].change else { panic!("{:?}", journal.entries()) };
        assert_eq!((film.title.as_str(), film.year, film.genres.len()), ("The Matrix", Some(1999), 1));
        assert_eq!(journal.entries()[1].change, delete("78"));
        assert_eq!(fs::read(&path).unwrap(), saved);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), changed);
    }

    #[test]
    fn damage_before_the_last_batch_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(vec![put("1", "Jaws")]).unwrap();
        journal.append(vec![put("2", "Alien")]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("Jaws", "Jowl", 1)).unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 1: its checksum differs"), "{error}");
    }

    #[test]
    fn what_is_built_in_is_forgotten_and_numbers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        for id in ["1", "2", "3"] {
            journal.append(vec![put(id, "x")]).unwrap();
        }
        journal.forget(2).unwrap();
        assert_eq!(journal.append(vec![delete("1")]).unwrap(), 4);
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.entries().iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3, 4]);
        journal.forget(4).unwrap();
        let mut again = Journal::open(&path).unwrap();
        assert_eq!((again.entries().len(), again.append(vec![delete("1")]).unwrap()), (0, 5));
    }

    #[test]
    fn changes_are_made_in_order() {
        let film = |id: &str, title: &str| match put(id, title) {
            Change::Put { film } => *film,
            Change::Delete { .. } | Change::Built => unreachable!(),
        };
        let films = vec![film("1", "a"), film("2", "b"), film("3", "c")];
        let changes = [put("2", "B"), put("4", "d"), delete("1"), delete("none"), put("1", "A"), delete("4")];
        let expected = vec![film("2", "B"), film("3", "c"), film("1", "A")];
        assert_eq!(apply(films.clone(), &changes), expected);
        // Made twice, as after a crash between building and forgetting, they change nothing more.
        assert_eq!(apply(apply(films, &changes), &changes), expected);
    }
}
