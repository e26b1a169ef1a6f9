//! Fetching a model by its name from a hub with Hugging Face's addresses.
//!
//! The hub is `https://huggingface.co`, or what the variable `HF_ENDPOINT` says. Files come into a folder
//! of their own, each whole or not at all; one that is there is not fetched again. A machine without a
//! network gets an error that says so and names the way out: a folder.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use titlecard_engine::artifact::{ArtifactError, read_bytes, write_atomically};
use titlecard_engine::progress::{Interrupted, Progress, Report};

use crate::LmError;

/// Where models are fetched from.
pub fn endpoint() -> String {
    std::env::var("HF_ENDPOINT")
        .ok()
        .filter(|url| !url.is_empty())
        .unwrap_or_else(|| "https://huggingface.co".to_owned())
}

/// Whether `name` is a name on a hub (`owner/model`) and no folder of this machine.
pub fn is_name(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() == 2 && parts.iter().all(|part| plain(part)) && !Path::new(name).exists()
}

/// Fetches the files of model `name` into a folder of `into` and returns it.
///
/// # Errors
/// [`LmError::Fetch`] without a network or such a model, [`LmError::Interrupted`] if stopped.
pub fn fetch(name: &str, into: &Path, report: &mut Report<'_>) -> Result<PathBuf, LmError> {
    fetch_from(&endpoint(), name, into, report)
}

/// [`fetch`] from a hub at `endpoint`.
///
/// # Errors
/// Those of [`fetch`].
pub fn fetch_from(
    endpoint: &str,
    name: &str,
    into: &Path,
    report: &mut Report<'_>,
) -> Result<PathBuf, LmError> {
    let folder = into.join(name.replace('/', "--"));
    let agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut hub = Hub { agent, url: format!("{}/{name}/resolve/main", endpoint.trim_end_matches('/')), name };
    for file in ["config.json", "tokenizer.json"] {
        if !hub.file(file, &folder, report)? {
            return Err(hub.error(&format!("it has no `{file}`")));
        }
    }
    if !hub.file("model.safetensors", &folder, report)? {
        let index = "model.safetensors.index.json";
        if !hub.file(index, &folder, report)? {
            return Err(hub.error("it has no weights as `model.safetensors`"));
        }
        let path = folder.join(index);
        let object: serde_json::Value = serde_json::from_slice(&read_bytes(&path, "titlecard train lm")?)
            .map_err(|error| LmError::Damaged { path, what: error.to_string() })?;
        let shards = object["weight_map"].as_object().into_iter().flat_map(|map| map.values());
        let shards: std::collections::BTreeSet<&str> =
            shards.filter_map(serde_json::Value::as_str).filter(|name| !name.contains(['/', '\\'])).collect();
        for shard in shards {
            if !hub.file(shard, &folder, report)? {
                return Err(hub.error(&format!("it has no `{shard}`, though its index names it")));
            }
        }
    }
    Ok(folder)
}

struct Hub<'n> {
    agent: ureq::Agent,
    url: String,
    name: &'n str,
}

impl Hub<'_> {
    fn error(&self, reason: &str) -> LmError {
        LmError::Fetch { name: self.name.to_owned(), reason: reason.to_owned() }
    }

    /// Fetches one file unless it is there; false if the hub does not have it.
    fn file(&mut self, file: &str, folder: &Path, report: &mut Report<'_>) -> Result<bool, LmError> {
        let path = folder.join(file);
        if path.exists() {
            return Ok(true);
        }
        let step = "fetching the model";
        let mut tell = |done: u64, total: u64| {
            let flow = report(&Progress { step, done, total, note: file });
            if flow.is_break() { Err(LmError::from(Interrupted { step })) } else { Ok(()) }
        };
        tell(0, 0)?;
        let url = format!("{}/{file}", self.url);
        let mut request = self.agent.get(&url);
        if let Ok(token) = std::env::var("HF_TOKEN") {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().map_err(|error| {
            self.error(&format!("`{url}` cannot be reached: {error}; is there a network?"))
        })?;
        match response.status().as_u16() {
            200 => {}
            404 => return Ok(false),
            401 | 403 => return Err(self.error("there is no such model, or it needs a token in `HF_TOKEN`")),
            status => return Err(self.error(&format!("`{url}` answers with status {status}"))),
        }
        let body = response.body_mut();
        let total = body.content_length();
        let mut reader = body.as_reader();
        write_atomically(&path, |out: &mut dyn Write| -> Result<(), LmError> {
            let mut buffer = vec![0_u8; 1 << 18];
            let mut done = 0;
            loop {
                let n = reader.read(&mut buffer).map_err(|error| self.error(&format!("`{url}`: {error}")))?;
                if n == 0 {
                    break;
                }
                out.write_all(&buffer[..n]).map_err(ArtifactError::io("write", &path))?;
                done += n as u64;
                tell(done, total.unwrap_or(0))?;
            }
            match total {
                Some(total) if total != done => {
                    Err(self.error(&format!("`{file}` broke off after {done} of {total} bytes")))
                }
                _ => Ok(()),
            }
        })?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_folders() {
        assert!(is_name("EleutherAI/pythia-70m"));
        for not in ["models/lm/x", "./pythia", "pythia", "a/..", "/abs/path", "a b/c", "../x"] {
            assert!(!is_name(not), "{not}");
        }
    }
}
