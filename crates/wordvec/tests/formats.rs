//! Every format, whole and damaged.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::collections::HashSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wordvec::read::{self, Format, ReadOptions};
use wordvec::train::{Corpus, SkipGramConfig, SubwordConfig, SubwordVectors, TrainConfig, train_subwords};
use wordvec::write::{self, Precision};
use wordvec::{IndexOrigin, MappedVectors, Word2vecFile, WordTable, WordVecError, WordVectors, similar};

fn sample(n: usize, dim: usize) -> WordVectors {
    let words = (0..n).map(|at| format!("w{at}_é")).collect();
    let data = (0..n * dim).map(|at| ((at * 7919 % 2003) as f32 - 1001.0) / 500.0).collect();
    WordVectors::new(words, dim, data).unwrap().with_counts((0..n as u64).rev().collect()).unwrap()
}

fn as_bytes(write: impl FnOnce(&mut dyn Write)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn tcwv(vectors: &WordVectors, precision: Precision) -> Vec<u8> {
    as_bytes(|out| write::write_tcwv(vectors, precision, out).unwrap())
}

fn read_all(bytes: &[u8]) -> Result<(WordVectors, read::ReadReport), WordVecError> {
    read::read_from(bytes, &ReadOptions::default())
}

fn folder_with(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn compressed_files_are_found_by_their_bytes() {
    let vectors = sample(20_000, 7);
    let plain = as_bytes(|out| write::write_word2vec_text(&vectors, out).unwrap());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&plain).unwrap();
    for packed in [gz.finish().unwrap(), zstd::encode_all(&plain[..], 3).unwrap()] {
        let (_folder, path) = folder_with("no_telling_name", &packed);
        let (found, report) = read::read_path(&path, &ReadOptions::default()).unwrap();
        assert_eq!((found.words(), report.format), (vectors.words(), Format::TextWithHeader));
        assert_eq!(found.as_slice(), vectors.as_slice());
        // Half a compressed file is told as cut short, with its row.
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let error = read::read_path(&path, &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, WordVecError::Truncated { expected: 20_000, .. }), "{error}");
    }
}

#[test]
fn limits_stop_reading_early() {
    let vectors = sample(100, 5);
    let mut bytes = as_bytes(|out| write::write_word2vec_binary(&vectors, out).unwrap());
    // Behind what is wanted, the file may be anything.
    let keep = bytes.len() / 2;
    bytes.truncate(keep);
    let first = ReadOptions { limit: Some(10), only: None };
    assert_eq!(read::read_from(&bytes[..], &first).unwrap().0.words(), &vectors.words()[..10]);
    let only: HashSet<String> = ["w3_é", "w17_é"].map(String::from).into();
    let wanted = ReadOptions { limit: None, only: Some(only) };
    let (found, _) = read::read_from(&bytes[..], &wanted).unwrap();
    assert_eq!(found.words(), ["w3_é", "w17_é"]);
    assert_eq!(found.get("w17_é"), vectors.get("w17_é"));
    assert!(matches!(read_all(&bytes), Err(WordVecError::Truncated { row: 51, expected: 100, .. })));
}

#[test]
fn faults_of_real_files_are_counted_or_refused() {
    let (vectors, report) = read_all(b"3 2\nred 1 2\nblue 3 4\nred 5 6\n").unwrap();
    assert_eq!((vectors.get("red"), report.n_duplicates), (Some(&[1.0, 2.0][..]), 1));
    let (vectors, report) = read_all(b"1 2\nr\xe9d 1 2\n").unwrap();
    assert_eq!((vectors.words()[0].as_str(), report.n_not_utf8), ("r\u{fffd}d", 1));
    let (vectors, report) = read_all(b"1 2\nred 1 2\nblue 3 4\n").unwrap();
    assert_eq!((vectors.len(), report.has_more), (1, true));
    // GloVe has words with spaces; numbers are taken from the right.
    let (vectors, _) = read_all(b"red 1 2\n. . . 3 4\n").unwrap();
    assert_eq!(vectors.get(". . ."), Some(&[3.0, 4.0][..]));
    for (bytes, message) in [
        (&b"3 2\nred 1 2\n"[..], "cut short: it ends in row 2 of 3"),
        (b"2 2\nred 1 2\nblue 3\n", "row 2 (byte 19): 1 values, expected 2"),
        (b"red 1 2\nblue 3 x\n", "`x` is not a number"),
        (b"red 1 NaN\n", "value NaN is not a finite number"),
        (b"1 2\n 1 2\n", "the word is empty"),
        (b"", "0 values"),
        (b"5 99999999999\nred \x01\x02", "the header announces 5 words of 99999999999 dimensions"),
    ] {
        let error = read_all(bytes).map(|_| ()).map_err(|error| error.to_string());
        let error = error.expect_err(message);
        assert!(error.contains(message) || bytes.is_empty(), "{error}, expected {message}");
    }
    // A header that promises billions of rows takes no memory for them.
    let huge = b"4000000000 300\nred \x00\x00\x80\x3f".to_vec();
    assert!(matches!(read_all(&huge), Err(WordVecError::Truncated { row: 1, .. })));
}

