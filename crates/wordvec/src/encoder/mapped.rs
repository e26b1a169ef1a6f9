//! An encoder in use without being read.

use std::io::Read;
use std::path::Path;

use super::{
    HEADER_BYTES, Header, Side, TextEncoder, TokenBag, bucket_of, checksum_of, cut, damaged, gain_of,
};
use crate::kernels::{Kernels, LANES};
use crate::mapping::Mapping;
use crate::{WordVecError, tcwv};

/// What [`StaticEncoder::save`](super::StaticEncoder::save) wrote, mapped: the same vectors, bit for bit,
/// while only rows of words that are asked for take memory.
#[derive(Debug)]
pub struct MappedEncoder {
    mapping: Mapping,
    header: Header,
    /// Where the table begins in the file, and what is in it.
    start: usize,
    table: tcwv::Layout,
    stride: usize,
}

impl MappedEncoder {
    /// Opens a file and compares its checksum; the bytes go by without staying in memory.
    ///
    /// # Errors
    /// [`WordVecError::Open`], [`WordVecError::Version`] or [`WordVecError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, WordVecError> {
        let (header, checksum) = pass_over(path)?;
        let mapping = Mapping::open(path)?;
        let header = Header::read(&header, mapping.bytes().len(), checksum)?;
        let start = HEADER_BYTES + header.weight_bytes();
        let table = tcwv::Layout::of_version_2(&mapping.bytes()[start..])?;
        if table.n_words() != header.n_words + header.n_buckets || table.dim() != header.dim {
            return Err(damaged("its table does not fit its header"));
        }
        let stride = header.dim.next_multiple_of(LANES);
        Ok(Self { mapping, header, start, table, stride })
    }

    /// Rows of the table: words, then buckets.
    pub fn n_tokens(&self) -> usize {
        self.header.n_words + self.header.n_buckets
    }

    fn log_weight(&self, token: usize, side: Side) -> f32 {
        let at = HEADER_BYTES + (side as usize * self.n_tokens() + token) * 4;
        let bytes = &self.mapping.bytes()[at..at + 4];
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl TextEncoder for MappedEncoder {
    fn dim(&self) -> usize {
        self.header.dim
    }

    fn token(&self, word: &str) -> Option<u32> {
        let Header { n_words, n_buckets, .. } = self.header;
        let known = self.table.index_of(&self.mapping.bytes()[self.start..], word);
        // Names of buckets are no words.
        known.filter(|&at| at < n_words).map(|at| at as u32).or_else(|| bucket_of(word, n_words, n_buckets))
    }

    fn encode_bag(&self, bag: &TokenBag, side: Side, out: &mut [f32]) {
        assert_eq!(out.len(), self.header.dim, "one value a dimension");
        let (kernels, table) = (Kernels::exact(), &self.mapping.bytes()[self.start..]);
        let (mut sum, mut padded) = (vec![0.0; self.stride], vec![0.0; self.stride]);
        for &(token, count) in &bag.0 {
            let gain = gain_of(count, self.log_weight(token as usize, side));
            padded[..self.header.dim].copy_from_slice(&self.table.row(table, token as usize));
            (kernels.combine)(&mut sum, &padded, &[gain]);
        }
        out.copy_from_slice(&sum[..self.header.dim]);
        cut(out, self.header.dim);
    }
}

/// The header of a file, and the checksum of the whole.
fn pass_over(path: &Path) -> Result<(Vec<u8>, u32), WordVecError> {
    let mut file =
        std::fs::File::open(path).map_err(|source| WordVecError::Open { path: path.to_owned(), source })?;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    Read::by_ref(&mut file).take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    if header.len() < HEADER_BYTES {
        return Err(damaged("it is cut short"));
    }
    let (mut checksum, mut part) = (checksum_of(&header), vec![0; 1 << 18]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok((header, checksum.finalize())),
            n => checksum.update(&part[..n]),
        }
    }
}
