//! What the corpora begin with, made of the first films of the sample and of words of ours. `cargo test -p titlecard-engine
//! --test it -- --ignored write_corpora` writes them; inputs that found something are called `found-…` and stay.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use titlecard_engine::catalogue::Film;
use titlecard_engine::pipeline::Workspace;
use titlecard_engine::sample;
use wordvec::WordVectors;
use wordvec::write::{Precision, write_glove_text, write_tcwv, write_word2vec_binary, write_word2vec_text};

use crate::fuzz_engine::folder;

/// Target, name, content.
pub(crate) type Seed = (&'static str, String, Vec<u8>);

/// Seeds of all targets but `rule_list`, whose files are those of older versions.
pub(crate) fn seeds() -> Vec<Seed> {
    let films = folder::films(3);
    let mut seeds = Vec::new();
    let mut add =
        |target, name: &str, content: &[u8]| seeds.push((target, name.to_owned(), content.to_vec()));
    catalogues(&films, &mut add);
    cells(&mut add);
    for (name, text) in QUESTIONS {
        add("query", name, text.as_bytes());
    }
    rules(&mut add);
    requests(&films, &mut add);
    vectors(&mut add);
    files(&mut add);
    seeds
}

type Add<'a> = dyn FnMut(&'static str, &str, &[u8]) + 'a;

