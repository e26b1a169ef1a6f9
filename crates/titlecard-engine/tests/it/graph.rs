//! The graph of the sample catalogue: round trips, look-ups, damage, exports, SPARQL against brute force.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

use oxttl::{NTriplesParser, TurtleParser};
use proptest::prelude::*;
use titlecard_engine::artifact::{ArtifactError, Manifest, films_stamp};
use titlecard_engine::catalogue::Film;
use titlecard_engine::graph::{
    self, EntityId, ExportFormat, Graph, GraphConfig, GraphError, GraphSummary, Kind, Neighbourhood,
    Relation, ShowConfig, entity_key, rdf,
};
use titlecard_engine::pipeline::{self, PipelineError, Workspace};

use crate::{go_on, sample_films};

struct Sample {
    films: Vec<Film>,
    graph: Graph,
    summary: GraphSummary,
    folder: tempfile::TempDir,
}

/// The graph of the sample, made once for all tests.
fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let films = sample_films();
        let (summary, graph) = made(&folder.path().join("graph.tcg"), &films, &GraphConfig::default());
        Sample { films, graph, summary, folder }
    })
}

fn made(path: &Path, films: &[Film], config: &GraphConfig) -> (GraphSummary, Graph) {
    let summary = graph::build(path, films, config, &mut go_on).unwrap();
    (summary, Graph::open(path).unwrap())
}