#[test]
fn a_mapped_file_answers_like_the_vectors_it_was_made_from() {
    let vectors = sample(300, 20);
    for (precision, tolerance) in [(Precision::F32, 0.0), (Precision::F16, 1e-3), (Precision::Int8, 8e-3)] {
        let (_folder, path) = folder_with("a.tcwv", &tcwv(&vectors, precision));
        let mapped = MappedVectors::open(&path).unwrap();
        mapped.verify().unwrap();
        assert_eq!((mapped.len(), mapped.dim(), mapped.precision()), (300, 20, precision));
        let (values, scales) = mapped.offsets();
        let bytes = std::fs::read(&path).unwrap();
        let first: [u8; 4] = bytes[values as usize..][..4].try_into().unwrap();
        let scale: [u8; 4] = bytes[scales as usize..][..4].try_into().unwrap();
        let first = match precision {
            Precision::F32 => f32::from_le_bytes(first),
            Precision::Int8 => f32::from(first[0] as i8) * f32::from_le_bytes(scale),
            // Halves are for other tests; here their place is that of the others.
            Precision::F16 => mapped.row_at(0)[0],
        };
        assert_eq!(first, mapped.row_at(0)[0]);
        for at in 0..300 {
            let word = mapped.word_at(at).into_owned();
            assert_eq!((word.as_str(), mapped.index_of(&word)), (vectors.words()[at].as_str(), Some(at)));
            assert_eq!(mapped.count_at(at), Some(299 - at as u64));
            let mut sum = vec![1.0; 20];
            mapped.add_row(at, 2.0, &mut sum);
            for ((x, y), sum) in mapped.row_at(at).iter().zip(vectors.row(at)).zip(sum) {
                assert!((x - y).abs() <= tolerance && (sum - 1.0 - 2.0 * x).abs() < 1e-5, "{x} and {y}");
            }
        }
        assert_eq!(mapped.index_of("w300_é"), None);
        let read = read::read_path(&path, &ReadOptions::default()).unwrap().0;
        let near = similar::nearest(&mapped, vectors.row(7), 5, &["w7_é"]);
        assert_eq!(near, similar::nearest(&read, vectors.row(7), 5, &["w7_é"]));
    }
}

