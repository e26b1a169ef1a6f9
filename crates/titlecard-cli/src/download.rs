//! Fetching one file over HTTP: resumed after a cut, checked, and under its name only when whole.
//!
//! Bytes go to `NAME.part`; `NAME.part.json` beside it says what they are part of. A later run asks the server for the
//! rest, on condition that the file is still the same one (`If-Range`), and begins anew if it is not. Credentials go to
//! the host that was asked and nowhere else: a redirect is followed without them.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use titlecard_engine::artifact::{FileStamp, write_bytes};
use titlecard_engine::progress::{Interrupted, Progress, Report};

/// What to fetch.
pub(crate) struct Download {
    /// Address.
    pub(crate) url: String,
    /// Value of the header `Authorization`, if any.
    pub(crate) authorization: Option<String>,
    /// SHA-256 that the file must have, lower-case hexadecimal.
    pub(crate) sha256: Option<String>,
    /// Where it goes.
    pub(crate) target: PathBuf,
    /// What to do about an answer 401, 403 or 404.
    pub(crate) refused: &'static str,
    /// How long nothing may come before the connection is given up.
    pub(crate) patience: Duration,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Downloaded {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its length.
    pub(crate) bytes: u64,
    /// Its SHA-256.
    pub(crate) sha256: String,
    /// Bytes that an earlier run had fetched.
    pub(crate) resumed_from: u64,
}

impl Downloaded {
    /// A file that was there before; refused if it is another one than asked for.
    pub(crate) fn already(path: &Path, sha256: Option<&str>) -> anyhow::Result<Self> {
        let stamp = FileStamp::of(path)?;
        if let Some(expected) = sha256.filter(|expected| **expected != stamp.sha256) {
            bail!(
                "`{}` is there already with the checksum {}, expected {expected}; delete it, or say where the other goes \
                 with `--output FILE`",
                path.display(),
                stamp.sha256
            );
        }
        Ok(Self { path: path.to_owned(), bytes: stamp.bytes, sha256: stamp.sha256, resumed_from: 0 })
    }
}

/// What the bytes in a `.part` are part of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    url: String,
    /// Strong `ETag`, else `Last-Modified`; blank if the server gives neither, and then nothing is resumed.
    validator: String,
}

const STEP: &str = "fetching";
/// Attempts in one run, each going on where the last one was cut.
const ATTEMPTS: usize = 4;
/// The longest that "try again later" is obeyed without asking the user.
const LONGEST_WAIT: u64 = 120;
const CHUNK: usize = 1 << 17;

/// How an attempt ended that is not the end.
enum Again {
    /// Cut off; the bytes so far are kept.
    Cut(String),
    /// The server asks to wait.
    Later { seconds: u64, status: u16 },
    /// What is here is of no use.
    Anew,
}

/// Fetches a file.
///
/// # Errors
/// What the server or the file system said, with what to do. After an interruption or a cut the part stays.
pub(crate) fn fetch(download: &Download, report: &mut Report<'_>) -> anyhow::Result<Downloaded> {
    let target = &download.target;
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot create folder `{}`", folder.display()))?;
    }
    let part = beside(target, ".part");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&part)
        .with_context(|| format!("cannot write `{}`", part.display()))?;
    if file.try_lock().is_err() {
        bail!("`{}` is being fetched by another process; wait for it to end", part.display());
    }
    let agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(download.patience))
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut resumed_from = None;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut state = read_part(&part, &download.url);
        if state.validator.is_empty() {
            file.set_len(0)?;
        }
        let here = file.metadata()?.len();
        resumed_from.get_or_insert(here);
        match try_once(download, &agent, &mut file, here, &mut state, &part, report)? {
            None => break,
            Some(_) if attempt >= ATTEMPTS => bail!(
                "`{}` was cut off {ATTEMPTS} times, the part so far is kept; run the same command again to go on",
                download.url
            ),
            Some(Again::Cut(reason)) => {
                tracing::warn!("cut off ({reason}); going on");
                pause(Duration::from_millis(200 << attempt), report)?;
            }
            Some(Again::Later { seconds, status }) => {
                if seconds > LONGEST_WAIT {
                    bail!(
                        "`{}` answers with status {status} and asks to wait {seconds} s; try again then",
                        download.url
                    );
                }
                pause(Duration::from_secs(seconds), report)?;
            }
            Some(Again::Anew) => {
                file.set_len(0)?;
                resumed_from = Some(0);
                let _ = fs::remove_file(beside(&part, ".json"));
            }
        }
    }
    file.sync_all()?;
    let stamp = FileStamp::of(&part)?;
    if let Some(expected) = download.sha256.as_ref().filter(|expected| **expected != stamp.sha256) {
        // Not to be gone on with.
        let _ = fs::remove_file(&part);
        let _ = fs::remove_file(beside(&part, ".json"));
        bail!(
            "`{}` has the checksum {}, expected {expected}; it was deleted, ask whoever gave you the checksum",
            download.url,
            stamp.sha256
        );
    }
    drop(file);
    fs::rename(&part, target).with_context(|| format!("cannot rename into `{}`", target.display()))?;
    let _ = fs::remove_file(beside(&part, ".json"));
    Ok(Downloaded {
        path: target.clone(),
        bytes: stamp.bytes,
        sha256: stamp.sha256,
        resumed_from: resumed_from.unwrap_or(0),
    })
}

