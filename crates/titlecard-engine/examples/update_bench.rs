//! Times changes of films in memory.
//!
//! ```text
//! update_bench FOLDER N [ROUNDS]       a working folder with index and graph; N films changed in each round
//! ```
//!
//! A third of the changes are of films that stay, a third new films, a third deletions, spread over the catalogue. Each round
//! starts from the files. Prints the time of every round, of opening the lists, and resident memory.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use titlecard_engine::catalogue::Film;
use titlecard_engine::config::ConfigBuilder;
use titlecard_engine::pipeline::{self, Workspace};
use titlecard_engine::update::{FilmChange, update};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, n, rest @ ..] = &arguments[..] else {
        return Err("see the head of this example".into());
    };
    let (n, rounds): (usize, usize) = (n.parse()?, rest.first().map_or(Ok(5), |n| n.parse())?);
    let workspace = Workspace::new(folder);
    let mut builder = ConfigBuilder::default();
    for file in [workspace.ranking(), workspace.settings()] {
        if file.exists() {
            builder = builder.file(&file)?;
        }
    }
    let config = builder.build()?;
    let engine = pipeline::open_engine(&workspace, &config)?;
    let graph = engine.knowledge().ok_or("the folder has no graph")?.graph();
    let titles = pipeline::open_titles(&workspace, graph)?;
    println!("opened, {}", memory());
    let started = Instant::now();
    let lists = pipeline::open_lists(&workspace, &config, graph)?;
    println!("lists {:.0} ms, {}", started.elapsed().as_secs_f64() * 1e3, memory());
    for round in 0..rounds {
        let step = engine.index().n_films() / n.max(1);
        let picked: Vec<Film> = (0..n)
            .map(|at| engine.index().lexical.film((at * step + round) % engine.index().n_films()))
            .collect::<Result<_, _>>()?;
        let put: Vec<Film> = picked
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 3 != 2)
            .map(|(at, film)| {
                let id = if at % 3 == 0 { film.id.clone() } else { format!("new-{at}") };
                Film { id, title: format!("{} Again", film.title), ..film.clone() }
            })
            .collect();
        let deleted = picked.iter().skip(2).step_by(3).map(|film| FilmChange::Delete(&film.id));
        let changes: Vec<FilmChange<'_>> = put.iter().map(FilmChange::Put).chain(deleted).collect();
        let started = Instant::now();
        let (changed, titles) = update(&engine, &titles, &changes, &lists, &config)?;
        println!(
            "{} changes {:.0} ms: {} films, {} titles, {}",
            changes.len(),
            started.elapsed().as_secs_f64() * 1e3,
            changed.index().n_films(),
            titles.len(),
            memory()
        );
    }
    Ok(())
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("memory unknown").to_owned()
}
