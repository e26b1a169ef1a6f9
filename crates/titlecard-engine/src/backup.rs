//! A copy of a working folder that is one state, while others search and a server takes changes.
//!
//! Whoever copies holds the right to write ([`Workspace::lock`]), so catalogue, graph and index are those of one build.
//! Every other file is replaced as a whole when it changes, and opened here once, so its copy is whole too. The journal
//! of a server alone grows in place: a copy of it ends in a whole batch, or in one that was not acknowledged when copying
//! began and is left out when it is opened.
//!
//! ```
//! # use titlecard_engine::{backup::backup, pipeline::Workspace, progress};
//! # let folder = tempfile::tempdir().unwrap();
//! # let (from, to) = (folder.path().join("mine"), folder.path().join("copy"));
//! let workspace = Workspace::new(&from);
//! let lock = workspace.lock()?;
//! std::fs::write(workspace.settings(), "[run]\nseed = 7\n").unwrap();
//! let copied = backup(&workspace, &lock, &to, false, &mut progress::silent)?;
//! assert_eq!((copied.n_files, copied.bytes), (1, 15));
//! # Ok::<(), titlecard_engine::pipeline::PipelineError>(())
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::artifact::{ArtifactError, sync_folder};
use crate::pipeline::{PipelineError, Workspace, WorkspaceLock};
use crate::progress::{Report, tell};
use crate::verify::is_passing;

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files copied or linked.
    pub n_files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies the working folder to `target`, which appears when it is whole. Left out are `tmp/`, locks, and what is being
/// written or built.
///
/// - `_lock`: of this folder.
/// - `link`: large files that never change in place (catalogue, models, graph, index) become hard links where the
///   file system can; they then share their bytes with the folder until it replaces them.
///
/// # Errors
/// [`PipelineError::Backup`] if `target` exists or lies in the folder, or a server's exchange was cut off;
/// [`PipelineError::Artifact`] if a file cannot be copied; [`PipelineError::Interrupted`]. Nothing is left then.
pub fn backup(
    workspace: &Workspace,
    _lock: &WorkspaceLock,
    target: &Path,
    link: bool,
    report: &mut Report<'_>,
) -> Result<Copied, PipelineError> {
    let root = fs::canonicalize(workspace.root()).map_err(ArtifactError::io("find", workspace.root()))?;
    let refused = |what: String| PipelineError::Backup { what };
    if target.exists() {
        return Err(refused(format!("`{}` exists; name a folder that is to be made", target.display())));
    }
    if root.join("server/publish.json").exists() {
        return Err(refused(format!(
            "an exchange of changed films in `{}` was cut off; start `titlecard serve` there once, which ends it",
            root.display()
        )));
    }
    let inside =
        || refused(format!("`{}` lies in the folder that is copied; name one beside it", target.display()));
    if std::path::absolute(target).is_ok_and(|target| target.starts_with(&root)) {
        return Err(inside());
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(ArtifactError::io("create folder", parent))?;
    let parent = fs::canonicalize(parent).map_err(ArtifactError::io("find", parent))?;
    if parent.starts_with(&root) {
        return Err(inside());
    }
    let files = files_below(&root)?;
    let copying = tempfile::Builder::new()
        .prefix(".copying-")
        .tempdir_in(&parent)
        .map_err(ArtifactError::io("create a folder in", &parent))?;
    let mut copied = Copied { n_files: 0, bytes: 0 };
    for (at, name) in files.iter().enumerate() {
        tell(report, "copying", at, files.len(), name)?;
        let (from, to) = (root.join(name), copying.path().join(name));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
        }
        match copy(&from, &to, link && never_changes(name)) {
            Ok(bytes) => {
                copied.n_files += 1;
                copied.bytes += bytes;
            }
            // Such as the checkpoint of a training that has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ArtifactError::io("copy", &from)(error).into()),
        }
    }
    tell(report, "copying", files.len(), files.len(), "")?;
    let copying = copying.keep();
    set_usual_permissions(&copying).map_err(ArtifactError::io("write", &copying))?;
    if let Err(error) = fs::rename(&copying, target) {
        let _ = fs::remove_dir_all(&copying);
        return Err(ArtifactError::io("rename into", target)(error).into());
    }
    sync_folder(&parent);
    Ok(copied)
}

/// Temporary folders are private to the user; the copy should be like any other folder.
#[cfg(unix)]
fn set_usual_permissions(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn set_usual_permissions(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether files of this name are only ever replaced as a whole.
fn never_changes(name: &str) -> bool {
    let is_weights = [".tcwv", ".tcsw", ".tcse", ".safetensors"].iter().any(|end| name.ends_with(end));
    name == "data/films.jsonl.zst"
        || name.starts_with("graph/")
        || name.starts_with("index/")
        || (name.starts_with("models/") && is_weights)
}

fn copy(from: &Path, to: &Path, link: bool) -> io::Result<u64> {
    if link && fs::hard_link(from, to).is_ok() {
        return Ok(fs::metadata(to)?.len());
    }
    let bytes = fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    Ok(bytes)
}

/// Files to be copied, by path inside the folder, in order.
fn files_below(root: &Path) -> Result<Vec<String>, ArtifactError> {
    let mut files = Vec::new();
    let mut open: Vec<(PathBuf, String)> = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(ArtifactError::io("list", &folder))? {
            let entry = entry.map_err(ArtifactError::io("list", &folder))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if is_passing(&name) || name == "tmp" {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                open.push((path, format!("{name}/")));
            } else {
                files.push(name);
            }
        }
    }
    files.sort();
    Ok(files)
}
