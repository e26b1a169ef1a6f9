//! How often each detector of `query` fires on real questions, and how often it is right.
//!
//! ```text
//! cargo run --release -p titlecard-engine --example query_understanding -- \
//!     QUESTIONS.jsonl.zst CATALOGUE.csv.zst SENTENCE_LABELS.jsonl.zst [--show WHAT]
//! ```
//!
//! Questions are JSON lines with `query_id`, `text`, `year` and `ids.tmdb`; the catalogue has `id`, `title`,
//! `genres`, `keywords`, `cast` and `director`; labels have `query_id` and `sentences`. `--show` lists cases:
//! `dates`, `sentences`, `entities`, or `lines` for all that was understood.
#![allow(
    clippy::too_many_lines,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::uninlined_format_args,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::time::Instant;

use serde_json::Value;
use titlecard_engine::graph::Kind;
use titlecard_engine::query::{DateKind, DateRange, Lexicon, Role, Trait, Understander, Understanding};

struct Question {
    id: String,
    text: String,
    year: Option<i32>,
    tmdb: Option<u32>,
    asked: i32,
}

#[derive(Default)]
struct FilmFacts {
    genres: HashSet<String>,
    keywords: HashSet<String>,
    people: HashSet<String>,
}

fn lines(path: &str) -> impl Iterator<Item = Value> {
    let file = std::fs::File::open(path).unwrap();
    let reader = BufReader::new(zstd::Decoder::new(file).unwrap());
    reader.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// The year of a Reddit post by its id, whose digits count up (base 36), and 2016 for the others.
fn year_asked(id: &str) -> i32 {
    let Some(post) = id.strip_prefix("tomt-") else {
        return if id.starts_with("tot24") { 2023 } else { 2016 };
    };
    let number = i64::from_str_radix(post, 36).unwrap_or(0);
    let starts = [(2021, "koggtt"), (2020, "eiacp6"), (2019, "abc000"), (2018, "7n8000"), (2017, "5l8000")];
    starts
        .iter()
        .find(|(_, first)| number >= i64::from_str_radix(first, 36).unwrap())
        .map_or(2016, |(year, _)| *year)
}

fn questions(path: &str) -> Vec<Question> {
    lines(path)
        .map(|row| {
            let id = row["query_id"].as_str().unwrap().to_owned();
            Question {
                asked: year_asked(&id),
                text: row["text"].as_str().unwrap().to_owned(),
                year: row["year"].as_i64().map(|year| year as i32),
                tmdb: row["ids"]["tmdb"].as_u64().map(|id| id as u32),
                id,
            }
        })
        .collect()
}

fn catalogue(path: &str, wanted: &HashSet<u32>) -> (Lexicon, HashMap<u32, FilmFacts>) {
    let mut reader =
        csv::Reader::from_reader(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (id, title, genres, keywords, cast, director) = (
        column("id"),
        column("title"),
        column("genres"),
        column("keywords"),
        column("cast"),
        column("director"),
    );
    let mut names: Vec<(Kind, u32, String)> = Vec::new();
    let mut known: HashMap<(Kind, String), u32> = HashMap::new();
    let mut facts = HashMap::new();
    for row in reader.records() {
        let row = row.unwrap();
        let film: u32 = row[id].parse().unwrap();
        names.push((Kind::Film, film, row[title].to_owned()));
        let lower = |cell: &str| {
            cell.split('|').filter(|part| !part.is_empty()).map(str::to_lowercase).collect::<HashSet<_>>()
        };
        for (kind, at) in
            [(Kind::Genre, genres), (Kind::Keyword, keywords), (Kind::Person, cast), (Kind::Person, director)]
        {
            for name in row[at].split('|').filter(|name| !name.is_empty()) {
                let next = known.len() as u32;
                known.entry((kind, name.to_owned())).or_insert_with(|| {
                    names.push((kind, next, name.to_owned()));
                    next
                });
            }
        }
        if wanted.contains(&film) {
            let mut people = lower(&row[cast]);
            people.extend(lower(&row[director]));
            facts.insert(
                film,
                FilmFacts { genres: lower(&row[genres]), keywords: lower(&row[keywords]), people },
            );
        }
    }
    let started = Instant::now();
    let lexicon = Lexicon::from_entities(names.iter().map(|(kind, id, name)| (*kind, *id, name.as_str())));
    println!(
        "lexicon: {} entities, {} names, {:.1} MB, made in {:.2} s",
        names.len(),
        lexicon.len(),
        lexicon.n_bytes() as f64 / 1e6,
        started.elapsed().as_secs_f64()
    );
    (lexicon, facts)
}

fn percent(part: usize, all: usize) -> String {
    if all == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / all as f64) }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let show = args
        .iter()
        .position(|arg| arg == "--show")
        .and_then(|at| args.get(at + 1))
        .map_or("", String::as_str);
    let questions = questions(&args[0]);
    let wanted = questions.iter().filter_map(|question| question.tmdb).collect();
    let (lexicon, facts) = catalogue(&args[1], &wanted);
    let understander = Understander::new(lexicon);

    let mut seconds = f64::INFINITY;
    let mut understood: Vec<Understanding> = Vec::new();
    // The best of five passes: other programs only ever make it slower.
    for _ in 0..5 {
        let started = Instant::now();
        understood = questions
            .iter()
            .map(|question| understander.understand(&question.text, question.asked))
            .collect();
        seconds = seconds.min(started.elapsed().as_secs_f64());
    }
    let words: usize = questions.iter().map(|question| question.text.split_whitespace().count()).sum();
    println!(
        "{} questions, {:.0} words each: {:.3} ms a question, {:.3} ms for 100 words\n",
        questions.len(),
        words as f64 / questions.len() as f64,
        1e3 * seconds / questions.len() as f64,
        1e5 * seconds / words as f64
    );

    detectors(&understood);
    dates(&questions, &understood, show == "dates");
    traits(&questions, &understood);
    entities(&questions, &understood, &facts, show == "entities");
    if let Some(labels) = args.get(2).filter(|path| path.ends_with(".zst")) {
        let train: HashSet<&str> = questions.iter().map(|question| question.id.as_str()).collect();
        sentences(&understander, labels, &train, show == "sentences");
    }
    if show == "lines" {
        for (question, understood) in questions.iter().zip(&understood).take(40) {
            println!("\n## {} ({:?})\n{}", question.id, question.year, question.text);
            for line in understood.in_words(&question.text) {
                println!("   {line}");
            }
        }
    }
}

