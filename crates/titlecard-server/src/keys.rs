//! API keys: long random texts of which only the SHA-256 is kept.
//!
//! The keys of a server are lines of `server/keys` in the working folder, `role sha256 name`. A key is made
//! by [`new_key`] and shown once. A key that comes with a request is hashed and compared with every line in
//! constant time, so neither the time nor the file tells anything of a key.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use titlecard_engine::artifact::{ArtifactError, write_bytes};

/// What a key may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Search and read.
    Read,
    /// Add, change and delete films.
    Write,
    /// Edit rules, reload.
    Admin,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the keys `{path}`: {source}")]
    Io {
        /// The file.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// A line is no key.
    #[error(
        "`{path}`, line {line}: expected `ROLE SHA256 NAME` with a role of `read`, `write` or `admin`; remove the line, \
         or make a key with `titlecard serve --new-key ROLE`"
    )]
    Line {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// The name of a key.
    #[error("`{0}` cannot be the name of a key; take 1 to 64 letters, digits, `-` and `_`")]
    Name(String),
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it may do.
    pub role: Role,
    /// What it is called in logs.
    pub name: String,
    hash: [u8; 32],
}

/// All keys of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    keys: Vec<Key>,
}

fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl Keys {
    /// Reads the file at `path`; none if it does not exist.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(KeyError::Io { path: path.display().to_string(), source }),
        };
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts: Vec<&str> = line.split_whitespace().collect();
            let key = match parts[..] {
                [role, hash, name] => Role::parse(role).zip(unhex(hash)).map(|(role, hash)| Key {
                    role,
                    name: name.to_owned(),
                    hash,
                }),
                _ => None,
            };
            keys.push(key.ok_or_else(|| KeyError::Line { path: path.display().to_string(), line: at + 1 })?);
        }
        Ok(Self { keys })
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The key with this secret. Takes the same time for every secret of one length.
    pub fn find(&self, secret: &str) -> Option<&Key> {
        let hash = hash_of(secret);
        let mut found = None;
        for key in &self.keys {
            // No early end: which line fits is not to be seen in the time.
            if bool::from(key.hash.ct_eq(&hash)) {
                found = Some(key);
            }
        }
        found
    }
}

/// Makes a key, adds its hash to the file at `path`, and answers the secret, which is kept nowhere.
///
/// # Errors
/// [`KeyError`]; the file is then as it was.
pub fn new_key(path: &Path, role: Role, name: &str) -> Result<String, KeyError> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_good) {
        return Err(KeyError::Name(name.to_owned()));
    }
    let keys = Keys::read(path)?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| KeyError::Random(error.to_string()))?;
    let secret = format!("titlecard-{role}-{}", hex(&random));
    let mut text = String::from(
        "# Keys of `titlecard serve`: role, SHA-256 of the key, name. Remove a line to revoke a key.\n",
    );
    for key in keys.iter() {
        text.push_str(&format!("{} {} {}\n", key.role, hex(&key.hash), key.name));
    }
    text.push_str(&format!("{role} {} {name}\n", hex(&hash_of(&secret))));
    write_bytes(path, text.as_bytes())?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_secret_and_kept_as_a_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server/keys");
        let reader = new_key(&path, Role::Read, "page").unwrap();
        let admin = new_key(&path, Role::Admin, "me").unwrap();
        let keys = Keys::read(&path).unwrap();
        assert_eq!(keys.find(&reader).map(|key| (key.role, key.name.as_str())), Some((Role::Read, "page")));
        assert_eq!(keys.find(&admin).map(|key| key.role), Some(Role::Admin));
        for wrong in ["", "titlecard-read-", &reader[1..], &format!("{reader} ")] {
            assert_eq!(keys.find(wrong), None);
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&reader[15..]) && !text.contains(&admin[16..]), "{text}");
        // echo -n abc | sha256sum
        fs::write(&path, "write ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad abc\n")
            .unwrap();
        assert_eq!(Keys::read(&path).unwrap().find("abc").unwrap().role, Role::Write);
    }

    #[test]
    fn a_line_that_is_no_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        for text in ["read abc name\n", "owner ba78 x\n", "# fine\n\nread\n"] {
            fs::write(&path, text).unwrap();
            assert!(Keys::read(&path).unwrap_err().to_string().contains(", line "), "{text}");
        }
        assert!(Keys::read(&folder.path().join("none")).unwrap().is_empty());
        assert!(matches!(new_key(&path, Role::Read, "two words"), Err(KeyError::Name(_))));
    }
}