fn catalogues(films: &[Film], add: &mut Add<'_>) {
    let mut lines = String::new();
    let mut table = String::from("id,title,overview,genres,year\n");
    for film in films {
        let genres = film.genres.join("|");
        table.push_str(&format!(
            "{},\"{}\",\"{}\",{genres},{}\n",
            film.id,
            film.title,
            film.overview,
            film.year.unwrap_or(0)
        ));
        lines.push_str(&serde_json::to_string(film).unwrap());
        lines.push('\n');
    }
    add("catalogue", "films.jsonl", lines.as_bytes());
    add("catalogue", "films.csv", table.as_bytes());
    let python = "title;overview;genres;release_date;cast;crew\nUp;An old man flies his house;[{'id': 16, 'name': 'Animation'}];\
        2009-05-13;[{'name': \"Ed Asner\", 'order': 0}];[{'job': 'Director', 'name': 'Pete Docter'}]\n";
    add("catalogue", "python.csv", python.as_bytes());
    let imdb = "tconst\ttitleType\tprimaryTitle\tstartYear\tgenres\ntt0073195\tmovie\tJaws \"\t1975\tHorror,Drama\n\
        tt1049413\tmovie\tUp\t\\N\t\\N\n";
    add("catalogue", "imdb.tsv", imdb.as_bytes());
    let people = "id,name,job,vote_count,plot,keywords,imdb_id,year,title\n1,A B,Director,7,A shark eats.,shark,tt1,1975,Jaws\n\
        1,C D,Actor,7,,beach,tt1,1975,Jaws\n";
    add("catalogue", "people.csv", people.as_bytes());
    add("catalogue", "array.json", format!("[{}]", lines.lines().next().unwrap()).as_bytes());
    add("catalogue", "crlf.csv", table.replace('\n', "\r\n").as_bytes());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(table.as_bytes()).unwrap();
    add("catalogue", "films.csv.gz", &packed.finish().unwrap());
    add("catalogue", "films.jsonl.zst", &zstd::encode_all(lines.as_bytes(), 3).unwrap());
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("films.csv", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(table.as_bytes()).unwrap();
    add("catalogue", "films.zip", archive.finish().unwrap().get_ref());
}

fn cells(add: &mut Add<'_>) {
    let cells = [
        (
            "python",
            "[{'id': 18, 'name': 'Drama'}, {'id': 35, 'name': \"It's\", 'x': (1, -2.5e3, None, True)}]",
        ),
        ("crew", "[{'job': 'Editor', 'name': 'a'}, {'job': 'Director', 'name': 'Zo\\xe9 \\u00e9\\n'}]"),
        ("json", r#"[{"name": "Drama", "id": [1, {"a": null}]}, "Comedy", 7]"#),
        ("names", "['a', \"b\", 'c']"),
        ("commas", "Action, Adventure, Murder, She Wrote"),
        ("bars", "Action|Adventure | Drama"),
        ("year", "30/10/1995"),
        ("votes", "1,234,567.0"),
        ("id", "tt0073195"),
    ];
    for (name, cell) in cells {
        add("cells", name, cell.as_bytes());
    }
}

const QUESTIONS: [(&str, &str); 9] = [
    (
        "filters",
        "a shark year:1970..1979 -genre:comedy director:\"Steven Spielberg\" (country:usa) keyword:beach",
    ),
    (
        "years",
        "from the late 80s or early 1990s, set in 1940-45, saw it around 2003, made 20 years ago, ’79, MCMLXXX",
    ),
    ("negated", "It's not a comedy, definitely not Jaws or Alien. It wasn't in English, nobody speaks."),
    ("compared", "Similar to The Great Train Robbery meets A Trip to the Moon, but in black & white."),
    ("quoted", "A man says \"I'll be back\" and “we are here”; the title was 'Something Moon'."),
    ("talk", "Hi all! I saw this on TV as a kid. Please help me, thanks in advance. Edit: found it."),
    ("hedged", "I think there is a scene where a girl, maybe 10, takes a train. Possibly French or Italian."),
    ("scripts", "Ein Café in İstanbul, ß, 日本映画の歴史, Пляж, e\u{301}te\u{301} 1962"),
    ("broken", "genre: horror gener:horror -actor:\" year:19800 title: -keyword: http://x.y year:..1950"),
];

fn rules(add: &mut Add<'_>) {
    let mut list: Value = serde_json::from_str(sample::RULES).unwrap();
    list["rules"].as_array_mut().unwrap().truncate(8);
    add("rules", "sample.json", list.to_string().as_bytes());
    let nested = json!({
        "bias": 0.5,
        "literals": [{"name": "year fits"}, {"name": "genre shared"}],
        "linear": [{"name": "lexical", "weight": 2}],
        "rules": [
            {"logic": "and", "literals": [0, {"not": 1}]},
            {"logic": "or", "literals": [{"rule": 0}, {"not_rule": 0}, 1], "weight": -1.5},
            {"logic": "and", "literals": [{"rule": 1}, {"rule": 0}], "weights": [1], "support": 0.0},
        ],
    });
    add("rules", "nested.json", nested.to_string().as_bytes());
    // Every rule names the one before twice: written out, the last would have 2 to the power of 40 parts.
    let mut doubled = vec![json!({"logic": "and", "literals": [0, 1], "weight": 1})];
    doubled.extend(
        (0..40).map(|at| json!({"logic": "or", "literals": [{"rule": at}, {"rule": at}], "weight": 1})),
    );
    let list =
        json!({"bias": 0, "literals": [{"name": "year fits"}, {"name": "genre shared"}], "rules": doubled});
    add("rules", "found-doubled.json", list.to_string().as_bytes());
}

fn requests(films: &[Film], add: &mut Add<'_>) {
    let mut list: Value = serde_json::from_str(sample::RULES).unwrap();
    list["rules"].as_array_mut().unwrap().truncate(3);
    let id = &films[0].id;
    let json =
        |name: &str, line: &str, body: &Value| (name.to_owned(), format!("{line} application/json\n{body}"));
    let film = json!({"title": "A", "overview": "A lighthouse", "year": 1999.0, "genres": ["Drama"], "votes": 7, "cast": ["B C"]});
    let mut with_id = film.clone();
    with_id["id"] = "new-1".into();
    let requests = [
        json(
            "search",
            "POST /v1/search",
            &json!({
                "query": "a rocket to the moon, not a comedy, from the 1900s", "filters": ["year:1900..1980", "-genre:horror"],
                "limit": 3, "offset": 0, "explain": true, "ask": true, "asked": ["genre"]
            }),
        ),
        json(
            "compare",
            "POST /v1/compare",
            &json!({"query": "a rocket to the moon", "first": id, "second": films[1].id}),
        ),
        json("lint", "POST /v1/rules/lint", &list),
        json("rules", "PUT /v1/rules", &list),
        json("weight", "PATCH /v1/rules/1", &json!({"weight": 0.5})),
        json("film", "PUT /v1/films/new-1", &film),
        ("films".to_owned(), format!("POST /v1/films application/x-ndjson\n{with_id}\n\n{with_id}\n")),
        ("delete".to_owned(), "DELETE /v1/films/none".to_owned()),
        (
            "get".to_owned(),
            "GET /v1/search?q=a+rocket%20to+the+moon&limit=3&offset=1&explain=true&ask=true".to_owned(),
        ),
        ("suggest".to_owned(), "GET /v1/suggest?q=the+great+tr&limit=5".to_owned()),
        ("one".to_owned(), format!("GET /v1/films/{id}")),
        ("similar".to_owned(), format!("GET /v1/films/{id}/similar?limit=3")),
        ("graph".to_owned(), format!("GET /v1/films/{id}/graph")),
        ("picture".to_owned(), format!("GET /v1/films/{id}/graph.svg")),
        ("status".to_owned(), "GET /v1/status".to_owned()),
        ("read".to_owned(), "GET /v1/rules".to_owned()),
        ("reload".to_owned(), "POST /v1/reload".to_owned()),
        ("ready".to_owned(), "GET /readyz".to_owned()),
        ("metrics".to_owned(), "HEAD /metrics".to_owned()),
        ("options".to_owned(), "OPTIONS /v1/films".to_owned()),
    ];
    for (name, request) in requests {
        add("api", &name, request.as_bytes());
    }
}

fn vectors(add: &mut Add<'_>) {
    let words = ["film", "shark", "é", "a b"].map(str::to_owned).to_vec();
    let rows = (0..12).map(|at| at as f32 * 0.25 - 1.0).collect();
    let vectors = WordVectors::new(words, 3, rows).unwrap().with_counts(vec![9, 5, 2, 1]).unwrap();
    let mut put = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        add("vectors", name, &bytes);
    };
    put("word2vec.bin", &|to| write_word2vec_binary(&vectors, to).unwrap());
    put("word2vec.txt", &|to| write_word2vec_text(&vectors, to).unwrap());
    put("glove.txt", &|to| write_glove_text(&vectors, to).unwrap());
    put("f32.tcwv", &|to| write_tcwv(&vectors, Precision::F32, to).unwrap());
    put("f16.tcwv", &|to| write_tcwv(&vectors, Precision::F16, to).unwrap());
    put("int8.tcwv", &|to| write_tcwv(&vectors, Precision::Int8, to).unwrap());
    put("version-1.tcwv", &|to| {
        let words = "film\nshark";
        let values = [1_f32, 0.5, -0.25, 2.0].iter().flat_map(|x| x.to_le_bytes());
        let body: Vec<u8> = words.bytes().chain(values).collect();
        to.extend_from_slice(b"TCWV");
        to.extend_from_slice(&1_u32.to_le_bytes());
        to.extend_from_slice(&2_u64.to_le_bytes());
        [2_u32, 0, 0].iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
        to.extend_from_slice(&(words.len() as u64).to_le_bytes());
        to.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        to.extend_from_slice(&body);
    });
}

/// Files of graph and index: made by the program.
fn files(add: &mut Add<'_>) {
    let place = tempfile::tempdir().unwrap();
    folder::make(place.path(), folder::FEW);
    let workspace = Workspace::new(place.path());
    add("graph", "graph.tcg", &fs::read(workspace.graph()).unwrap());
    add("graph", "names.tclx", &fs::read(workspace.names()).unwrap());
    add("vectors", "encoder.tcse", &fs::read(place.path().join("models/encoder.tcse")).unwrap());
    let generations: Vec<PathBuf> = fs::read_dir(workspace.index())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    let files = fs::read_dir(&generations[0])
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    for path in files.chain([workspace.index().join("manifest.json")]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        add("index", name, &[name.as_bytes(), b"\n", &fs::read(&path).unwrap()].concat());
    }
}