fn try_once(
    download: &Download,
    agent: &ureq::Agent,
    file: &mut File,
    here: u64,
    state: &mut Part,
    part: &Path,
    report: &mut Report<'_>,
) -> anyhow::Result<Option<Again>> {
    let url = &download.url;
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if let Some(authorization) = &download.authorization {
        request = request.header("Authorization", authorization);
    }
    if here > 0 {
        request = request.header("Range", format!("bytes={here}-")).header("If-Range", &state.validator);
    }
    tell(report, here, 0)?;
    let response = match request.call() {
        Ok(response) => response,
        Err(ureq::Error::Timeout(_)) => return Ok(Some(Again::Cut("no answer".to_owned()))),
        Err(ureq::Error::Io(error)) if is_cut(error.kind()) => {
            return Ok(Some(Again::Cut(error.to_string())));
        }
        Err(error) => bail!("`{url}` cannot be reached: {error}; is there a network?"),
    };
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let status = response.status().as_u16();
    let start = match status {
        200 => 0,
        206 if here > 0 => {
            // `bytes 100-199/200`.
            let range = header("content-range");
            let start = range.strip_prefix("bytes ").and_then(|rest| rest.split('-').next()?.parse().ok());
            if start != Some(here) {
                return Ok(Some(Again::Anew));
            }
            here
        }
        416 if here > 0 => {
            // The part is the whole, or of another file.
            let whole = header("content-range").rsplit('/').next().and_then(|total| total.parse().ok());
            return Ok((whole != Some(here)).then_some(Again::Anew));
        }
        401 => bail!("`{url}` wants to know who asks (status 401); {}", download.refused),
        403 => bail!("`{url}` refuses (status 403); {}", download.refused),
        404 | 410 => bail!("`{url}` does not exist (status {status}); check the name"),
        429 | 503 => {
            // A date in place of seconds is not worth a parser.
            let seconds = header("retry-after").trim().parse().unwrap_or(10);
            return Ok(Some(Again::Later { seconds, status }));
        }
        500..=599 => return Ok(Some(Again::Cut(format!("status {status}")))),
        _ => bail!("`{url}` answers with status {status}, expected 200; check the address"),
    };
    if start == 0 {
        file.set_len(0)?;
        let etag = header("etag");
        let validator =
            if etag.is_empty() || etag.starts_with("W/") { header("last-modified") } else { etag };
        *state = Part { url: url.clone(), validator };
        write_bytes(&beside(part, ".json"), &serde_json::to_vec(state)?)?;
    }
    let length: Option<u64> = header("content-length").parse().ok();
    let total = length.map(|length| start + length);
    file.seek(SeekFrom::Start(start))?;
    // Reading blocks; on a thread of its own it can be given up, and Ctrl-C is noticed while nothing comes.
    let (sender, receiver) = sync_channel::<std::io::Result<Vec<u8>>>(4);
    let mut reader = response.into_body().into_reader();
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = reader.read(&mut chunk).map(|n| {
                chunk.truncate(n);
                chunk
            });
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    });
    let mut done = start;
    let mut last = Instant::now();
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(chunk)) if chunk.is_empty() => break,
            Ok(Ok(chunk)) => {
                file.write_all(&chunk).with_context(|| format!("cannot write `{}`", part.display()))?;
                done += chunk.len() as u64;
                last = Instant::now();
            }
            Ok(Err(error)) => return Ok(Some(Again::Cut(error.to_string()))),
            Err(RecvTimeoutError::Timeout) if last.elapsed() > download.patience => {
                return Ok(Some(Again::Cut("nothing came any more".to_owned())));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Some(Again::Cut("the reading thread ended".to_owned())));
            }
        }
        tell(report, done, total.unwrap_or(0))?;
    }
    if total.is_some_and(|total| total != done) {
        return Ok(Some(Again::Cut(format!("{done} of {} bytes", total.unwrap_or(0)))));
    }
    Ok(None)
}

/// Whether a connection broke that had been made; without one there is no use in trying again.
fn is_cut(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}

fn tell(report: &mut Report<'_>, done: u64, total: u64) -> Result<(), Interrupted> {
    let note = format!("{} MB", done >> 20);
    if report(&Progress { step: STEP, done, total, note: &note }).is_break() {
        return Err(Interrupted { step: "fetching (what was fetched so far is kept for the next run)" });
    }
    Ok(())
}

fn pause(time: Duration, report: &mut Report<'_>) -> Result<(), Interrupted> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        tell(report, 0, 0)?;
        std::thread::sleep(Duration::from_millis(100).min(time));
    }
    Ok(())
}

fn read_part(part: &Path, url: &str) -> Part {
    let state: Part = fs::read(beside(part, ".json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if state.url == url { state } else { Part::default() }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