#[test]
fn every_cut_and_every_changed_part_of_our_format_is_noticed() {
    let vectors = sample(9, 4);
    let bytes = tcwv(&vectors, Precision::Int8);
    for length in 0..bytes.len() {
        assert!(read_all(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(read_all(&changed).is_err(), "byte {at}");
        // Opened without the checksum, a damaged file is refused or gives something; it never panics.
        let (_folder, path) = folder_with("changed.tcwv", &changed);
        if let Ok(mapped) = MappedVectors::open(&path) {
            assert!(mapped.verify().is_err(), "byte {at}");
            for word in 0..mapped.len() {
                mapped.index_of(&mapped.word_at(word));
                mapped.row_at(word);
            }
        }
    }
    let mut newer = bytes.clone();
    newer[4] = 3;
    assert!(matches!(read_all(&newer), Err(WordVecError::Version { found: 3, newest: 2 })));
}

#[test]
fn a_word2vec_file_is_used_where_it_lies() {
    let vectors = sample(2000, 30);
    for line_feeds in [true, false] {
        let mut bytes = b"2002 30\n".to_vec();
        let row = |at: usize| vectors.row(at).iter().flat_map(|x| x.to_le_bytes());
        let end: &[u8] = if line_feeds { b"\n" } else { b"" };
        for at in 0..2000 {
            bytes.extend(vectors.words()[at].bytes().chain(*b" ").chain(row(at)).chain(end.iter().copied()));
        }
        // A repeated word, and one that is no UTF-8.
        bytes.extend(b"w5_\xc3\xa9 ".iter().copied().chain(row(6)).chain(end.iter().copied()));
        bytes.extend(b"\xff\xfe ".iter().copied().chain(row(9)).chain(end.iter().copied()));
        let (folder, path) = folder_with("v.bin", &bytes);
        for origin in [IndexOrigin::Built, IndexOrigin::Cached] {
            let file = Word2vecFile::open(&path).unwrap();
            assert_eq!((file.origin(), file.len(), file.dim()), (origin, 2002, 30));
            for at in (0..2000).step_by(37) {
                let word = &vectors.words()[at];
                assert_eq!((file.index_of(word), &*file.word_at(at)), (Some(at), word.as_str()));
                assert_eq!(&*file.row_at(at), vectors.row(at));
            }
            assert_eq!((file.index_of("w5_é"), file.index_of("\u{fffd}\u{fffd}")), (Some(5), Some(2001)));
            assert_eq!(file.index_of("nowhere"), None);
        }
        // Another file under the same name: the tables are made anew.
        std::fs::write(&path, as_bytes(|out| write::write_word2vec_binary(&sample(3, 2), out).unwrap()))
            .unwrap();
        let file = Word2vecFile::open(&path).unwrap();
        assert_eq!((file.origin(), file.len(), file.index_of("w2_é")), (IndexOrigin::Built, 3, Some(2)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "scratch files stay behind");
        // Damaged tables are not trusted.
        let tables = Word2vecFile::index_path(&path);
        let mut cut = std::fs::read(&tables).unwrap();
        cut.truncate(cut.len() - 4);
        std::fs::write(&tables, cut).unwrap();
        assert_eq!(Word2vecFile::open(&path).unwrap().origin(), IndexOrigin::Built);
    }
}

#[test]
fn a_cut_word2vec_file_is_refused_with_its_row() {
    let bytes = as_bytes(|out| write::write_word2vec_binary(&sample(20, 10), out).unwrap());
    for cut in [bytes.len() - 2, bytes.len() - 30, bytes.len() / 2] {
        let (_folder, path) = folder_with("v.bin", &bytes[..cut]);
        let error = Word2vecFile::open(&path).unwrap_err();
        assert!(matches!(error, WordVecError::Truncated { expected: 20, .. }), "{error}");
    }
    let (_folder, path) = folder_with("v.bin", b"no header at all");
    assert!(matches!(Word2vecFile::open(&path), Err(WordVecError::Malformed { row: 0, .. })));
}

#[test]
fn conversion_is_row_by_row_and_leaves_nothing_behind_when_stopped() {
    let vectors = sample(25_000, 3);
    let (folder, from) =
        folder_with("v.txt", &as_bytes(|out| write::write_glove_text(&vectors, out).unwrap()));
    let to = folder.path().join("v.tcwv");
    let convert = |progress: &mut dyn FnMut(&read::ConvertProgress) -> ControlFlow<()>| {
        read::convert(&from, &to, Precision::F32, &ReadOptions::default(), progress)
    };
    let stopped = convert(&mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(WordVecError::Interrupted)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let mut told = Vec::new();
    let report = convert(&mut |state| {
        told.push(state.n_words);
        ControlFlow::Continue(())
    });
    assert_eq!((report.unwrap().format, told), (Format::TextWithoutHeader, vec![10_000, 20_000]));
    let mapped = MappedVectors::open(&to).unwrap();
    assert_eq!(&*mapped.row_at(24_999), vectors.row(24_999));
    let again = folder.path().join("again.tcwv");
    read::convert(&to, &again, Precision::F32, &ReadOptions::default(), &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&again).unwrap());
}

#[test]
fn open_takes_the_cheapest_way() {
    let vectors = sample(40, 6);
    for bytes in [
        tcwv(&vectors, Precision::F32),
        as_bytes(|out| write::write_word2vec_binary(&vectors, out).unwrap()),
        as_bytes(|out| write::write_word2vec_text(&vectors, out).unwrap()),
        as_bytes(|out| write::write_glove_text(&vectors, out).unwrap()),
    ] {
        let (_folder, path) = folder_with("v", &bytes);
        let table = read::open(&path).unwrap();
        assert_eq!((table.len(), table.dim()), (40, 6));
        assert_eq!(&*table.row_at(table.index_of("w11_é").unwrap()), vectors.get("w11_é").unwrap());
    }
    assert!(matches!(read::open(Path::new("no/such/file")), Err(WordVecError::Open { .. })));
}

#[test]
fn subword_vectors_come_back_from_their_file() {
    let text = "the sailor sailed the ship\nthe judge judged the sailor\n".repeat(30);
    let corpus = Corpus::from_sentences(text.lines().map(str::split_whitespace), 1, None).unwrap();
    let config = TrainConfig {
        common: SkipGramConfig { dim: 10, epochs: 1, ..SkipGramConfig::default() },
        ..TrainConfig::default()
    };
    let subwords = SubwordConfig { n_buckets: 500, ..SubwordConfig::default() };
    let trained = train_subwords(&corpus, &config, &subwords, &mut |_| ControlFlow::Continue(())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.tcsw");
    trained.save(&path).unwrap();
    assert_eq!(SubwordVectors::open(&path).unwrap(), trained);
    // A word that was never seen has the mean of its n-grams.
    assert!(trained.get("sailors").is_some() && trained.vectors().get("sailors").is_none());
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 39, 60, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(SubwordVectors::open(&path).is_err(), "{cut} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(
        rows in prop::collection::btree_map("[^ \\t\\r\\n\\p{C}\\p{Z}]{1,12}", prop::collection::vec(-1e6_f32..1e6, 3), 1..20),
    ) {
        let words: Vec<String> = rows.keys().cloned().collect();
        let data: Vec<f32> = rows.values().flatten().copied().collect();
        let vectors = WordVectors::new(words, 3, data).unwrap();
        for bytes in [
            tcwv(&vectors, Precision::F32),
            as_bytes(|out| write::write_word2vec_binary(&vectors, out).unwrap()),
            as_bytes(|out| write::write_word2vec_text(&vectors, out).unwrap()),
        ] {
            prop_assert_eq!(&read_all(&bytes).unwrap().0, &vectors);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), header in any::<bool>()) {
        let start: &[u8] = if header { b"3 4\n" } else { b"" };
        drop(read_all(&[start, &bytes].concat()));
        drop(read_all(&[&b"TCWV\x02\0\0\0"[..], &bytes].concat()));
    }
}