/// Names in a column of a film, by relation.
fn column(film: &Film, relation: Relation) -> Vec<String> {
    match relation {
        Relation::Genre => film.genres.clone(),
        Relation::Keyword => film.keywords.clone(),
        Relation::Actor => film.cast.clone(),
        Relation::Director => film.directors.clone(),
        Relation::Language => film.languages.clone(),
        Relation::Company => film.companies.clone(),
        Relation::Collection => film.collections.clone(),
        Relation::Year => film.year.map(|year| year.to_string()).into_iter().collect(),
        Relation::Decade => film.year.map(|year| format!("{}s", year / 10 * 10)).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Keys of a column, each once, in order.
fn keys(film: &Film, relation: Relation) -> Vec<String> {
    let mut seen = HashSet::new();
    let keys = column(film, relation).into_iter().map(|name| entity_key(&name));
    keys.filter(|key| seen.insert(key.clone())).collect()
}

const COLUMNS: [Relation; 7] = [
    Relation::Genre,
    Relation::Keyword,
    Relation::Actor,
    Relation::Director,
    Relation::Language,
    Relation::Year,
    Relation::Decade,
];

#[test]
fn edges_from_columns_are_those_of_the_catalogue_in_its_order() {
    let Sample { films, graph, .. } = sample();
    assert_eq!(graph.n_films(), films.len());
    for (at, film) in films.iter().enumerate() {
        let at = at as u32;
        assert_eq!((graph.film_id(at), graph.name(graph.film(at))), (film.id.as_str(), film.title.as_str()));
        assert_eq!(graph.film_with_id(&film.id), Some(at));
        assert!(graph.films_titled(&film.title.to_uppercase()).any(|found| found == at), "{}", film.title);
        for relation in COLUMNS {
            let found: Vec<&str> = graph
                .edges(at, relation)
                .filter(|(_, derived)| !derived)
                .map(|(id, _)| {
                    assert!(relation.targets().contains(&graph.kind(id)));
                    graph.key(id)
                })
                .collect();
            assert_eq!(found, keys(film, relation), "{} of {}", relation.name(), film.title);
        }
    }
}

#[test]
fn both_directions_say_the_same() {
    let graph = &sample().graph;
    let mut films_of: HashMap<EntityId, BTreeSet<u32>> = HashMap::new();
    for relation in Relation::ALL {
        let mut incoming: BTreeMap<EntityId, Vec<(u32, bool)>> = BTreeMap::new();
        for film in 0..graph.n_films() as u32 {
            let edges = graph.edges(film, relation);
            assert_eq!(edges.len(), edges.clone().count());
            for (id, derived) in edges {
                incoming.entry(id).or_default().push((film, derived));
                films_of.entry(id).or_default().insert(film);
            }
        }
        let others = Kind::ALL.into_iter().skip(1).flat_map(|kind| graph.entities(kind));
        for id in others {
            let expected = incoming.remove(&id).unwrap_or_default();
            assert_eq!(graph.films_of(id, relation).with_derived().collect::<Vec<_>>(), expected);
            assert_eq!(graph.n_films_by(id, relation) as usize, expected.len());
        }
        assert!(incoming.is_empty());
    }
    for (id, films) in films_of {
        assert_eq!(graph.n_films_of(id) as usize, films.len());
    }
}

#[test]
fn every_name_is_found_however_it_is_written() {
    let graph = &sample().graph;
    for kind in Kind::ALL.into_iter().skip(1) {
        for id in graph.entities(kind) {
            assert_eq!(graph.kind(id), kind);
            assert_eq!(graph.find(kind, graph.name(id)), Some(id));
            assert_eq!(graph.find(kind, &graph.name(id).to_uppercase().replace(' ', "-")), Some(id));
        }
        assert_eq!(graph.find(kind, "no such name anywhere"), None);
    }
    assert_eq!(graph.find(Kind::Genre, "science-FICTION"), graph.find(Kind::Genre, "Science Fiction"));
    assert!(graph.find(Kind::Genre, "Science Fiction").is_some());
}

#[test]
fn is_a_is_closed_and_has_no_circles() {
    let graph = &sample().graph;
    for id in Kind::ALL.into_iter().skip(1).flat_map(|kind| graph.entities(kind)) {
        let ancestors: BTreeSet<EntityId> = graph.ancestors(id).collect();
        let mut expected = BTreeSet::new();
        let mut open: Vec<EntityId> = graph.parents(id).collect();
        while let Some(above) = open.pop() {
            if expected.insert(above) {
                open.extend(graph.parents(above));
            }
        }
        assert_eq!(ancestors, expected);
        assert!(!ancestors.contains(&id), "{} is a kind of itself", graph.name(id));
        for above in ancestors {
            assert!(graph.descendants(above).any(|below| below == id));
        }
        for parent in graph.parents(id) {
            assert!(graph.children(parent).any(|below| below == id));
        }
    }
    let year = graph.find(Kind::Year, "1975").unwrap();
    assert_eq!(graph.ancestors(year).map(|id| graph.name(id)).collect::<Vec<_>>(), ["1970s"]);
}

#[test]
fn the_same_films_give_the_same_bytes() {
    let sample = sample();
    let first = fs::read(sample.folder.path().join("graph.tcg")).unwrap();
    let again = sample.folder.path().join("again.tcg");
    let (summary, _) = made(&again, &sample.films, &GraphConfig::default());
    assert!(first == fs::read(&again).unwrap());
    assert_eq!(summary, sample.summary);
}

#[test]
fn a_damaged_file_is_an_error_that_names_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.tcg");
    made(&path, &sample().films[..20], &GraphConfig::default());
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Graph::open(&path).err().expect("a damaged file opens")
    };
    for cut in [0, 3, 11, 100, good.len() / 2, good.len() - 1] {
        let error = refused(&good[..cut]);
        assert!(matches!(error, GraphError::Artifact(ArtifactError::Damaged { .. })), "{cut}: {error}");
    }
    for at in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 16;
        assert!(matches!(refused(&bytes), GraphError::Artifact(_)), "byte {at}");
    }
    let mut bytes = good.clone();
    bytes[4] = 9;
    let error = refused(&bytes);
    assert!(matches!(error, GraphError::Artifact(ArtifactError::Version { found: 9, .. })), "{error}");
    assert!(error.to_string().ends_with("remake it with `titlecard graph build`"), "{error}");
    fs::remove_file(&path).unwrap();
    assert!(Graph::open(&path).err().unwrap().to_string().ends_with("run `titlecard graph build` first"));
}

