//! Weights as Hugging Face stores them: `model.safetensors`, or shards with an index.
//!
//! Tensors are read one by one straight into their place, so loading needs no second copy of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, Value};
use titlecard_engine::artifact::{ArtifactError, read_bytes, write_atomically};

use crate::LmError;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoredAs {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half, as published models are.
    F16,
    /// bfloat16.
    Bf16,
}

impl StoredAs {
    /// Name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => bytemuck::cast_slice(values).to_vec(),
            Self::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        }
    }
}

/// A safetensors file opened for reading tensor by tensor.
pub(crate) struct TensorFile {
    path: PathBuf,
    file: File,
    /// Where the data begin.
    start: u64,
    header: Metadata,
}

/// Longest header believed: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

impl TensorFile {
    /// Opens a file and checks that all of it is there.
    pub(crate) fn open(path: &Path) -> Result<Self, LmError> {
        let damaged = |what: String| LmError::Damaged { path: path.to_owned(), what };
        let mut file = File::open(path).map_err(ArtifactError::io("read", path))?;
        let length = file.metadata().map_err(ArtifactError::io("read", path))?.len();
        let mut prefix = [0_u8; 8];
        file.read_exact(&mut prefix)
            .map_err(|_| damaged(format!("{length} bytes are no safetensors file")))?;
        let n_header = u64::from_le_bytes(prefix);
        if n_header > MAX_HEADER || n_header + 8 > length {
            return Err(damaged(format!("its header should have {n_header} bytes, the file has {length}")));
        }
        let mut bytes = vec![0; n_header as usize];
        file.read_exact(&mut bytes).map_err(ArtifactError::io("read", path))?;
        // The library's own type checks offsets and shapes against each other.
        let header: Metadata = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(format!("no safetensors header ({error})")))?;
        let start = 8 + n_header;
        let end = header.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        if start + end != length {
            return Err(damaged(format!("{length} bytes, its header says {}", start + end)));
        }
        Ok(Self { path: path.to_owned(), file, start, header })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort();
        names
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.info(name)
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.info(name).map(|info| info.shape.as_slice())
    }

    fn tensor_error(&self, name: &str, what: impl Into<String>) -> LmError {
        LmError::Tensor { path: self.path.clone(), name: name.to_owned(), what: what.into() }
    }

    /// Reads a tensor of `shape` into its place.
    pub(crate) fn read(&mut self, name: &str, shape: &[usize], into: &mut [f32]) -> Result<(), LmError> {
        let Some(info) = self.info(name).cloned() else {
            return Err(self.tensor_error(name, "is missing"));
        };
        if info.shape != shape {
            return Err(self.tensor_error(
                name,
                format!("has shape {:?}, expected {shape:?} by config.json", info.shape),
            ));
        }
        let size = match info.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => {
                return Err(self.tensor_error(name, format!("is of {other:?}, expected F32, F16 or BF16")));
            }
        };
        let read = ArtifactError::io("read", &self.path);
        let (begin, end) = info.data_offsets;
        if end - begin != size * into.len() {
            return Err(
                self.tensor_error(name, format!("has {} bytes for {} values", end - begin, into.len()))
            );
        }
        let mut place = || {
            self.file.seek(SeekFrom::Start(self.start + begin as u64))?;
            // In parts, so that a large embedding needs no second copy.
            let mut buffer = vec![0_u8; (1 << 20).min(end - begin)];
            for into in into.chunks_mut((1 << 20) / size) {
                let bytes = &mut buffer[..into.len() * size];
                self.file.read_exact(bytes)?;
                match info.dtype {
                    Dtype::F32 => {
                        let values = bytes.as_chunks::<4>().0;
                        into.iter_mut().zip(values).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes));
                    }
                    Dtype::F16 => {
                        let values = bytes.as_chunks::<2>().0;
                        into.iter_mut()
                            .zip(values)
                            .for_each(|(x, bytes)| *x = f16::from_le_bytes(*bytes).to_f32());
                    }
                    _ => {
                        let values = bytes.as_chunks::<2>().0;
                        into.iter_mut()
                            .zip(values)
                            .for_each(|(x, bytes)| *x = bf16::from_le_bytes(*bytes).to_f32());
                    }
                }
            }
            Ok::<(), std::io::Error>(())
        };
        place().map_err(read)?;
        if into.iter().any(|x| !x.is_finite()) {
            return Err(self.tensor_error(name, "holds values that are no numbers"));
        }
        Ok(())
    }
}

