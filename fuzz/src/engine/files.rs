//! The files of graph and index with right checksums over whatever is in them: only an attacker or a fault of ours writes
//! that. They are refused, or give wrong answers; nothing worse.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use titlecard_engine::artifact::{FileStamp, Manifest};
use titlecard_engine::catalogue::Film;
use titlecard_engine::filter::FilmSet;
use titlecard_engine::graph::{
    self, ExportFormat, Graph, GraphConfig, Kind, Neighbourhood, Relation, ShowConfig, export,
};
use titlecard_engine::index::SearchIndex;
use titlecard_engine::index::facts::Facts;
use titlecard_engine::index::lexical::LexicalConfig;
use titlecard_engine::pipeline::Workspace;
use titlecard_engine::progress;
use titlecard_engine::query::{Lexicon, parse_filters};
use titlecard_engine::rank::FusionWeights;
use titlecard_engine::search::Engine;
use titlecard_engine::similar::{SimilarFilms, SimilarWeights};
use titlecard_engine::titles::TitleIndex;

use super::{file_of, folder};

/// Puts right the checksum of a file of the graph: CRC-32 from byte 12 on, at byte 8.
fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 12 {
        let checksum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// A graph that is whole, for names to be of.
static WHOLE: LazyLock<Graph> = LazyLock::new(|| {
    let place = tempfile::tempdir().expect("a folder for temporary files");
    let path = place.path().join("graph.tcg");
    graph::build(&path, &folder::films(folder::FEW), &GraphConfig::default(), &mut progress::silent)
        .expect("films of our own");
    // On Unix what is mapped stays when the file goes.
    Graph::open(&path).expect("what was written can be opened")
});

/// `bytes`: `graph.tcg` or `names.tclx`, by its first bytes; the checksum is put right first.
///
/// # Panics
/// If one that was opened cannot be used.
pub fn graph(bytes: &[u8]) {
    if bytes.starts_with(b"TCLX") {
        let mut bytes = bytes.to_vec();
        if bytes.len() > 16 {
            bytes[12..16].copy_from_slice(&WHOLE.checksum().to_le_bytes());
        }
        if let Ok(Some(names)) = Lexicon::open(&file_of("names", &with_checksum(&bytes)), &WHOLE) {
            use_names(names);
        }
        return;
    }
    let Ok(graph) = Graph::open(&file_of("graph", &with_checksum(bytes))) else { return };
    let (n_films, n_entities) = (graph.n_films(), graph.n_entities());
    let is_film = |film: u32| assert!((film as usize) < n_films, "film {film} of {n_films}");
    let is_entity =
        |id: graph::EntityId| assert!((id.0 as usize) < n_entities, "entity {} of {n_entities}", id.0);
    for film in 0..n_films.min(20) as u32 {
        let _ = (graph.film_id(film), graph.imdb(film), graph.wikipedia(film));
        for relation in Relation::ALL {
            graph.edges(film, relation).for_each(|(id, _)| is_entity(id));
            let _: Vec<_> = graph.edges(film, relation).collect();
        }
        graph.film_with_id(graph.film_id(film)).into_iter().for_each(is_film);
    }
    for id in Kind::ALL.into_iter().flat_map(|kind| graph.entities(kind).take(20)) {
        let (name, kind) = (graph.name(id), graph.kind(id));
        graph.find(kind, name).into_iter().for_each(is_entity);
        for relation in Relation::ALL {
            let films: Vec<u32> = graph.films_of(id, relation).collect();
            films.into_iter().for_each(is_film);
        }
        for relatives in [graph.parents(id), graph.ancestors(id), graph.children(id), graph.descendants(id)] {
            relatives.collect::<Vec<_>>().into_iter().for_each(is_entity);
        }
    }
    graph.films_titled("Jaws").for_each(is_film);
    if n_films > 1000 || n_entities > 10_000 {
        return;
    }
    let around = Neighbourhood::of(&graph, 0, &ShowConfig::default());
    let _ = around.to_svg();
    for found in SimilarFilms::new(&graph, None).most_like(0, 5, &SimilarWeights::default()) {
        is_film(found.film);
    }
    let facts = Facts::of_films(&vec![Film::default(); n_films]);
    for text in [
        "genre:comedy",
        "-keyword:\"silent film\" year:1900..1910",
        "person:\"Georges Méliès\"",
        "title:jaws",
    ] {
        let (filters, _) = parse_filters(text);
        if let Ok(Some(films)) = FilmSet::of(&filters, &graph, &facts) {
            films.iter().for_each(is_film);
        }
    }
    for found in TitleIndex::new(&graph, &[], None).find(&graph, "the great trane robbery", 5) {
        is_film(found.film);
    }
    let _ = export(&graph, ExportFormat::GraphMl, &file_of("export", b""), &mut progress::silent);
    let question = "SELECT ?film WHERE { ?film tc:genre ?genre } LIMIT 5";
    let _ = graph::query(&graph, question, || false, &mut |_| {}, &mut |_| ControlFlow::Continue(()));
    use_names(Lexicon::of_graph(&graph));
}

fn use_names(names: Lexicon) {
    use titlecard_engine::query::Understander;
    for name in ["great train robbery", "georges melies", "comedy", "silent films", ""] {
        let _ = names.entities_named(name);
    }
    let question =
        "A silent film by Georges Méliès, like The Great Train Robbery, but a comedy with a rocket.";
    let _ = Understander::new(names).understand(question, 2020);
}

/// An index that is whole, and the place of its generation.
struct Whole {
    place: tempfile::TempDir,
    manifest: Manifest,
}

impl Whole {
    fn index(&self) -> PathBuf {
        Workspace::new(self.place.path()).index()
    }
}

thread_local! {
    static INDEX: Whole = {
        let place = tempfile::tempdir().expect("a folder for temporary files");
        folder::make(place.path(), folder::FEW);
        let path = Workspace::new(place.path()).index().join("manifest.json");
        Whole { manifest: Manifest::read(&path).expect("what was written can be read"), place }
    };
}

/// `bytes`: a line with the name of a file of the index, and the file; its checksum in the manifest is put right.
/// Files of the text index are left out: their own checksums are those of another library.
///
/// # Panics
/// If an index that was opened cannot be searched.
pub fn index(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let Ok(name) = std::str::from_utf8(&bytes[..end]) else { return };
    INDEX.with(|whole| with_file(whole, name, &bytes[end + 1..]));
}

fn with_file(whole: &Whole, name: &str, bytes: &[u8]) {
    let index = whole.index();
    let manifest_path = index.join("manifest.json");
    if name == "manifest.json" {
        replace(&manifest_path, &manifest_with_checksum(bytes));
        search(&index);
    } else if whole.manifest.files.contains_key(name) && !name.starts_with("text/") {
        let path = index.join(&whole.manifest.generation).join(name);
        let good = fs::read(&path).expect("the file of the last time was put back");
        replace(&path, bytes);
        let mut manifest = whole.manifest.clone();
        manifest.files.insert(name.to_owned(), FileStamp::of(&path).expect("just written"));
        manifest.write(&manifest_path).expect("a folder of our own");
        search(&index);
        replace(&path, &good);
    } else {
        return;
    }
    whole.manifest.write(&manifest_path).expect("a folder of our own");
}

fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("a folder of our own");
}

fn search(index: &Path) {
    let opened = match SearchIndex::open(index, true) {
        Ok(opened) => opened,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let n_films = opened.n_films();
    let engine = Engine::new(opened, LexicalConfig::default(), FusionWeights::default());
    for question in ["a rocket to the moon", "outlaws rob a train in 1903", "xyzzyq"] {
        if let Ok(answer) = engine.search(question, 5) {
            assert!(answer.hits.iter().all(|hit| hit.film_idx < n_films));
        }
    }
}

/// The checksum a manifest has of itself: over all before it.
fn manifest_with_checksum(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    const MEMBER: &[u8] = b"\"checksum\": \"";
    let Some(at) = bytes.windows(MEMBER.len()).rposition(|part| part == MEMBER) else {
        return bytes.to_vec();
    };
    let sum = titlecard_engine::artifact::hex(&Sha256::digest(&bytes[..at]));
    [&bytes[..at], MEMBER, sum.as_bytes(), b"\"\n}\n"].concat()
}
