//! How well titles are looked up and similar films found, on a working folder with graph and index.
//!
//! ```text
//! cargo run --release -p titlecard-engine --example look_up -- titles FOLDER
//! cargo run --release -p titlecard-engine --example look_up -- filters FOLDER 'genre:horror year:1980..1989' …
//! cargo run --release -p titlecard-engine --example look_up -- similar FOLDER TAGS.csv LINKS.csv [--tune]
//! ```
//!
//! `titles`: 2,000 titles, drawn evenly from all films and from the tenth that is best known, each with slips of
//! the keys or cut; a look-up succeeds if a film of that title is among the first. `similar`: tags that people gave
//! to films (`userId,movieId,tag,timestamp`, and `movieId,imdbId,tmdbId`) say how alike two films are: by the
//! number of different tags both have. Weights are set (`--tune`) on films with an even number in the catalogue and
//! all figures are of those with an odd one.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use titlecard_engine::filter::FilmSet;
use titlecard_engine::graph::{EntityId, Graph, entity_key};
use titlecard_engine::index::SearchIndex;
use titlecard_engine::pipeline::{self, Workspace};
use titlecard_engine::query::parse_filters;
use titlecard_engine::similar::{N_PARTS, PARTS, SimilarFilms, SimilarWeights};
use titlecard_engine::titles::TitleIndex;

const SEED: u64 = 7;
const N_TITLES: usize = 2_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["titles", folder] => titles(folder),
        ["filters", folder, filters @ ..] => time_filters(folder, filters),
        ["similar", folder, tags, links, rest @ ..] => similar(folder, tags, links, rest.contains(&"--tune")),
        _ => println!("see the head of this program for its arguments"),
    }
}

/// A step with its milliseconds: of processor time where the system tells it (Linux), so that other work on the
/// machine does not count; else by the clock.
fn timed<T>(step: impl FnOnce() -> T) -> (T, f64) {
    let spent = || -> Option<f64> {
        let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(said.split(' ').next()?.parse::<f64>().ok()? / 1e6)
    };
    let (started, before) = (Instant::now(), spent());
    let value = step();
    let clock = started.elapsed().as_secs_f64() * 1e3;
    (value, before.zip(spent()).map_or(clock, |(before, after)| after - before))
}

fn titles(folder: &str) {
    let workspace = Workspace::new(folder);
    let graph = pipeline::open_graph(&workspace, None).unwrap();
    let facts = SearchIndex::open_facts(&workspace.index()).unwrap();
    let opening =
        (0..5).map(|_| timed(|| TitleIndex::new(&graph, &[], Some(&facts))).1).fold(f64::MAX, f64::min);
    let index = pipeline::open_titles(&workspace, &graph).unwrap();
    println!(
        "{} titles, table made in {opening:.1} ms, {:.1} MB in memory",
        index.len(),
        index.memory_bytes() as f64 / 1e6
    );
    let is_long = |film: &u32| graph.key(EntityId(*film)).chars().count() >= 4;
    let all: Vec<u32> = (0..graph.n_films() as u32).filter(is_long).collect();
    let mut known = all.clone();
    known.sort_by(|&a, &b| {
        let votes = |film: u32| facts.popularity()[film as usize];
        votes(b).total_cmp(&votes(a)).then(a.cmp(&b))
    });
    known.truncate(graph.n_films() / 10);
    println!("| titles | query | n | success@1 | success@3 | mean ms |\n|---|---|---|---|---|---|");
    for (name, mut films) in [("all films", all), ("the best-known tenth", known)] {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
        films.shuffle(&mut rng);
        films.truncate(N_TITLES);
        for (how, damage) in DAMAGES {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
            let (mut n, mut hits, mut spent) = (0, [0, 0], 0.0);
            for &film in &films {
                let Some(query) = damage(&graph, film, &mut rng) else { continue };
                let (found, ms) = timed(|| index.find(&graph, &query, 3));
                spent += ms;
                n += 1;
                let key = graph.key(EntityId(film));
                let place = found.iter().position(|found| graph.key(EntityId(found.film)) == key);
                hits[0] += usize::from(place == Some(0));
                hits[1] += usize::from(place.is_some());
            }
            let share = |hits: usize| hits as f64 / n.max(1) as f64;
            println!(
                "| {name} | {how} | {n} | {:.3} | {:.3} | {:.2} |",
                share(hits[0]),
                share(hits[1]),
                spent / n.max(1) as f64
            );
        }
    }
}

