//! Production companies and series of films: from every form of a cell to the graph, filters, questions and similar films.

use std::fs;
use std::ops::ControlFlow;

use titlecard_engine::catalogue::{
    Film, FilmWriter, ReadOptions, export_parquet, load_prepared, read_films, read_films_from,
};
use titlecard_engine::filter::FilmSet;
use titlecard_engine::graph::{self, Graph, GraphConfig, Kind, Relation};
use titlecard_engine::index::facts::Facts;
use titlecard_engine::progress::silent;
use titlecard_engine::query::{Lexicon, Understander, parse_filters};
use titlecard_engine::similar::{PARTS, SimilarFilms, SimilarWeights};

/// Companies and series of the first film of a file.
fn first(text: &str, options: &ReadOptions) -> (Vec<String>, Vec<String>) {
    let mut films = Vec::new();
    read_films_from(std::io::Cursor::new(text.as_bytes().to_vec()), "films", options, &mut |film: Film| {
        films.push(film);
        ControlFlow::Continue(())
    })
    .unwrap();
    (std::mem::take(&mut films[0].companies), std::mem::take(&mut films[0].collections))
}

#[test]
fn every_form_of_a_cell_is_read() {
    let options = ReadOptions::default();
    let csv = |header: &str, companies: &str, series: &str| {
        let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let text = format!("{header}\n1,Toy Story,Toys talk.,{},{}\n", quoted(companies), quoted(series));
        first(&text, &options)
    };
    let tmdb = "id,title,overview,production_companies,belongs_to_collection";
    let expected = (
        vec!["Pixar".to_owned(), "Metro-Goldwyn-Mayer, Inc.".to_owned()],
        vec!["Toy Story Collection".to_owned()],
    );
    for (companies, series) in [
        (
            r#"[{"id": 3, "name": "Pixar"}, {"id": 8, "name": "Metro-Goldwyn-Mayer, Inc."}]"#,
            r#"{"id": 10194, "name": "Toy Story Collection", "poster_path": null}"#,
        ),
        (
            "[{'name': 'Pixar', 'id': 3}, {'name': 'Metro-Goldwyn-Mayer, Inc.', 'id': 8}]",
            "{'id': 10194, 'name': 'Toy Story Collection', 'poster_path': '/7G.jpg', 'backdrop_path': None}",
        ),
        ("Pixar, Metro-Goldwyn-Mayer, Inc.", "Toy Story Collection"),
        ("Pixar|Metro-Goldwyn-Mayer, Inc.", "[{'name': 'Toy Story Collection'}]"),
        (r#"["Pixar", "Metro-Goldwyn-Mayer, Inc."]"#, r#"["Toy Story Collection"]"#),
    ] {
        assert_eq!(csv(tmdb, companies, series), expected, "{companies}");
        let line = |companies: &str, series: &str| {
            first(
                &format!(
                    "{{\"id\":1,\"title\":\"Toy Story\",\"overview\":\"Toys talk.\",\"companies\":{companies},\"collection\":{series}}}"
                ),
                &options,
            )
        };
        let text = |cell: &str| serde_json::to_string(cell).unwrap();
        assert_eq!(line(&text(companies), &text(series)), expected, "a text in JSON: {companies}");
        if companies.starts_with("[{\"") {
            assert_eq!(line(companies, series), expected, "values of JSON");
        }
    }
    // A comma is part of the name of a series, and of a company before its legal form alone.
    let commas =
        csv("id,title,tags,studios,franchise", "Toei Co., Ltd., B, LLC, C", "The Good, the Bad Collection");
    assert_eq!(commas.0, ["Toei Co., Ltd.", "B, LLC", "C"]);
    assert_eq!(commas.1, ["The Good, the Bad Collection"]);
    for nothing in ["", "[]", "nan", "{}"] {
        assert_eq!(csv(tmdb, nothing, nothing), (vec![], vec![]), "{nothing}");
    }
    let columns = [("companies", "made_by"), ("collections", "part_of")];
    let columns = columns.map(|(field, column)| (field.to_owned(), column.to_owned())).into();
    let mapped = "id,title,tags,made_by,part_of\n1,A,b,Pixar,Toy Story Collection\n";
    let mapped = first(mapped, &ReadOptions { columns, ..ReadOptions::default() });
    assert_eq!(mapped, (vec!["Pixar".to_owned()], vec!["Toy Story Collection".to_owned()]));
}

fn film(id: &str, companies: &[&str], collections: &[&str]) -> Film {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Film {
        id: id.to_owned(),
        title: format!("Film {id}"),
        tags: "something happens".to_owned(),
        companies: owned(companies),
        collections: owned(collections),
        ..Film::default()
    }
}

fn films() -> Vec<Film> {
    let mut films = vec![
        film("a", &["Pixar", "Walt Disney Pictures"], &["Toy Story Collection"]),
        film("b", &["Pixar Animation Studios"], &["Toy Story Collection"]),
        film("c", &["Studio Ghibli", "Toei Co., Ltd."], &[]),
        film("d", &["Studio Ghibli"], &[]),
        film("e", &["Universal Pictures"], &["Alien Collection"]),
        film("f", &["Universal Pictures", "Paris Films"], &[]),
        film("g", &["The Asylum"], &[]),
    ];
    // So that the graph knows the place.
    films[5].overview = "A waiter works in Paris.".to_owned();
    films
}

fn graph_of(films: &[Film]) -> Graph {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.tcg");
    graph::build(&path, films, &GraphConfig::default(), &mut silent).unwrap();
    Graph::open(&path).unwrap()
}

#[test]
fn a_catalogue_keeps_them_and_one_written_before_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let (path, parquet) = (folder.path().join("films.jsonl.zst"), folder.path().join("films.parquet"));
    let mut writer = FilmWriter::create(&path).unwrap();
    films().iter().for_each(|film| writer.write(film).unwrap());
    writer.finish().unwrap();
    assert_eq!(load_prepared(&path).unwrap().films(), films());
    assert_eq!(export_parquet(&path, &parquet, &mut silent).unwrap(), 7);
    let mut back = Vec::new();
    let mut on_film = |film| {
        back.push(film);
        ControlFlow::Continue(())
    };
    read_films(&parquet, &ReadOptions::default(), &mut on_film, &mut |_, _| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(back, films());

    // A film as it was written when there were no such fields; it is written the same way now.
    let line = "{\"id\":\"1\",\"title\":\"Jaws\",\"genres\":[\"Horror\"],\"countries\":[\"United States of America\"],\
                \"languages\":[\"English\"],\"votes\":5,\"tags\":\"a shark\"}";
    fs::write(&path, zstd::encode_all(format!("{line}\n").as_bytes(), 3).unwrap()).unwrap();
    let old = load_prepared(&path).unwrap().into_films();
    assert_eq!((old[0].title.as_str(), old[0].votes), ("Jaws", Some(5)));
    assert!(old[0].companies.is_empty() && old[0].collections.is_empty());
    assert_eq!(serde_json::to_string(&old[0]).unwrap(), line);
}

#[test]
fn edges_lead_to_them_and_back() {
    let graph = graph_of(&films());
    for (relation, kind, name, expected) in [
        (Relation::Company, Kind::Company, "STUDIO GHIBLI", &[2, 3][..]),
        (Relation::Company, Kind::Company, "toei co. ltd", &[2]),
        (Relation::Collection, Kind::Collection, "Toy Story Collection", &[0, 1]),
    ] {
        let entity = graph.find(kind, name).unwrap();
        assert_eq!(graph.films_of(entity, relation).collect::<Vec<_>>(), expected, "{name}");
        for &film in expected {
            assert!(graph.edges(film, relation).any(|edge| edge == (entity, false)), "{name}");
        }
    }
    assert_eq!(graph.count_edges(Relation::Company), (10, 0));
    assert_eq!(graph.count_edges(Relation::Collection), (3, 0));

    let mut rows = Vec::new();
    let query = "SELECT ?id { ?f tc:company company:studio_ghibli ; tc:company ?c ; tc:id ?id . ?c a tc:Company . \
                 FILTER(?c != company:studio_ghibli) }";
    graph::query(&graph, query, || false, &mut |_| {}, &mut |row| {
        rows.push(row[0].as_ref().map(|value| value.value.clone()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(rows, [Some("c".to_owned())]);
    let around = graph::Neighbourhood::of(&graph, 0, &graph::ShowConfig::default());
    let shown = around.to_string();
    assert!(shown.contains("company    Pixar (1), Walt Disney Pictures (1)"), "{shown}");
    assert!(shown.contains("collection Toy Story Collection (2)"), "{shown}");
    assert!(shown.contains("Film b: Toy Story Collection"), "{shown}");
}

#[test]
fn filters_take_whole_and_short_names() {
    let (films, graph) = (films(), graph_of(&films()));
    let facts = Facts::of_films(&films);
    let passing = |query: &str| {
        let (filters, errors) = parse_filters(query);
        assert_eq!(errors, [], "{query}");
        let set = FilmSet::of(&filters, &graph, &facts).map_err(|error| error.to_string())?;
        Ok::<Vec<u32>, String>(set.unwrap().iter().collect())
    };
    for (query, expected) in [
        ("company:\"Studio Ghibli\"", &[2, 3][..]),
        ("something company:ghibli -company:\"Toei Co., Ltd.\"", &[3]),
        ("company:PIXAR", &[0, 1]),
        ("company:\"pixar animation studios\"", &[1]),
        ("-company:universal", &[0, 1, 2, 3, 6]),
        ("collection:\"Toy Story Collection\"", &[0, 1]),
        ("collection:\"toy story\" company:\"walt disney\"", &[0]),
        ("-collection:alien -collection:\"toy story\"", &[2, 3, 5, 6]),
    ] {
        assert_eq!(passing(query).as_deref(), Ok(expected), "{query}");
    }
    assert_eq!(
        passing("company:Gibli").unwrap_err(),
        "no company of the catalogue is called `Gibli`; did you mean `Studio Ghibli`?"
    );
    assert_eq!(
        passing("-collection:\"Toy Stry\"").unwrap_err(),
        "no collection of the catalogue is called `Toy Stry`; did you mean `Toy Story Collection`?"
    );
    let graph = graph_of(&[film("a", &[], &[])]);
    let (filters, _) = parse_filters("company:Pixar");
    let message = FilmSet::of(&filters, &graph, &Facts::of_films(&films[..1])).unwrap_err().to_string();
    assert!(message.contains("says nothing of any film's company, so `company:Pixar` cannot"), "{message}");
}

#[test]
fn questions_name_them_only_where_films_are_said_to_come_from_them() {
    let graph = graph_of(&films());
    let understander = Understander::new(Lexicon::of_graph(&graph));
    let named = |text: &str| -> Vec<(Kind, String, bool)> {
        let understood = understander.understand(text, 2020);
        let entities = understood.entities.into_iter();
        entities
            .filter(|entity| matches!(entity.kind, Kind::Company | Kind::Collection))
            .map(|entity| (entity.kind, entity.name, entity.negated))
            .collect()
    };
    for (text, kind, name, negated) in [
        ("I am looking for a Pixar movie about a lamp", Kind::Company, "pixar", false),
        ("it was an old Universal monster film", Kind::Company, "universal", false),
        ("a cartoon from Ghibli with a cat", Kind::Company, "ghibli", false),
        ("the movie was made by Studio Ghibli", Kind::Company, "studio ghibli", false),
        ("It is not a Pixar movie.", Kind::Company, "pixar", true),
        ("one of the Alien movies, with a queen", Kind::Collection, "alien", false),
        (
            "it is part of the Toy Story Collection that my brother bought long ago",
            Kind::Collection,
            "toy story collection",
            false,
        ),
    ] {
        assert_eq!(named(text), [(kind, name.to_owned(), negated)], "{text}");
    }
    for text in [
        "he believes in a universal truth and builds a universal film projector",
        "a man who works at Universal as a guard",
        "He is sent to The Asylum by a judge",
        "a movie from Paris with a waiter",
        "a girl called Alien meets an Alien",
        "a story of toys, a toy story with a cowboy",
        "Pixar",
    ] {
        assert_eq!(named(text), [], "{text}");
    }
    // Of a catalogue without such columns there is nothing to be named.
    assert_eq!(Lexicon::of_graph(&graph_of(&[film("a", &[], &[])])).entities_named("pixar"), []);
}

#[test]
fn films_of_a_small_company_or_one_series_are_alike() {
    let mut films = films();
    films.extend((0..60).map(|at| film(&format!("u{at}"), &["Universal Pictures"], &[])));
    let graph = graph_of(&films);
    let similar = SimilarFilms::new(&graph, None);
    let weights = SimilarWeights::default();
    let part = |name: &str| PARTS.iter().position(|part| *part == name).unwrap();
    let (companies, collection) = (part("companies"), part("collection"));

    let found = similar.most_like(0, 2, &weights);
    assert_eq!(found[0].film, 1, "the other of the series");
    assert_eq!(found[0].parts[collection].shared[0].name, "Toy Story Collection");
    let ghibli = &similar.most_like(3, 1, &weights)[0];
    assert_eq!(ghibli.film, 2);
    assert_eq!(ghibli.parts[companies].shared[0].name, "Studio Ghibli");
    let rarity = |n_with: f32| (67.0_f32 / n_with).ln() / 67.0_f32.ln();
    let expected = rarity(2.0) / (rarity(2.0) * (rarity(2.0) + rarity(1.0))).sqrt();
    assert!((ghibli.parts[companies].value - expected).abs() < 1e-5, "{ghibli:?}");
    assert_eq!(ghibli.score.to_bits(), (weights.0[companies] * ghibli.parts[companies].value).to_bits());
    // Nearly every film here is Universal's: beside a company of its own that is little to share.
    let beside = similar.values(5, &weights)[companies][10];
    assert!(beside > 0.0 && beside < 0.3, "{beside}");
}
