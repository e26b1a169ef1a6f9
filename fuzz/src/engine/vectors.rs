//! Word vectors and encoders in every format: refused with an error, or rows that are there.

use std::fs;

use wordvec::Word2vecFile;
use wordvec::encoder::{MappedEncoder, Side, StaticEncoder, TextEncoder};
use wordvec::read::{self, read_from_bytes};
use wordvec::write::{Precision, write_tcwv};

use super::file_of;

/// Puts the checksum of the bytes from the third to the fourth argument where the second says.
type Put<'a> = dyn FnMut(&mut [u8], usize, usize, usize) + 'a;

/// Puts the checksums of a `.tcwv` file or an encoder right, as far as its sizes let find them.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let n = bytes.len();
    let mut put = |bytes: &mut [u8], at: usize, from: usize, to: usize| {
        let checksum = crc32fast::hash(&bytes[from..to]);
        bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    };
    let of_table = |bytes: &mut [u8], put: &mut Put<'_>| {
        let n = bytes.len();
        if bytes.len() >= 40 && bytes[4..8] == 1_u32.to_le_bytes() {
            put(bytes, 36, 40, n);
        } else if n >= 128 {
            put(bytes, n - 28, 0, n - 64);
            put(bytes, n - 8, n - 64, n - 8);
        }
    };
    if bytes.starts_with(b"TCWV") {
        of_table(&mut bytes, &mut put);
    } else if bytes.starts_with(b"TCSE") && n >= 64 {
        if let Some(start) = (64..n.saturating_sub(4)).find(|&at| bytes[at..].starts_with(b"TCWV")) {
            of_table(&mut bytes[start..], &mut put);
        }
        put(&mut bytes, 60, 64, n);
    }
    bytes
}

/// `bytes`: vectors or an encoder; read whole, and used where they lie. Checksums are put right first.
///
/// # Panics
/// If vectors that were read are not there, or cannot be written and read.
pub fn vectors(bytes: &[u8]) {
    let bytes = with_checksums(bytes);
    if let Ok(vectors) = read_from_bytes(&bytes) {
        assert!(!vectors.is_empty() && vectors.as_slice().len() == vectors.len() * vectors.dim());
        for (at, word) in vectors.words().iter().enumerate() {
            assert_eq!(vectors.index_of(word), Some(at), "{word:?}");
        }
        let mut written = Vec::new();
        write_tcwv(&vectors, Precision::F32, &mut written).expect("memory can be written");
        let again = read_from_bytes(&written).expect("what was written can be read");
        assert_eq!((again.words(), again.as_slice()), (vectors.words(), vectors.as_slice()));
    }
    let path = file_of("vectors", &bytes);
    if let Ok(table) = read::open(&path) {
        let mut sum = vec![0.0; table.dim()];
        for at in 0..table.len().min(100) {
            let word = table.word_at(at);
            assert_eq!(table.row_at(at).len(), table.dim());
            assert!(table.index_of(&word).is_none_or(|at| at < table.len()));
            table.add_row(at, 0.5, &mut sum);
            let _ = table.count_at(at);
        }
        assert!(table.index_of("a word that is not there").is_none_or(|at| at < table.len()));
    }
    let _ = fs::remove_file(Word2vecFile::index_path(&path));
    if !bytes.starts_with(b"TCSE") {
        return;
    }
    let words = ["film", "shark", "\u{0}000", ""].map(str::to_owned);
    let encode = |encoder: &dyn TextEncoder| {
        let mut vector = vec![0.0; encoder.dim()];
        let bag = encoder.count(&words);
        [Side::Query, Side::Document].iter().for_each(|&side| encoder.encode_bag(&bag, side, &mut vector));
    };
    if let Ok(encoder) = StaticEncoder::from_bytes(&bytes) {
        encode(&encoder);
    }
    if let Ok(encoder) = MappedEncoder::open(&path) {
        encode(&encoder);
    }
}