type Damage = fn(&Graph, u32, &mut Xoshiro256PlusPlus) -> Option<String>;

const DAMAGES: [(&str, Damage); 7] = [
    ("as it is", |graph, film, _| Some(graph.name(EntityId(film)).to_owned())),
    ("1 slip", |graph, film, rng| Some(slip(graph.key(EntityId(film)), rng))),
    ("2 slips", |graph, film, rng| Some(slip(&slip(graph.key(EntityId(film)), rng), rng))),
    ("first half (at least 4 letters)", |graph, film, _| Some(cut(graph.key(EntityId(film)), 2))),
    ("first three quarters", |graph, film, _| Some(cut(graph.key(EntityId(film)), 4))),
    ("without its article", |graph, film, _| {
        let (first, rest) = graph.key(EntityId(film)).split_once(' ')?;
        ["the", "a", "an"].contains(&first).then(|| rest.to_owned())
    }),
    ("without diacritics", |graph, film, _| {
        let name = graph.name(EntityId(film));
        let is_latin = name.chars().all(|c| (c as u32) < 0x250) && !name.is_ascii();
        is_latin.then(|| entity_key(name))
    }),
];

/// One letter left out, added, changed, or exchanged with the next.
fn slip(text: &str, rng: &mut Xoshiro256PlusPlus) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = rng.random_range(0..letters.len().max(1));
    let letter = char::from(b'a' + rng.random_range(0..26_u8));
    match rng.random_range(0..4) {
        0 if letters.len() > 1 => drop(letters.remove(at)),
        1 => letters.insert(at, letter),
        2 if at + 1 < letters.len() => letters.swap(at, at + 1),
        _ if at < letters.len() => letters[at] = letter,
        _ => letters.push(letter),
    }
    letters.into_iter().collect()
}

/// The text without its last `1 / part`, but at least four letters.
fn cut(text: &str, part: usize) -> String {
    let n = text.chars().count();
    text.chars().take((n - n / part).max(4)).collect()
}

fn time_filters(folder: &str, filters: &[&str]) {
    let workspace = Workspace::new(folder);
    let graph = pipeline::open_graph(&workspace, None).unwrap();
    let facts = SearchIndex::open_facts(&workspace.index()).unwrap();
    println!("| filters | films | ms |\n|---|---|---|");
    for text in filters {
        let (parsed, _) = parse_filters(text);
        let mut best = f64::MAX;
        let mut answer = String::new();
        for _ in 0..5 {
            let (set, ms) = timed(|| FilmSet::of(&parsed, &graph, &facts));
            best = best.min(ms);
            answer = match set {
                Ok(Some(set)) => set.len().to_string(),
                Ok(None) => "all".to_owned(),
                Err(error) => error.to_string(),
            };
        }
        println!("| `{text}` | {answer} | {best:.2} |");
    }
}

/// Tags of films by their numbers in the catalogue.
fn read_tags(graph: &Graph, tags: &str, links: &str) -> BTreeMap<u32, BTreeSet<String>> {
    let rows = |path: &str| csv::Reader::from_path(Path::new(path)).unwrap();
    let films: BTreeMap<String, u32> = rows(links)
        .records()
        .filter_map(|row| {
            let row = row.unwrap();
            Some((row[0].to_owned(), graph.film_with_id(&row[2])?))
        })
        .collect();
    let mut tagged: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for row in rows(tags).records() {
        let row = row.unwrap();
        let tag = entity_key(&row[2]);
        // What people note for themselves says nothing of a film.
        if let Some(&film) = films.get(&row[1])
            && !["in netflix queue", "owned", "watched"].contains(&tag.as_str())
        {
            tagged.entry(film).or_default().insert(tag);
        }
    }
    tagged
}

/// Films that a query film is compared with: values of the parts, and how alike they are.
struct Judged {
    film: u32,
    values: Vec<[f32; N_PARTS]>,
    gains: Vec<f64>,
}