#[test]
fn a_graph_of_another_catalogue_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let films = &sample().films[..30];
    let config = titlecard_engine::config::Config::default();
    pipeline::build_graph(&workspace, &config, films, &mut go_on).unwrap();
    // An index of films with these ids; without a stamp, as of an earlier release, their number alone counts.
    let index_of = |ids: &[&str], stamped: bool| Manifest {
        format: Manifest::FORMAT.to_owned(),
        format_version: Manifest::VERSION,
        written_by: String::new(),
        generation: String::new(),
        n_films: ids.len(),
        films: stamped.then(|| films_stamp(ids.iter().copied())),
        settings: toml::Table::new().into(),
        files: BTreeMap::new(),
    };
    let ids: Vec<&str> = films.iter().map(|film| film.id.as_str()).collect();
    let swapped: Vec<&str> = ids.iter().rev().copied().collect();
    for (ids, stamped) in [(&ids, true), (&ids, false), (&swapped, false)] {
        assert_eq!(pipeline::open_graph(&workspace, Some(&index_of(ids, stamped))).unwrap().n_films(), 30);
    }
    for (ids, stamped) in [(&swapped[..], true), (&ids[..29], true), (&ids[..29], false)] {
        let error = pipeline::open_graph(&workspace, Some(&index_of(ids, stamped))).err().unwrap();
        let PipelineError::Graph(GraphError::OtherCatalogue { found: 30, expected, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(expected, ids.len());
    }
    let summary: GraphSummary =
        serde_json::from_slice(&fs::read(workspace.graph_summary()).unwrap()).unwrap();
    assert_eq!(summary.n_films, 30);
}

#[test]
fn a_stopped_build_leaves_the_old_graph() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.tcg");
    made(&path, &sample().films[..20], &GraphConfig::default());
    let before = fs::read(&path).unwrap();
    let mut stop = |progress: &titlecard_engine::progress::Progress<'_>| {
        if progress.done < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let error = graph::build(&path, &sample().films, &GraphConfig::default(), &mut stop).unwrap_err();
    assert!(matches!(error, GraphError::Interrupted(_)), "{error}");
    assert!(before == fs::read(&path).unwrap());
}

#[test]
fn files_of_ids_give_links_and_languages() {
    let folder = tempfile::tempdir().unwrap();
    let ids = folder.path().join("ids.tsv");
    let mut film = sample().films[0].clone();
    film.languages.clear();
    let id = &film.id;
    fs::write(
        &ids,
        format!("tmdb_id\timdb_id\twikipedia_page_id\toriginal_language\n{id}\ttt0094675\t6990681\tfi\n"),
    )
    .unwrap();
    let mut config = GraphConfig { ids: ids.display().to_string(), ..GraphConfig::default() };
    let path = folder.path().join("graph.tcg");
    let (summary, graph) = made(&path, &[film.clone(), sample().films[1].clone()], &config);
    assert_eq!(summary.n_linked, 1);
    assert_eq!((graph.imdb(0), graph.wikipedia(0), graph.imdb(1)), (Some(94_675), Some(6_990_681), None));
    let language = graph.find(Kind::Language, "Finnish").unwrap();
    assert_eq!(graph.edges(0, Relation::Language).collect::<Vec<_>>(), [(language, false)]);
    let rows = ask(&graph, &format!("SELECT ?x WHERE {{ film:{id} owl:sameAs ?x }} ORDER BY ?x"));
    assert_eq!(
        rows,
        [["https://en.wikipedia.org/?curid=6990681"], ["https://www.imdb.com/title/tt0094675/"]]
    );
    config.ids = folder.path().join("none.tsv").display().to_string();
    let error = graph::build(&path, &[film], &config, &mut go_on).unwrap_err().to_string();
    assert!(error.starts_with("setting `graph.ids`"), "{error}");
}

type Triples = BTreeSet<(String, String, String)>;

/// The triples that the graph should be, from its look-ups alone.
fn expected_triples(graph: &Graph) -> Triples {
    let mut triples = Triples::new();
    let tc = |name: &str| format!("<urn:titlecard:{name}>");
    let iri = |id| format!("<{}>", rdf::iri(graph, id));
    let text = |text: &str| oxrdf::Literal::new_simple_literal(text).to_string();
    for id in Kind::ALL.into_iter().flat_map(|kind| graph.entities(kind)) {
        let mut add = |predicate: String, object: String| triples.insert((iri(id), predicate, object));
        let kind = graph.kind(id).name();
        let class = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
        add("<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>".to_owned(), tc(&class));
        add("<http://www.w3.org/2000/01/rdf-schema#label>".to_owned(), text(graph.name(id)));
        if graph.kind(id) == Kind::Year {
            let value = format!("\"{}\"^^<http://www.w3.org/2001/XMLSchema#integer>", graph.name(id));
            add("<http://www.w3.org/1999/02/22-rdf-syntax-ns#value>".to_owned(), value);
        }
        for parent in graph.parents(id) {
            add(tc("is_a"), iri(parent));
        }
        if let Some(film) = graph.film_number(id) {
            add(tc("id"), text(graph.film_id(film)));
            for relation in Relation::ALL {
                for (target, derived) in graph.edges(film, relation) {
                    let mark = if derived { "derived_" } else { "" };
                    add(tc(&format!("{mark}{}", relation.name())), iri(target));
                }
            }
        }
    }
    triples
}