fn detectors(understood: &[Understanding]) {
    let n = understood.len();
    let count = |name: &str, has: &dyn Fn(&Understanding) -> bool| {
        println!(
            "| {name} | {} |",
            percent(understood.iter().filter(|understood| has(understood)).count(), n)
        );
    };
    println!("| detector | questions |\n|---|---|");
    count("a sentence of talk", &|u| u.sentences.iter().any(|sentence| sentence.role == Role::Talk));
    count("hedges and frames", &|u| !u.frames.is_empty());
    count("negation of the film", &|u| u.negations.iter().any(|negation| negation.of_film));
    count("negation in the story", &|u| u.negations.iter().any(|negation| !negation.of_film));
    count("comparison", &|u| !u.comparisons.is_empty());
    count("quotation", &|u| !u.quotes.is_empty());
    for kind in [DateKind::Release, DateKind::Seen, DateKind::Setting] {
        count(&format!("date: {}", kind.name()), &|u| u.dates.iter().any(|date| date.kind == kind));
    }
    for kind in Kind::ALL {
        count(&format!("entity: {}", kind.name()), &|u| u.entities.iter().any(|entity| entity.kind == kind));
    }
    count("filter", &|u| !u.filters.spans.is_empty());
    println!();
}

fn dates(questions: &[Question], understood: &[Understanding], show: bool) {
    let with_year: Vec<(&Question, &Understanding, i32)> = questions
        .iter()
        .zip(understood)
        .filter_map(|(question, understood)| Some((question, understood, question.year?)))
        .collect();
    println!(
        "| dates | ranges | questions with one | holds the year | within 1 | within 3 | median width |\n|---|---|---|---|---|---|---|"
    );
    let holds = |range: &DateRange, year: i32, slack: i32| {
        let (from, to) = (range.from.map(|from| from - slack), range.to.map(|to| to + slack));
        from.is_none_or(|from| from <= year) && to.is_none_or(|to| year <= to)
    };
    let report = |name: &str, pick: &dyn Fn(&Understanding) -> Vec<DateRange>| {
        let mut ranges = Vec::new();
        let mut n_questions = 0;
        for (question, understood, year) in &with_year {
            let picked = pick(understood);
            n_questions += usize::from(!picked.is_empty());
            for range in picked {
                if show && !holds(&range, *year, 1) {
                    let start = (range.span.start.saturating_sub(70)..=range.span.start)
                        .find(|at| question.text.is_char_boundary(*at))
                        .unwrap();
                    let end = (range.span.end..question.text.len())
                        .skip(40)
                        .find(|at| question.text.is_char_boundary(*at))
                        .unwrap_or(question.text.len());
                    println!(
                        "{name} {} true {year}: {}",
                        range.years(),
                        question.text[start..end].replace('\n', " / ")
                    );
                }
                ranges.push((range, *year));
            }
        }
        let within = |slack| {
            percent(ranges.iter().filter(|(range, year)| holds(range, *year, slack)).count(), ranges.len())
        };
        let mut widths: Vec<i32> =
            ranges.iter().filter_map(|(range, _)| Some(range.to? - range.from? + 1)).collect();
        widths.sort_unstable();
        let width = widths.get(widths.len() / 2).map_or("open".to_owned(), i32::to_string);
        println!(
            "| {name} | {} | {} | {} | {} | {} | {width} |",
            ranges.len(),
            percent(n_questions, with_year.len()),
            within(0),
            within(1),
            within(3)
        );
    };
    let of = |understood: &Understanding, kind| -> Vec<DateRange> {
        understood.dates.iter().filter(|date| date.kind == kind && !date.negated).copied().collect()
    };
    report("release, all", &|u| of(u, DateKind::Release));
    report("release, a year", &|u| of(u, DateKind::Release).into_iter().filter(|d| d.from == d.to).collect());
    report("release, 2 to 6 years", &|u| {
        of(u, DateKind::Release)
            .into_iter()
            .filter(|d| d.from != d.to && d.to.zip(d.from).is_some_and(|(to, from)| to - from < 6))
            .collect()
    });
    report("release, 7 to 10 years", &|u| {
        of(u, DateKind::Release)
            .into_iter()
            .filter(|d| d.to.zip(d.from).is_some_and(|(to, from)| (6..10).contains(&(to - from))))
            .collect()
    });
    report("release, more years", &|u| {
        of(u, DateKind::Release)
            .into_iter()
            .filter(|d| d.to.zip(d.from).is_some_and(|(to, from)| to - from >= 10))
            .collect()
    });
    report("release, open", &|u| {
        of(u, DateKind::Release).into_iter().filter(|d| d.from.is_none() || d.to.is_none()).collect()
    });
    report("seen: no later than", &|u| {
        of(u, DateKind::Seen).into_iter().map(|d| DateRange { from: None, ..d }).collect()
    });
    report("seen, as release", &|u| of(u, DateKind::Seen));
    report("setting, as release", &|u| of(u, DateKind::Setting));
    report("denied, as release", &|u| u.dates.iter().filter(|d| d.negated).copied().collect());
    report("release() best guess", &|u| u.release().into_iter().collect());
    report("release() two-sided", &|u| {
        u.release().into_iter().filter(|d| d.from.is_some() && d.to.is_some()).collect()
    });
    report("release() confidence >= .6", &|u| {
        u.release().into_iter().filter(|d| d.confidence >= 0.6).collect()
    });
    report("release() confidence < .6", &|u| {
        u.release().into_iter().filter(|d| d.confidence < 0.6).collect()
    });
    let mut lags: Vec<i32> = with_year
        .iter()
        .flat_map(|(_, understood, year)| {
            of(understood, DateKind::Seen).into_iter().filter_map(move |date| Some(date.to? - year))
        })
        .collect();
    lags.sort_unstable();
    let at = |share: f64| lags.get((lags.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "\nyears from release to the last year of seeing: 5 % {}, 25 % {}, median {}, 75 % {}, 90 % {}, 95 % {}\n",
        at(0.05),
        at(0.25),
        at(0.5),
        at(0.75),
        at(0.9),
        at(0.95)
    );
}

fn traits(questions: &[Question], understood: &[Understanding]) {
    println!("| trait | questions | denied | year: 10 % | median | 90 % |\n|---|---|---|---|---|---|");
    for what in Trait::ALL {
        let said: Vec<_> = questions
            .iter()
            .zip(understood)
            .filter_map(|(q, u)| u.has_trait(what).map(|so| (q, so)))
            .collect();
        let mut years: Vec<i32> =
            said.iter().filter(|(_, so)| *so).filter_map(|(question, _)| question.year).collect();
        years.sort_unstable();
        let at = |share: f64| {
            years.get((years.len() as f64 * share) as usize).map_or("-".to_owned(), i32::to_string)
        };
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            what.name(),
            said.len(),
            said.iter().filter(|(_, so)| !so).count(),
            at(0.1),
            at(0.5),
            at(0.9)
        );
    }
    println!();
}