fn similar(folder: &str, tags: &str, links: &str, tunes: bool) {
    let workspace = Workspace::new(folder);
    let index = SearchIndex::open(&workspace.index(), false).unwrap();
    let graph = pipeline::open_graph(&workspace, Some(&index.manifest)).unwrap();
    let tagged = read_tags(&graph, tags, links);
    let films = SimilarFilms::new(&graph, Some(&index));
    let every = SimilarWeights([1.0; N_PARTS]);
    let queries: Vec<u32> =
        tagged.iter().filter(|(_, tags)| tags.len() >= 3).map(|(&film, _)| film).collect();
    let started = Instant::now();
    let judged: Vec<Judged> = queries
        .par_iter()
        .filter_map(|&film| {
            let values = films.values(film, &every);
            let others = || tagged.iter().filter(|(other, _)| **other != film);
            let gains: Vec<f64> =
                others().map(|(_, tags)| tags.intersection(&tagged[&film]).count() as f64).collect();
            let values =
                others().map(|(&other, _)| values.each_ref().map(|part| part[other as usize])).collect();
            gains.iter().any(|&gain| gain > 0.0).then_some(Judged { film, values, gains })
        })
        .collect();
    println!(
        "{} films with tags, {} of them queries (3 or more tags, one shared); {:.0} ms a query on {} threads",
        tagged.len(),
        judged.len(),
        started.elapsed().as_secs_f64() * 1e3 / queries.len() as f64,
        rayon::current_num_threads()
    );
    let (even, odd): (Vec<Judged>, Vec<Judged>) = judged.into_iter().partition(|judged| judged.film % 2 == 0);
    let mut weights = SimilarWeights::default();
    if tunes {
        weights = tuned(weights, &even);
        println!("weights set on {} queries: {:?}", even.len(), weights.0);
    }
    println!("{} queries\n| compared by | nDCG@10 | P@10 |\n|---|---|---|", odd.len());
    let row = |name: &str, weights: SimilarWeights| {
        let (ndcg, precision) = figures(&odd, &weights);
        println!("| {name} | {ndcg:.3} | {precision:.3} |");
    };
    row("nothing (all films alike)", SimilarWeights([0.0; N_PARTS]));
    for part in [2, 0, 1, 3, 4, 5, 6, 7, 9] {
        let mut alone = [0.0; N_PARTS];
        alone[part] = 1.0;
        row(&format!("{} alone", PARTS[part]), SimilarWeights(alone));
    }
    row("the sum", weights);
    let leave_out = [("texts", &[0, 1][..]), ("keywords", &[3]), ("people", &[4, 5]), ("companies", &[9])];
    for (name, parts) in leave_out {
        let mut without = weights.0;
        parts.iter().for_each(|&part| without[part] = 0.0);
        row(&format!("the sum without {name}"), SimilarWeights(without));
    }
}

/// Mean nDCG@10 and share of films with a tag in common among the first 10; tied films share their places.
fn figures(judged: &[Judged], weights: &SimilarWeights) -> (f64, f64) {
    let sums = judged
        .par_iter()
        .map(|judged| {
            let mut order: Vec<(f32, f64)> = judged
                .values
                .iter()
                .map(|&values| weights.score(values))
                .zip(judged.gains.iter().copied())
                .collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0));
            let (mut gain, mut precision, mut at) = (0.0, 0.0, 0);
            for tied in order.chunk_by(|a, b| a.0 == b.0) {
                let mean = tied.iter().map(|one| one.1).sum::<f64>() / tied.len() as f64;
                let shares = tied.iter().filter(|one| one.1 > 0.0).count() as f64 / tied.len() as f64;
                for place in at..(at + tied.len()).min(10) {
                    gain += mean / (place as f64 + 2.0).log2();
                    precision += shares / 10.0;
                }
                at += tied.len();
                if at >= 10 {
                    break;
                }
            }
            let mut best = judged.gains.clone();
            best.sort_by(|a, b| b.total_cmp(a));
            let ideal: f64 =
                best.iter().take(10).zip(0_u32..).map(|(gain, at)| gain / (f64::from(at) + 2.0).log2()).sum();
            [gain / ideal, precision]
        })
        .reduce(|| [0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
    let n = judged.len().max(1) as f64;
    (sums[0] / n, sums[1] / n)
}

/// Coordinate ascent on nDCG@10 over few, round weights.
fn tuned(mut weights: SimilarWeights, judged: &[Judged]) -> SimilarWeights {
    let mut best = figures(judged, &weights).0;
    for _ in 0..2 {
        for part in 0..N_PARTS {
            for weight in [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0] {
                let mut other = weights;
                other.0[part] = weight;
                let found = figures(judged, &other).0;
                if found > best + 1e-4 {
                    (best, weights) = (found, other);
                }
            }
        }
    }
    weights
}