fn exported(graph: &Graph, format: ExportFormat, ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("graph.{ending}"));
    assert_eq!(ExportFormat::of_path(&path), Some(format));
    graph::export(graph, format, &path, &mut go_on).unwrap();
    fs::read(&path).unwrap()
}

fn parsed<E: std::fmt::Debug>(triples: impl Iterator<Item = Result<oxrdf::Triple, E>>) -> Triples {
    triples
        .map(|triple| {
            let triple = triple.unwrap();
            (triple.subject.to_string(), triple.predicate.to_string(), triple.object.to_string())
        })
        .collect()
}

fn check_exports(graph: &Graph) {
    let expected = expected_triples(graph);
    let lines = exported(graph, ExportFormat::NTriples, "nt");
    assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), expected.len(), "each triple once");
    assert_eq!(parsed(NTriplesParser::new().for_slice(&lines)), expected);
    assert_eq!(
        parsed(TurtleParser::new().for_slice(&exported(graph, ExportFormat::Turtle, "ttl"))),
        expected
    );
    assert_eq!(read_graphml(&exported(graph, ExportFormat::GraphMl, "graphml")), graphml_facts(graph));
}

type GraphMl = (BTreeMap<String, BTreeMap<String, String>>, BTreeSet<(String, String, String, bool)>);

/// Nodes with their data, and edges (source, target, relation, derived), read by an XML library.
fn read_graphml(xml: &[u8]) -> GraphMl {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(xml);
    let (mut nodes, mut edges) = (BTreeMap::new(), BTreeSet::new());
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    let mut data: BTreeMap<String, String> = BTreeMap::new();
    let (mut key, mut text) = (String::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                let found: BTreeMap<String, String> = start
                    .attributes()
                    .map(|attribute| {
                        let attribute = attribute.unwrap();
                        let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                        (name, attribute.unescape_value().unwrap().into_owned())
                    })
                    .collect();
                if start.name().as_ref() == b"data" {
                    key = found["key"].clone();
                    text.clear();
                } else {
                    attributes = found;
                    data.clear();
                }
            }
            Event::Text(piece) => text.push_str(&piece.unescape().unwrap()),
            Event::End(end) => match end.name().as_ref() {
                b"data" => {
                    data.insert(key.clone(), text.clone());
                }
                b"node" => {
                    nodes.insert(attributes["id"].clone(), data.clone());
                }
                b"edge" => {
                    let derived = data.get("derived").is_some_and(|derived| derived == "true");
                    let (source, target) = (attributes["source"].clone(), attributes["target"].clone());
                    edges.insert((source, target, data["relation"].clone(), derived));
                }
                _ => {}
            },
            Event::Eof => return (nodes, edges),
            _ => {}
        }
    }
}

fn graphml_facts(graph: &Graph) -> GraphMl {
    let (mut nodes, mut edges) = (BTreeMap::new(), BTreeSet::new());
    let node = |id: EntityId| format!("n{}", id.0);
    for id in Kind::ALL.into_iter().flat_map(|kind| graph.entities(kind)) {
        let mut data = BTreeMap::from([
            ("kind".to_owned(), graph.kind(id).name().to_owned()),
            ("label".to_owned(), graph.name(id).to_owned()),
        ]);
        for parent in graph.parents(id) {
            edges.insert((node(id), node(parent), "is_a".to_owned(), false));
        }
        if let Some(film) = graph.film_number(id) {
            data.insert("film_id".to_owned(), graph.film_id(film).to_owned());
            for relation in Relation::ALL {
                for (target, derived) in graph.edges(film, relation) {
                    edges.insert((node(id), node(target), relation.name().to_owned(), derived));
                }
            }
        }
        nodes.insert(node(id), data);
    }
    (nodes, edges)
}

