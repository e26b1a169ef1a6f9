//! Facts of every film that ranking needs at once: year, votes, and whether its plot is known.

use std::io::{self, Write};

use super::layout::Layout;
use crate::catalogue::Film;

/// Facts of all films, in catalogue order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// As they are on disk.
    films: Vec<[u8; FILM_BYTES]>,
    popularity: Vec<f32>,
    /// Numbers of the films whose plot is known, rising.
    with_plot: Vec<u32>,
    /// First row of each of their plots among the passages of all, and the number of rows: `[n + 1]`.
    plot_rows: Vec<u32>,
}

const MAGIC: &[u8; 4] = b"TCFF";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
/// An overview of fewer words is brief.
const BRIEF_WORDS: usize = 20;
/// Bytes a film: year i16, passages of its plot u8, whether its overview is brief u8, votes u32.
const FILM_BYTES: usize = 8;

impl Facts {
    /// The facts of `films`, without a file.
    ///
    /// # Panics
    /// Never: what was written to memory is read back.
    pub fn of_films<'f>(films: impl IntoIterator<Item = &'f Film, IntoIter: ExactSizeIterator>) -> Self {
        let mut bytes = Vec::new();
        Self::write(films, &mut bytes)
            .ok()
            .and_then(|()| Self::read(&bytes))
            .expect("writing to memory does not fail, and what was written is read")
    }

    /// Writes the facts of `films`.
    ///
    /// Layout, little endian: `TCFF`, version u32, number of films u64; for every film its year i16 (0 if
    /// unknown), passages of its plot u8 (0
    /// without one), 1 if its
    /// overview is brief u8, votes u32 (0 if unknown).
    ///
    /// # Errors
    /// The writer's.
    pub(super) fn write<'f>(
        films: impl IntoIterator<Item = &'f Film, IntoIter: ExactSizeIterator>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let films = films.into_iter();
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&(films.len() as u64).to_le_bytes())?;
        for film in films {
            let year = film.year.and_then(|year| i16::try_from(year).ok()).unwrap_or(0);
            out.write_all(&year.to_le_bytes())?;
            let is_brief = film.overview.split_whitespace().nth(BRIEF_WORDS - 1).is_none();
            out.write_all(&[crate::encoder::passages(&film.plot).len() as u8, u8::from(is_brief)])?;
            out.write_all(&film.votes.unwrap_or(0).to_le_bytes())?;
        }
        Ok(())
    }

    /// Reads what [`Facts::write`] wrote; `None` if it is not that.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
        let n_films = u64::from_le_bytes(header[8..16].try_into().ok()?);
        let fits = header.starts_with(MAGIC)
            && header[4..8] == VERSION.to_le_bytes()
            && n_films.checked_mul(FILM_BYTES as u64) == Some(body.len() as u64);
        if !fits {
            return None;
        }
        Some(Self::of_rows(body.as_chunks::<FILM_BYTES>().0.to_vec()))
    }

    fn of_rows(films: Vec<[u8; FILM_BYTES]>) -> Self {
        let votes = |film: &[u8; FILM_BYTES]| u32::from_le_bytes([film[4], film[5], film[6], film[7]]);
        let most = films.iter().map(votes).max().unwrap_or(0);
        let scale = if most == 0 { 0.0 } else { 1.0 / (f64::from(most)).ln_1p() };
        let mut plot_rows = vec![0];
        for film in films.iter().filter(|film| film[2] != 0) {
            plot_rows.push(plot_rows.last().copied().unwrap_or(0) + u32::from(film[2]));
        }
        Self {
            plot_rows,
            popularity: films.iter().map(|film| (f64::from(votes(film)).ln_1p() * scale) as f32).collect(),
            with_plot: (0..).zip(&films).filter(|(_, film)| film[2] != 0).map(|(at, _)| at).collect(),
            films,
        }
    }

    /// The facts of a changed catalogue; `new` are those of the films that are new.
    pub(super) fn changed(&self, new: &Self, layout: &Layout) -> Self {
        let films = layout.films().map(|(is_new, at)| if is_new { new.films[at] } else { self.films[at] });
        Self::of_rows(films.collect())
    }

    /// Number of passages of the plots of all films in front of film number `film`.
    pub(super) fn passages_before(&self, film: usize) -> usize {
        self.plot_rows[self.with_plot.partition_point(|&other| (other as usize) < film)] as usize
    }

    /// Number of films.
    pub fn n_films(&self) -> usize {
        self.films.len()
    }

    /// Year of release, if known.
    pub fn year(&self, film_idx: usize) -> Option<i32> {
        let film = self.films.get(film_idx)?;
        Some(i32::from(i16::from_le_bytes([film[0], film[1]]))).filter(|&year| year != 0)
    }

    /// Rows of the plot of film number `film` among the passages of all plots; empty without a plot.
    pub fn passages_of(&self, film: u32) -> std::ops::Range<usize> {
        match self.with_plot.binary_search(&film) {
            Ok(at) => self.plot_rows[at] as usize..self.plot_rows[at + 1] as usize,
            Err(_) => 0..0,
        }
    }

    /// First row of every plot among the passages of all, and their number: one more than films with a plot.
    pub fn plot_rows(&self) -> &[u32] {
        &self.plot_rows
    }

    /// Whether the overview has fewer than twenty words.
    pub fn is_brief(&self, film_idx: usize) -> bool {
        self.films.get(film_idx).is_some_and(|film| film[3] != 0)
    }

    /// Logarithm of one plus the votes, relative to the film with most, 0 to 1: `[n_films]`.
    pub fn popularity(&self) -> &[f32] {
        &self.popularity
    }

    /// Numbers of the films whose plot is known, rising.
    pub fn with_plot(&self) -> &[u32] {
        &self.with_plot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let film = |year, votes, plot: &str| Film { year, votes, plot: plot.to_owned(), ..Film::default() };
        let long = "A long story of many words. ".repeat(60);
        let films = [film(Some(1985), Some(9), &long), film(None, None, ""), film(Some(-3), Some(99), "x")];
        let mut bytes = Vec::new();
        Facts::write(&films, &mut bytes).unwrap();
        let facts = Facts::read(&bytes).unwrap();
        assert_eq!(
            [facts.year(0), facts.year(1), facts.year(2), facts.year(3)],
            [Some(1985), None, Some(-3), None]
        );
        assert_eq!(facts.with_plot(), [0, 2]);
        assert_eq!([facts.passages_of(0), facts.passages_of(1), facts.passages_of(2)], [0..3, 0..0, 3..4]);
        assert_eq!(facts.popularity(), [0.5, 0.0, 1.0]);
        for cut in 0..bytes.len() {
            assert!(Facts::read(&bytes[..cut]).is_none(), "{cut} bytes");
        }
        bytes[4] = 9;
        assert!(Facts::read(&bytes).is_none());
    }
}
