//! One vector a film, scanned exhaustively: 8-bit rows with a scale each, mapped from disk.
//!
//! Rows are unit length before they are rounded, so a dot product is a cosine. The query is rounded
//! to 12 bits, products are summed in integers, and the sum is scaled once: exact for the stored rows
//! and the same on every machine and number of threads. An exhaustive scan needs no build, allows
//! any filter and, up to some millions of films, is fast enough (one byte a dimension to read).

use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;
use tantivy::directory::{Directory, MmapDirectory, OwnedBytes};

use super::layout::Run;

/// Why a file of vectors could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// The operating system refused.
    #[error("vector index: {0}")]
    Io(#[from] io::Error),
    /// The folder or file is not there.
    #[error("vector index: {0}")]
    Open(String),
    /// The file is not a vector index, cut short, or of another version.
    #[error("vector index `{name}` is damaged: {what}; remake the index with `titlecard index`")]
    Damaged {
        /// File name.
        name: String,
        /// What does not fit.
        what: String,
    },
}

const MAGIC: &[u8; 4] = b"TCVI";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
/// Largest absolute value of a rounded query component: 127 · 2047 · 8192 dimensions fit in 31 bits.
const QUERY_LEVELS: f32 = 2047.0;
/// Largest number of dimensions whose integer sums cannot overflow.
pub const MAX_DIM: usize = 8192;
/// Rows scanned by one task.
const ROWS_PER_TASK: usize = 8192;

/// Vectors of all films, opened by memory map.
#[derive(Clone)]
pub struct VectorIndex {
    /// Whose rows, one after the other, are the rows of the index.
    pieces: Vec<Piece>,
    n_rows: usize,
    dim: usize,
}

/// Rows that stand together in one table.
#[derive(Clone)]
struct Piece {
    /// The table as it is on disk, of `n_in_table` rows.
    bytes: OwnedBytes,
    n_in_table: usize,
    /// The first of the piece there and in the index.
    first_in_table: usize,
    first: usize,
    n: usize,
}

impl Piece {
    /// Scales, four bytes each, and components of rows `from..to` of the piece.
    fn rows(&self, from: usize, to: usize, dim: usize) -> (&[[u8; 4]], &[i8]) {
        let (scales, components) = self.bytes[HEADER_BYTES..].split_at(4 * self.n_in_table);
        let (from, to) = (self.first_in_table + from, self.first_in_table + to);
        let components: &[i8] = bytemuck::cast_slice(components);
        (&scales.as_chunks::<4>().0[from..to], &components[from * dim..to * dim])
    }
}

impl VectorIndex {
    /// Writes rows `[n_rows, dim]` (any length each; a zero row matches nothing).
    ///
    /// Layout, little endian: `TCVI`, version u32, n_rows u64, dim u32, 12 bytes 0; n_rows scales
    /// f32; n_rows · dim components i8. A component is `scale · value`.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// # Panics
    /// If `rows` is not a whole number of rows or `dim` is 0 or above [`MAX_DIM`].
    pub fn write(out: &mut dyn Write, rows: &[f32], dim: usize) -> io::Result<()> {
        assert!(
            (1..=MAX_DIM).contains(&dim) && rows.len().is_multiple_of(dim),
            "whole rows of 1 to {MAX_DIM}"
        );
        let n_rows = rows.len() / dim;
        let mut header = [0_u8; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8..16].copy_from_slice(&(n_rows as u64).to_le_bytes());
        header[16..20].copy_from_slice(&(dim as u32).to_le_bytes());
        out.write_all(&header)?;
        for row in rows.chunks_exact(dim) {
            out.write_all(&Rounding::of(row, 127.0).scale.to_le_bytes())?;
        }
        let mut packed = vec![0_u8; dim];
        for row in rows.chunks_exact(dim) {
            let rounding = Rounding::of(row, 127.0);
            for (byte, &value) in packed.iter_mut().zip(row) {
                *byte = (rounding.round(value) as i8).to_le_bytes()[0];
            }
            out.write_all(&packed)?;
        }
        Ok(())
    }

    /// Opens `name` in `folder` by memory map and checks header and length.
    ///
    /// # Errors
    /// [`VectorError`].
    pub fn open(folder: &Path, name: &str) -> Result<Self, VectorError> {
        let directory = MmapDirectory::open(folder).map_err(|error| VectorError::Open(error.to_string()))?;
        let file = directory
            .open_read(Path::new(name))
            .map_err(|error| VectorError::Open(format!("`{name}`: {error}")))?;
        Self::from_bytes(file.read_bytes()?, name)
    }

