//! Where the films of a changed catalogue come from: runs of the films before, and new ones between them.

use std::collections::HashMap;

use crate::catalogue::Film;

/// A change of one film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FilmChange<'f> {
    /// The film takes the place of the one with its id, or comes last.
    Put(&'f Film),
    /// The film with this id goes.
    Delete(&'f str),
}

/// Rows that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Of the new rows, else of those before.
    pub is_new: bool,
    /// The first of them there.
    pub first: usize,
    /// How many.
    pub n: usize,
}

/// The films of a changed catalogue by where they come from, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    runs: Vec<Run>,
    n_before: usize,
    n_films: usize,
}

impl Layout {
    /// The order of the films after `changes` of a catalogue of `n_before` films, in which `place_of` finds a film by
    /// its id, and the films that are new or changed, in their order: a changed film keeps its place, a new one
    /// comes last, one that was deleted and put again too.
    pub fn after<'f>(
        n_before: usize,
        place_of: impl Fn(&str) -> Option<usize>,
        changes: &[FilmChange<'f>],
    ) -> (Self, Vec<&'f Film>) {
        // What stands in place of a film before, nothing for one that went; and what came behind all.
        let mut replaced: HashMap<usize, Option<&Film>> = HashMap::new();
        let mut added: Vec<Option<&Film>> = Vec::new();
        let mut place_of_added: HashMap<&str, usize> = HashMap::new();
        for change in changes {
            let (id, film) = match *change {
                FilmChange::Put(film) => (film.id.as_str(), Some(film)),
                FilmChange::Delete(id) => (id, None),
            };
            let before = place_of(id).filter(|at| !matches!(replaced.get(at), Some(None)));
            if let Some(at) = before {
                replaced.insert(at, film);
            } else if let Some(&at) = place_of_added.get(id) {
                added[at] = film;
                if film.is_none() {
                    place_of_added.remove(id);
                }
            } else if film.is_some() {
                place_of_added.insert(id, added.len());
                added.push(film);
            }
        }
        let mut replaced: Vec<(usize, Option<&Film>)> = replaced.into_iter().collect();
        replaced.sort_unstable_by_key(|(at, _)| *at);
        let mut layout = Self { runs: Vec::new(), n_before, n_films: 0 };
        let mut films = Vec::new();
        let mut done = 0;
        for (at, film) in replaced {
            layout.push(false, done, at - done);
            if let Some(film) = film {
                layout.push(true, films.len(), 1);
                films.push(film);
            }
            done = at + 1;
        }
        layout.push(false, done, n_before - done);
        for film in added.into_iter().flatten() {
            layout.push(true, films.len(), 1);
            films.push(film);
        }
        (layout, films)
    }

    fn push(&mut self, is_new: bool, first: usize, n: usize) {
        self.n_films += n;
        match self.runs.last_mut() {
            Some(last) if last.is_new == is_new && last.first + last.n == first => last.n += n,
            _ if n > 0 => self.runs.push(Run { is_new, first, n }),
            _ => {}
        }
    }

    /// Number of films after the changes.
    pub fn n_films(&self) -> usize {
        self.n_films
    }

    /// The runs, in the order of the films.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Every film: whether it is new, and its place among the new or those before.
    pub fn films(&self) -> impl Iterator<Item = (bool, usize)> + '_ {
        self.runs.iter().flat_map(|run| (run.first..run.first + run.n).map(|at| (run.is_new, at)))
    }

    /// The place after the changes of every film before, `u32::MAX` for one that is gone; and of every new one.
    pub fn places(&self) -> (Vec<u32>, Vec<u32>) {
        let n_new = self.runs.iter().filter(|run| run.is_new).map(|run| run.n).sum();
        let (mut before, mut new) = (vec![u32::MAX; self.n_before], vec![u32::MAX; n_new]);
        for (place, (is_new, at)) in (0..).zip(self.films()) {
            if is_new { new[at] = place } else { before[at] = place }
        }
        (before, new)
    }

    /// The runs of rows of which a film has several or none: `rows_before(at)` is the number of rows of the films
    /// in front of `at` in the catalogue before, `rows_new` the same among the new ones.
    pub fn runs_of_rows(
        &self,
        rows_before: impl Fn(usize) -> usize,
        rows_new: impl Fn(usize) -> usize,
    ) -> Vec<Run> {
        let mut runs = Vec::with_capacity(self.runs.len());
        for &Run { is_new, first, n } in &self.runs {
            let rows = |at| if is_new { rows_new(at) } else { rows_before(at) };
            let start = rows(first);
            runs.push(Run { is_new, first: start, n: rows(first + n) - start });
        }
        runs.retain(|run| run.n > 0);
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn film(id: usize, version: usize) -> Film {
        Film { id: id.to_string(), title: version.to_string(), ..Film::default() }
    }

    /// The same by going through a list of films, one change after the other.
    fn applied(before: &[Film], changes: &[FilmChange<'_>]) -> Vec<Film> {
        let mut films = before.to_vec();
        for change in changes {
            match *change {
                FilmChange::Put(film) => match films.iter_mut().find(|other| other.id == film.id) {
                    Some(other) => *other = film.clone(),
                    None => films.push(film.clone()),
                },
                FilmChange::Delete(id) => films.retain(|film| film.id != id),
            }
        }
        films
    }

    proptest! {
        #[test]
        fn a_layout_is_the_catalogue_after_the_changes(
            n in 0_usize..12,
            changes in prop::collection::vec((any::<bool>(), 0_usize..16), 0..30),
        ) {
            let before: Vec<Film> = (0..n).map(|id| film(id, 0)).collect();
            let put: Vec<Film> = changes.iter().zip(1..).map(|((_, id), version)| film(*id, version)).collect();
            let changes: Vec<FilmChange<'_>> = changes
                .iter()
                .zip(&put)
                .map(|((is_put, _), film)| if *is_put { FilmChange::Put(film) } else { FilmChange::Delete(&film.id) })
                .collect();
            let place_of = |id: &str| before.iter().position(|film| film.id == id);
            let (layout, new) = Layout::after(n, place_of, &changes);
            let after: Vec<Film> = layout
                .films()
                .map(|(is_new, at)| if is_new { new[at].clone() } else { before[at].clone() })
                .collect();
            prop_assert_eq!(&after, &applied(&before, &changes));
            prop_assert_eq!(layout.n_films(), after.len());
            let (places, places_of_new) = layout.places();
            for (at, &place) in places.iter().enumerate() {
                let still_there = after.iter().position(|film| *film == before[at]);
                prop_assert_eq!(still_there, (place != u32::MAX).then_some(place as usize));
            }
            for (at, &place) in places_of_new.iter().enumerate() {
                prop_assert_eq!(&after[place as usize], new[at]);
            }
        }
    }
}