/// Reads every tensor of a safetensors file: each must lie in the file whole and hold numbers. The format has no
/// checksum. Answers how many tensors there are.
///
/// # Errors
/// [`LmError`] saying which tensor is not what the header says.
pub fn check_weights(path: &Path) -> Result<usize, LmError> {
    let mut file = TensorFile::open(path)?;
    let names = file.names();
    let mut values = Vec::new();
    for name in &names {
        let shape = file.shape(name).unwrap_or_default().to_vec();
        values.resize(shape.iter().product(), 0.0);
        // Buffers and whole numbers are not read by anybody; that they lie in the file is known.
        let is_read =
            file.info(name).is_some_and(|info| matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16));
        if is_read && !is_buffer(name) {
            file.read(name, &shape, &mut values)?;
        }
    }
    Ok(names.len())
}

/// The tensors of a model, in one file or several.
pub(crate) struct TensorFiles {
    files: Vec<TensorFile>,
    /// Name of a tensor to its file.
    place: BTreeMap<String, usize>,
    path: PathBuf,
}

/// Name of the weights' file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl TensorFiles {
    /// Opens the weights of the model in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self, LmError> {
        let single = folder.join(WEIGHTS);
        let index = folder.join(INDEX);
        if single.exists() {
            let file = TensorFile::open(&single)?;
            let place = file.names().into_iter().map(|name| (name, 0)).collect();
            return Ok(Self { files: vec![file], place, path: single });
        }
        if !index.exists() {
            if folder.join("pytorch_model.bin").exists() {
                return Err(LmError::Unsupported {
                    path: folder.join("pytorch_model.bin"),
                    what: "a pickled file of weights".to_owned(),
                    supported: "`model.safetensors`; transformers writes it with `save_pretrained`",
                });
            }
            return Err(LmError::NoModel {
                folder: folder.to_owned(),
                file: WEIGHTS,
                expected: "config.json, tokenizer.json and model.safetensors",
            });
        }
        let damaged = |what: String| LmError::Damaged { path: index.clone(), what };
        let object: Map<String, Value> = serde_json::from_slice(&read_bytes(&index, "titlecard train lm")?)
            .map_err(|error| damaged(error.to_string()))?;
        let map = object
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| damaged("it has no `weight_map`".to_owned()))?;
        let mut names = BTreeSet::new();
        for (tensor, file) in map {
            let file = file.as_str().ok_or_else(|| damaged(format!("`{tensor}` names no file")))?;
            if file.contains(['/', '\\']) || file.starts_with("..") {
                return Err(damaged(format!("`{file}` is not in the same folder")));
            }
            names.insert(file.to_owned());
        }
        let names: Vec<String> = names.into_iter().collect();
        let files =
            names.iter().map(|name| TensorFile::open(&folder.join(name))).collect::<Result<Vec<_>, _>>()?;
        let mut place = BTreeMap::new();
        for (tensor, file) in map {
            let at = names.iter().position(|name| Some(name.as_str()) == file.as_str()).unwrap_or(0);
            if files[at].info(tensor).is_none() {
                return Err(files[at].tensor_error(tensor, "is missing, the index says it is there"));
            }
            place.insert(tensor.clone(), at);
        }
        Ok(Self { files, place, path: index })
    }

    /// Names of all tensors that are no buffers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.place.keys().map(String::as_str).filter(|name| !is_buffer(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.place.contains_key(name)
    }

    pub(crate) fn read(&mut self, name: &str, shape: &[usize], into: &mut [f32]) -> Result<(), LmError> {
        match self.place.get(name) {
            Some(&at) => self.files[at].read(name, shape, into),
            None => Err(self.error(name, "is missing")),
        }
    }

    pub(crate) fn error(&self, name: &str, what: impl Into<String>) -> LmError {
        LmError::Tensor { path: self.path.clone(), name: name.to_owned(), what: what.into() }
    }
}

/// Buffers that older versions stored with the weights. By exact suffix: `query_key_value.bias` and
/// `dense.bias` are weights.
fn is_buffer(name: &str) -> bool {
    [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// Writes tensors as one safetensors file, whole or not at all. Values are made one tensor at a time.
pub(crate) fn write(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
    stored_as: StoredAs,
) -> Result<(), LmError> {
    let size = if stored_as == StoredAs::F32 { 4 } else { 2 };
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), serde_json::json!({ "format": "pt" }));
    let mut place = 0;
    for (name, shape, values) in tensors {
        let end = place + values.len() * size;
        let dtype = format!("{:?}", stored_as.dtype());
        header.insert(
            name.clone(),
            serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [place, end] }),
        );
        place = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    // The data begin at a multiple of 8, as the format's own library writes it.
    text.resize(text.len().next_multiple_of(8), b' ');
    write_atomically(path, |out: &mut dyn Write| -> Result<(), LmError> {
        let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(ArtifactError::io("write", path));
        put(&(text.len() as u64).to_le_bytes())?;
        put(&text)?;
        for (_, _, values) in tensors {
            for part in values.chunks(1 << 18) {
                put(&stored_as.bytes(part))?;
            }
        }
        Ok(())
    })
}