fn entities(
    questions: &[Question],
    understood: &[Understanding],
    facts: &HashMap<u32, FilmFacts>,
    show: bool,
) {
    // Genre by genre: said, and the film has it; against the share of all answers that have it.
    let mut said: BTreeMap<String, (usize, usize, usize, usize)> = BTreeMap::new();
    let mut base: HashMap<&str, usize> = HashMap::new();
    let mut n_films = 0;
    let mut other: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for (question, understood) in questions.iter().zip(understood) {
        let Some(film) = question.tmdb.and_then(|id| facts.get(&id)) else { continue };
        if !film.genres.is_empty() {
            n_films += 1;
            for genre in &film.genres {
                *base.entry(genre).or_default() += 1;
            }
            let mut seen = HashSet::new();
            for entity in understood.entities.iter().filter(|entity| entity.kind == Kind::Genre) {
                let name = entity.name.to_lowercase();
                if !seen.insert((name.clone(), entity.negated)) {
                    continue;
                }
                let right = film.genres.contains(&name);
                let counts = said.entry(name).or_default();
                if entity.negated {
                    counts.2 += 1;
                    counts.3 += usize::from(right);
                } else {
                    counts.0 += 1;
                    counts.1 += usize::from(right);
                }
            }
        }
        let mut seen = HashSet::new();
        for entity in understood
            .entities
            .iter()
            .filter(|entity| !entity.negated && seen.insert((entity.kind, entity.name.clone())))
        {
            let (name, right) = match entity.kind {
                Kind::Keyword if !film.keywords.is_empty() => {
                    let name = if entity.name.contains(' ') {
                        "keyword, several words"
                    } else {
                        "keyword, one word"
                    };
                    (
                        name,
                        film.keywords.iter().any(|keyword| {
                            keyword.trim_end_matches('s') == entity.name.trim_end_matches('s')
                        }),
                    )
                }
                Kind::Person if !film.people.is_empty() => {
                    let name = if entity.confidence >= 0.6 { "person, sure" } else { "person, unsure" };
                    (name, film.people.contains(&entity.name))
                }
                Kind::Film => {
                    let name = if entity.compared { "film, compared" } else { "film, named" };
                    (name, entity.ids.contains(&question.tmdb.unwrap_or_default()))
                }
                _ => continue,
            };
            let counts = other.entry(name).or_default();
            counts.0 += 1;
            counts.1 += usize::from(right);
        }
        if show {
            for entity in &understood.entities {
                if !matches!(entity.kind, Kind::Keyword) {
                    println!(
                        "{} {:?} {:.2} neg {} cmp {}",
                        entity.kind.name(),
                        entity.name,
                        entity.confidence,
                        entity.negated,
                        entity.compared
                    );
                }
            }
        }
    }
    println!(
        "| genre | said | film has it | of all answers | denied | film has it |\n|---|---|---|---|---|---|"
    );
    let mut total = (0, 0, 0, 0);
    for (name, (n, right, denied, wrong)) in &said {
        println!(
            "| {name} | {n} | {} | {} | {denied} | {} |",
            percent(*right, *n),
            percent(base.get(name.as_str()).copied().unwrap_or(0), n_films),
            percent(*wrong, *denied)
        );
        total = (total.0 + n, total.1 + right, total.2 + denied, total.3 + wrong);
    }
    println!(
        "| all | {} | {} | | {} | {} |\n",
        total.0,
        percent(total.1, total.0),
        total.2,
        percent(total.3, total.2)
    );
    println!("| entity | named | of the answer |\n|---|---|---|");
    for (name, (n, right)) in other {
        println!("| {name} | {n} | {} |", percent(right, n));
    }
    println!();
}