#[test]
fn exports_read_back_are_the_graph() {
    check_exports(&sample().graph);
}

fn names() -> impl Strategy<Value = Vec<String>> {
    // Letters of several scripts, quotes, markup, and names without any letter.
    prop::collection::vec("[a-cÅßя七0-9 <>&\"'\\\\%_:/$-]{1,12}", 0..4).prop_map(|names| {
        names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_catalogue_round_trips(
        rows in prop::collection::vec(
            (names(), names(), names(), names(), names(), prop::option::of(1890..2030)), 1..8
        )
    ) {
        let films: Vec<Film> = rows
            .into_iter()
            .enumerate()
            .map(|(at, (genres, keywords, cast, companies, collections, year))| Film {
                id: format!("{at}/é%_ "),
                title: format!("Film <{at}> & \"{}\"", cast.join("\t")),
                tags: "x".to_owned(),
                genres,
                keywords,
                cast,
                companies,
                collections,
                year,
                ..Film::default()
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let (_, graph) = made(&folder.path().join("graph.tcg"), &films, &GraphConfig::default());
        for (at, film) in films.iter().enumerate() {
            for relation in [
                Relation::Genre,
                Relation::Keyword,
                Relation::Actor,
                Relation::Year,
                Relation::Company,
                Relation::Collection,
            ] {
                let found: Vec<&str> = graph
                    .edges(at as u32, relation)
                    .filter(|edge| !edge.1)
                    .map(|(id, _)| graph.key(id))
                    .collect();
                prop_assert_eq!(found, keys(film, relation));
            }
        }
        for id in Kind::ALL.into_iter().flat_map(|kind| graph.entities(kind)) {
            prop_assert_eq!(rdf::entity_of(&graph, &rdf::iri(&graph, id)), Some(id));
        }
        check_exports(&graph);
    }
}

/// All rows of an answer, values as text.
fn ask(graph: &Graph, query: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    graph::query(graph, query, || false, &mut |_| {}, &mut |row| {
        rows.push(
            row.iter().map(|value| value.as_ref().map_or(String::new(), |v| v.value.clone())).collect(),
        );
        ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

fn film_ids(films: impl Iterator<Item = impl std::borrow::Borrow<Film>>) -> Vec<Vec<String>> {
    let mut ids: Vec<Vec<String>> = films.map(|film| vec![film.borrow().id.clone()]).collect();
    ids.sort();
    ids
}

#[test]
fn sparql_answers_equal_brute_force_over_films() {
    let Sample { films, graph, .. } = sample();
    let has = |film: &&Film, relation, key: &str| keys(film, relation).iter().any(|known| known == key);

    let horror = ask(graph, "SELECT ?id WHERE { ?f tc:genre genre:horror ; tc:id ?id } ORDER BY ?id");
    assert!(!horror.is_empty());
    assert_eq!(horror, film_ids(films.iter().filter(|film| has(film, Relation::Genre, "horror"))));

    let both = ask(
        graph,
        "SELECT ?id { ?f tc:genre genre:drama ; tc:decade decade:1970s ; tc:id ?id } ORDER BY ?id",
    );
    let expected = films
        .iter()
        .filter(|film| has(film, Relation::Genre, "drama") && has(film, Relation::Decade, "1970s"));
    assert_eq!(both, film_ids(expected));

    let early =
        ask(graph, "SELECT ?id { ?f tc:year/rdf:value ?y ; tc:id ?id FILTER(?y < 1930) } ORDER BY ?id");
    assert_eq!(early, film_ids(films.iter().filter(|film| film.year.is_some_and(|year| year < 1930))));

    let not = ask(
        graph,
        "SELECT ?id { ?f a tc:Film ; tc:id ?id FILTER NOT EXISTS { ?f tc:genre genre:drama } } ORDER BY ?id",
    );
    assert_eq!(not, film_ids(films.iter().filter(|film| !has(film, Relation::Genre, "drama"))));

    let counts =
        ask(graph, "SELECT ?g (COUNT(?f) AS ?n) { ?f tc:genre/rdfs:label ?g } GROUP BY ?g ORDER BY ?g");
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    films.iter().flat_map(|film| &film.genres).for_each(|genre| *expected.entry(genre).or_default() += 1);
    let expected: Vec<Vec<String>> =
        expected.into_iter().map(|(genre, n)| vec![genre.to_owned(), n.to_string()]).collect();
    assert_eq!(counts, expected);

    let actor_directors =
        ask(graph, "SELECT ?id { ?f tc:actor ?p ; tc:director ?p ; tc:id ?id } ORDER BY ?id");
    let expected = films.iter().flat_map(|film| {
        let directors = keys(film, Relation::Director);
        let own = keys(film, Relation::Actor).into_iter().filter(move |name| directors.contains(name));
        own.map(move |_| film)
    });
    assert_eq!(actor_directors, film_ids(expected));

    // Through is-a, against the closed relation of the file.
    let below = ask(
        graph,
        "SELECT DISTINCT ?id { ?f tc:keyword|tc:derived_keyword ?k ; tc:id ?id . ?k tc:is_a+ genre:horror } ORDER BY ?id",
    );
    let horror = graph.find(Kind::Genre, "horror").unwrap();
    let expected: Vec<Vec<String>> = film_ids((0..films.len()).filter_map(|at| {
        let mut keywords = graph.edges(at as u32, Relation::Keyword);
        keywords.any(|(id, _)| graph.ancestors(id).any(|above| above == horror)).then(|| &films[at])
    }));
    assert!(!expected.is_empty());
    assert_eq!(below, expected);
}

#[test]
fn sparql_takes_every_form_of_query_and_names_faults() {
    let Sample { films, graph, .. } = sample();
    let film = &films[0];
    assert_eq!(ask(graph, "ASK { ?f tc:genre genre:horror }"), [["true"]]);
    assert_eq!(ask(graph, "ASK { ?f tc:genre genre:no_such }"), [["false"]]);
    let triples = ask(graph, &format!("CONSTRUCT {{ film:{0} ?p ?o }} WHERE {{ film:{0} ?p ?o }}", film.id));
    let own = expected_triples(graph)
        .into_iter()
        .filter(|row| row.0 == format!("<urn:titlecard:film:{}>", film.id));
    assert_eq!(triples.len(), own.count());
    let title = oxrdf::Literal::new_simple_literal(&film.title);
    let titled = ask(graph, &format!("SELECT ?id {{ ?f rdfs:label {title} ; tc:id ?id }}"));
    assert_eq!(titled, [[film.id.clone()]]);
    let all = ask(graph, "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }");
    assert_eq!(all, [[expected_triples(graph).len().to_string()]]);
    let error = graph::query(graph, "SELECT ?x {", || false, &mut |_| {}, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(&error, GraphError::Sparql(what) if !what.is_empty()), "{error}");
    let count = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c }";
    let stopped = graph::query(graph, count, || true, &mut |_| {}, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(stopped, Err(GraphError::Interrupted(_))));
}

#[test]
fn a_neighbourhood_is_drawn_and_told() {
    let Sample { films, graph, folder, .. } = sample();
    let at = films.iter().position(|film| film.title == "Jaws").unwrap();
    let around = Neighbourhood::of(graph, at as u32, &ShowConfig::default());
    assert_eq!(around.name, "Jaws (1975)");
    assert!(around.entities.iter().any(|linked| linked.name == "Steven Spielberg"));
    assert!(around.related.iter().all(|related| related.film != at as u32 && !related.shared.is_empty()));
    let text = around.to_string();
    for expected in ["Jaws (1975)\n", "director   Steven Spielberg", "films that share"] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    let svg = around.to_svg().unwrap();
    assert!(svg.contains("Steven Spielberg") && svg.contains("1970s"));
    assert_eq!(svg, around.to_svg().unwrap());
    let png = folder.path().join("jaws.png");
    around.write(&png).unwrap();
    assert!(fs::read(png).unwrap().starts_with(b"\x89PNG"));
    // Films with nothing known of them are drawn too.
    let bare = [Film { id: "1".into(), title: "Bare".into(), tags: "x".into(), ..Film::default() }];
    let (_, graph) = made(&folder.path().join("bare.tcg"), &bare, &GraphConfig::default());
    let around = Neighbourhood::of(&graph, 0, &ShowConfig::default());
    assert!(around.to_svg().unwrap().contains("Bare"));
}