    /// Keeps rows `[n_rows, dim]` in memory, in the form they have on disk.
    ///
    /// # Errors
    /// [`VectorError::Io`] never comes of writing to memory.
    ///
    /// # Panics
    /// As [`VectorIndex::write`].
    pub fn of_rows(rows: &[f32], dim: usize) -> Result<Self, VectorError> {
        let mut bytes = Vec::new();
        Self::write(&mut bytes, rows, dim)?;
        Self::from_bytes(OwnedBytes::new(bytes), "vectors in memory")
    }

    fn from_bytes(bytes: OwnedBytes, name: &str) -> Result<Self, VectorError> {
        let damaged = |what: String| VectorError::Damaged { name: name.to_owned(), what };
        let Some(header) = bytes.as_slice().first_chunk::<HEADER_BYTES>() else {
            return Err(damaged(format!("{} bytes, a header has {HEADER_BYTES}", bytes.len())));
        };
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if &header[..4] != MAGIC {
            return Err(damaged("it does not begin with `TCVI`".to_owned()));
        }
        if word(4) != VERSION {
            return Err(damaged(format!("format version {}, expected {VERSION}", word(4))));
        }
        let (n_rows, dim) = (u64::from(word(8)) | u64::from(word(12)) << 32, word(16) as usize);
        let expected = n_rows.checked_mul(dim as u64 + 4).and_then(|n| n.checked_add(HEADER_BYTES as u64));
        if !(1..=MAX_DIM).contains(&dim) || expected != Some(bytes.len() as u64) {
            return Err(damaged(format!("{} bytes for {n_rows} rows of {dim} dimensions", bytes.len())));
        }
        let n = n_rows as usize;
        let whole = Piece { bytes, n_in_table: n, first_in_table: 0, first: 0, n };
        Ok(Self { pieces: vec![whole], n_rows: n, dim })
    }

    /// The same index with other rows: those of `runs`, from it or from `new`. Nothing is copied.
    ///
    /// # Panics
    /// If a run lies outside its table, or the dimensions differ.
    pub fn with_runs(&self, new: &Self, runs: &[Run]) -> Self {
        assert_eq!(self.dim, new.dim, "rows of one length");
        let (mut pieces, mut n_rows) = (Vec::with_capacity(runs.len()), 0);
        for run in runs {
            let from = if run.is_new { new } else { self };
            let (mut at, end) = (run.first, run.first + run.n);
            assert!(end <= from.n_rows, "rows of the table");
            while at < end {
                let piece = from.piece_of(at);
                let inside = at - piece.first;
                let n = (piece.n - inside).min(end - at);
                let first_in_table = piece.first_in_table + inside;
                pieces.push(Piece { first_in_table, first: n_rows, n, ..piece.clone() });
                (at, n_rows) = (at + n, n_rows + n);
            }
        }
        Self { pieces, n_rows, dim: self.dim }
    }

    /// The piece with row `row`.
    fn piece_of(&self, row: usize) -> &Piece {
        &self.pieces[self.pieces.partition_point(|piece| piece.first + piece.n <= row)]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Number of dimensions.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Cosine of `query` with every row; 0 for a zero query or row.
    ///
    /// - `query`: `[dim]`, any length.
    /// - `scores`: `[n_rows]`, overwritten.
    ///
    /// # Panics
    /// If a length differs.
    pub fn cosine_all(&self, query: &[f32], scores: &mut [f32]) {
        assert_eq!(query.len(), self.dim, "one component a dimension");
        assert_eq!(scores.len(), self.n_rows, "one score a row");
        let (query, query_scale) = round_query(query);
        let mut tasks = Vec::with_capacity(self.pieces.len() + self.n_rows / ROWS_PER_TASK);
        let mut rest = scores;
        for piece in &self.pieces {
            for from in (0..piece.n).step_by(ROWS_PER_TASK) {
                let to = (from + ROWS_PER_TASK).min(piece.n);
                let (of_task, behind) = rest.split_at_mut(to - from);
                tasks.push((of_task, piece.rows(from, to, self.dim)));
                rest = behind;
            }
        }
        tasks.into_par_iter().for_each(|(scores, (scales, rows))| {
            // The widest registers the processor has; the sums are of integers, so all give the same.
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    let rows = rows.chunks_exact(self.dim);
                    for ((score, row), scale) in scores.iter_mut().zip(rows).zip(scales) {
                        *score = dot(row, &query) as f32 * (query_scale * f32::from_le_bytes(*scale));
                    }
                },
            );
        });
    }
}

/// A query rounded as the index needs it, for rows that are looked at one by one.
pub struct RoundedQuery {
    components: Vec<i16>,
    scale: f32,
}

impl RoundedQuery {
    /// Rounds a query of any length.
    pub fn new(query: &[f32]) -> Self {
        let (components, scale) = round_query(query);
        Self { components, scale }
    }
}