fn sentences(understander: &Understander, path: &str, train: &HashSet<&str>, show: bool) {
    // Sentences as labelled: told of the film, or only talk; those with neither label are left out.
    let (mut film_film, mut film_talk, mut talk_talk, mut talk_film) = (0, 0, 0, 0);
    let (mut film_mixed, mut talk_mixed) = (0, 0);
    for row in lines(path) {
        if !train.contains(row["query_id"].as_str().unwrap()) {
            continue;
        }
        for sentence in row["sentences"].as_array().unwrap() {
            let labels: Vec<&str> =
                sentence["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
            // "movie.category" is the word "movie", "movie.release_date" is read by the dates.
            let of_film = labels.iter().any(|label| {
                label.starts_with("movie.") && !matches!(*label, "movie.category" | "movie.release_date")
            });
            let talk = labels.iter().any(|label| {
                label.starts_with("context.") || matches!(*label, "social" | "search" | "opinion" | "emotion")
            });
            if !of_film && !talk {
                continue;
            }
            let text = sentence["text"].as_str().unwrap();
            let understood = understander.understand(text, 2016);
            let n: f32 = understood.sentences.iter().map(|s| (s.span.end - s.span.start) as f32).sum();
            let weight = understood
                .sentences
                .iter()
                .map(|s| s.weight * (s.span.end - s.span.start) as f32)
                .sum::<f32>()
                / n.max(1.0);
            match (of_film, weight) {
                (true, w) if w >= 0.5 => film_film += 1,
                (true, _) => film_talk += 1,
                (false, w) if w < 0.5 => talk_talk += 1,
                (false, _) => talk_film += 1,
            }
            if (0.4..0.66).contains(&weight) {
                if of_film { film_mixed += 1 } else { talk_mixed += 1 }
            }
            if show && (of_film == (weight < 0.5)) {
                println!("{} {weight:.2} {labels:?} {text}", if of_film { "FILM" } else { "TALK" });
            }
        }
    }
    println!(
        "sentences labelled film: {} kept, {} left out ({film_mixed} mixed); labelled talk: {} left out, {} kept ({talk_mixed} mixed)",
        film_film, film_talk, talk_talk, talk_film
    );
    println!(
        "talk found: precision {}, recall {}; film kept: precision {}, recall {}",
        percent(talk_talk, talk_talk + film_talk),
        percent(talk_talk, talk_talk + talk_film),
        percent(film_film, film_film + talk_film),
        percent(film_film, film_film + film_talk)
    );
}
