//! Writes a catalogue of any size in the shape of a real one: `make_catalogue ROWS FILE.csv [SEED]` (`-` for stdout).
//!
//! Titles, overviews, genres, keywords, people and years come of a grammar and of made-up words whose frequencies fall as
//! Zipf found; 3 % of the overviews are one of 200 stock phrases, as in real catalogues. The same seed gives the same
//! bytes. Nothing is held but the list of words.

#![allow(clippy::print_stderr, reason = "a program for benchmarks speaks to its user")]

use std::fs::File;
use std::io::{self, BufWriter, Write};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const N_WORDS: usize = 60_000;
const GENRES: [&str; 18] = [
    "Drama",
    "Comedy",
    "Documentary",
    "Romance",
    "Thriller",
    "Action",
    "Horror",
    "Crime",
    "Family",
    "Animation",
    "Music",
    "Adventure",
    "Fantasy",
    "Science Fiction",
    "Mystery",
    "History",
    "War",
    "Western",
];
/// Overviews of real catalogues begin, join and end in few ways.
const STARTS: [&str; 8] = [
    "A young %",
    "In a small %,",
    "When the % disappears,",
    "After years of %,",
    "Two % meet and",
    "The story of a %",
    "An old % returns to the % and",
    "Set in the % of %,",
];
const MIDDLES: [&str; 6] = [
    "must find the %",
    "falls in love with a %",
    "is haunted by %",
    "tries to save the %",
    "loses a %",
    "learns that % is %",
];
const ENDS: [&str; 5] = [
    "before it is too late.",
    "and nothing is the same.",
    "with the help of a %.",
    "in the end.",
    "as the % begins.",
];

/// Made-up words, the most frequent first.
struct Words {
    words: Vec<String>,
    random: Xoshiro256PlusPlus,
}

impl Words {
    fn new(seed: u64) -> Self {
        const BEGINS: [&str; 20] = [
            "b", "br", "c", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr",
            "v", "w",
        ];
        const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "ea", "o"];
        const STOPS: [&str; 8] = ["n", "r", "s", "l", "t", "", "ck", "m"];
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let words = (0..N_WORDS)
            .map(|_| {
                let mut word = String::new();
                for _ in 0..random.random_range(1..=3) {
                    for parts in [&BEGINS[..], &VOWELS, &STOPS] {
                        word.push_str(parts[random.random_range(0..parts.len())]);
                    }
                }
                word
            })
            .collect();
        Self { words, random }
    }

    /// A rank whose chance is about one over the rank: the exponent of a uniform number is.
    fn rank(&mut self, n: usize) -> usize {
        let uniform: f64 = self.random.random();
        ((n as f64).powf(uniform) as usize).saturating_sub(1).min(n - 1)
    }

    fn push(&mut self, text: &mut String) {
        let rank = self.rank(N_WORDS);
        text.push_str(&self.words[rank]);
    }

    fn fill(&mut self, pattern: &str, text: &mut String) {
        for c in pattern.chars() {
            if c == '%' { self.push(text) } else { text.push(c) }
        }
    }

    fn pick<'p>(&mut self, patterns: &[&'p str]) -> &'p str {
        patterns[self.random.random_range(0..patterns.len())]
    }

    fn sentence(&mut self, text: &mut String) {
        for patterns in [&STARTS[..], &MIDDLES, &ENDS] {
            if !text.is_empty() {
                text.push(' ');
            }
            let pattern = self.pick(patterns);
            self.fill(pattern, text);
        }
    }

    fn name(&mut self, text: &mut String) {
        for part in 0..2 {
            let at = text.len();
            let rank = self.rank(8000);
            text.push_str(&self.words[rank]);
            text[at..].chars().next().map(|c| c.to_ascii_uppercase()).into_iter().for_each(|c| {
                text.replace_range(at..=at, c.encode_utf8(&mut [0; 4]));
            });
            if part == 0 {
                text.push(' ');
            }
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(n_rows), Some(path)) =
        (arguments.next().and_then(|rows| rows.parse::<u64>().ok()), arguments.next())
    else {
        eprintln!("usage: make_catalogue ROWS FILE.csv [SEED]");
        std::process::exit(2);
    };
    let seed = arguments.next().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let out: Box<dyn Write> =
        if path == "-" { Box::new(io::stdout().lock()) } else { Box::new(File::create(path)?) };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut words = Words::new(seed);
    let stock: Vec<String> = (0..200)
        .map(|_| {
            let mut text = String::new();
            words.sentence(&mut text);
            text
        })
        .collect();
    writeln!(out, "id,title,year,genres,keywords,overview,cast,director,vote_count,tags")?;
    let [mut title, mut genres, mut keywords, mut overview, mut cast, mut director] =
        [const { String::new() }; 6];
    for id in 1..=n_rows {
        for text in [&mut title, &mut genres, &mut keywords, &mut overview, &mut cast, &mut director] {
            text.clear();
        }
        words.name(&mut title);
        for _ in 0..words.random.random_range(0..3) {
            title.push(' ');
            words.push(&mut title);
        }
        for n in 0..words.random.random_range(0..4) {
            if n > 0 {
                genres.push('|');
            }
            genres.push_str(GENRES[words.rank(GENRES.len())]);
        }
        // One film in ten has keywords.
        if words.random.random_range(0..10) == 0 {
            for n in 0..words.random.random_range(1..12) {
                if n > 0 {
                    keywords.push('|');
                }
                words.push(&mut keywords);
            }
            words.name(&mut cast);
            cast.push('|');
            words.name(&mut cast);
            words.name(&mut director);
        }
        if words.random.random_range(0..100) < 3 {
            let rank = words.rank(stock.len());
            overview.push_str(&stock[rank]);
        } else {
            for _ in 0..words.random.random_range(1..=5) {
                words.sentence(&mut overview);
            }
        }
        // More films every year.
        let age: f64 = words.random.random();
        let year = 2024 - (age * age * 125.0) as u32;
        let votes = words.rank(30_000);
        write!(
            out,
            "{id},{title},{year},{genres},{keywords},\"{overview}\",{cast},{director},{votes},\"{overview}"
        )?;
        for list in [&genres, &keywords, &cast, &director] {
            for item in list.split('|').filter(|item| !item.is_empty()) {
                write!(out, " {item}")?;
            }
        }
        out.write_all(b"\"\n")?;
    }
    out.flush()
}