impl VectorIndex {
    /// One row as it is stored: `scale · component`, `[dim]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> Vec<f32> {
        let (scale, components) = self.stored(row);
        components.iter().map(|&component| f32::from(component) * scale).collect()
    }

    /// Scale and components of one row.
    fn stored(&self, row: usize) -> (f32, &[i8]) {
        let piece = self.piece_of(row);
        let (scales, components) = piece.rows(row - piece.first, row - piece.first + 1, self.dim);
        (f32::from_le_bytes(scales[0]), components)
    }

    /// Cosine of a query with one row: what [`VectorIndex::cosine_all`] says of it.
    ///
    /// # Panics
    /// If there is no such row, or the query has other dimensions.
    pub fn cosine_of(&self, query: &RoundedQuery, row: usize) -> f32 {
        assert_eq!(query.components.len(), self.dim, "one component a dimension");
        let (scale, row) = self.stored(row);
        let sum = pulp::Arch::new().dispatch(
            #[inline(always)]
            || dot(row, &query.components),
        );
        sum as f32 * (query.scale * scale)
    }
}

/// Integer dot product. Written so that the compiler uses 16-bit multiply-add instructions.
// Inlined into code compiled for the widest registers; called, it would be compiled for the narrowest.
#[allow(clippy::inline_always)]
#[inline(always)]
fn dot(row: &[i8], query: &[i16]) -> i32 {
    row.iter().zip(query).map(|(&a, &b)| i32::from(i16::from(a)) * i32::from(b)).sum()
}

/// A vector's unit-length form as `scale · integer`.
struct Rounding {
    scale: f32,
    to_integer: f32,
    levels: f32,
}

impl Rounding {
    fn of(row: &[f32], levels: f32) -> Self {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32;
        let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        if norm == 0.0 || !norm.is_finite() {
            return Self { scale: 0.0, to_integer: 0.0, levels };
        }
        Self { scale: largest / norm / levels, to_integer: levels / largest, levels }
    }

    fn round(&self, value: f32) -> f32 {
        // NaN (from a row that is not finite) becomes 0 in the cast that follows.
        (value * self.to_integer).round().clamp(-self.levels, self.levels)
    }
}

fn round_query(query: &[f32]) -> (Vec<i16>, f32) {
    let rounding = Rounding::of(query, QUERY_LEVELS);
    (query.iter().map(|&value| rounding.round(value) as i16).collect(), rounding.scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index_of(rows: &[f32], dim: usize) -> (tempfile::TempDir, VectorIndex) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        VectorIndex::write(&mut bytes, rows, dim).unwrap();
        std::fs::write(folder.path().join("v"), bytes).unwrap();
        let index = VectorIndex::open(folder.path(), "v").unwrap();
        (folder, index)
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let norm = (dot(a, a) * dot(b, b)).sqrt();
        if norm == 0.0 { 0.0 } else { (dot(a, b) / norm) as f32 }
    }

    proptest! {
        #[test]
        fn scores_are_cosines_up_to_rounding(
            (dim, rows, query) in (1_usize..40).prop_flat_map(|dim| (
                Just(dim),
                prop::collection::vec(-5.0_f32..5.0, dim..=dim * 6).prop_map(move |mut rows| {
                    rows.truncate(rows.len() / dim * dim);
                    rows
                }),
                prop::collection::vec(-9.0_f32..9.0, dim),
            ))
        ) {
            let (_folder, index) = index_of(&rows, dim);
            let mut scores = vec![9.0; index.len()];
            index.cosine_all(&query, &mut scores);
            for (row, score) in rows.chunks_exact(dim).zip(scores) {
                let exact = cosine(row, &query);
                // Rounding moves each component by at most half a step of 1/127 of the largest.
                prop_assert!((score - exact).abs() < 0.005 * (dim as f32).sqrt(), "{score} for {exact}");
            }
        }
    }

    #[test]
    fn a_zero_row_or_query_scores_zero() {
        let (_folder, index) = index_of(&[0.0, 0.0, 1.0, 2.0], 2);
        let mut scores = [9.0; 2];
        index.cosine_all(&[1.0, 2.0], &mut scores);
        assert_eq!(scores[0], 0.0);
        assert!((scores[1] - 1.0).abs() < 1e-2);
        index.cosine_all(&[0.0, 0.0], &mut scores);
        assert_eq!(scores, [0.0; 2]);
    }

    #[test]
    fn every_cut_of_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        VectorIndex::write(&mut bytes, &[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(folder.path().join("v"), &bytes[..length]).unwrap();
            assert!(VectorIndex::open(folder.path(), "v").is_err(), "{length} bytes");
        }
        assert!(matches!(VectorIndex::open(folder.path(), "w"), Err(VectorError::Open(_))));
    }
}
