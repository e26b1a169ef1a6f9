//! Real vector files, where the shared data folder lies beside the repository; skipped, visibly, without.
#![allow(clippy::print_stderr)]
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::path::{Path, PathBuf};

use wordvec::read::{self, Format, ReadOptions};
use wordvec::write::{self, Precision};
use wordvec::{IndexOrigin, MappedVectors, Word2vecFile, WordTable, WordVectors, similar};

fn vectors_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vectors");
    if !folder.exists() {
        eprintln!("skipped: there is no {}", folder.display());
        return None;
    }
    Some(folder)
}

fn read_file(folder: &Path, name: &str) -> (WordVectors, Format) {
    let (vectors, report) = read::read_path(&folder.join(name), &ReadOptions::default()).unwrap();
    (vectors, report.format)
}

#[test]
fn the_real_files_are_read_whole() {
    let Some(folder) = vectors_folder() else { return };
    for (name, format, n_words, dim, word) in [
        ("glove.6B.50d.top9163.txt", Format::TextWithoutHeader, 9163, 50, "film"),
        ("googlenews_300d_top1000.txt", Format::TextWithHeader, 1000, 300, "in"),
        ("emoji2vec.bin", Format::Word2vecBinary, 1661, 300, "🎬"),
    ] {
        let (vectors, found) = read_file(&folder, name);
        assert_eq!((found, vectors.len(), vectors.dim()), (format, n_words, dim), "{name}");
        assert!(vectors.get(word).is_some(), "{word} in {name}");
    }
}

#[test]
fn a_real_binary_file_is_used_where_it_lies() {
    let Some(folder) = vectors_folder() else { return };
    // The shared folder is not ours to write to.
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("emoji2vec.bin");
    std::fs::copy(folder.join("emoji2vec.bin"), &path).unwrap();
    let (vectors, _) = read_file(&folder, "emoji2vec.bin");
    for origin in [IndexOrigin::Built, IndexOrigin::Cached] {
        let file = Word2vecFile::open(&path).unwrap();
        assert_eq!(file.origin(), origin);
        for (at, word) in vectors.words().iter().enumerate() {
            assert_eq!(file.index_of(word), Some(at));
            assert_eq!(&*file.row_at(at), vectors.row(at));
        }
    }
}

#[test]
fn eight_bits_keep_the_neighbours_of_real_words() {
    let Some(folder) = vectors_folder() else { return };
    let (vectors, _) = read_file(&folder, "glove.6B.50d.top9163.txt");
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("glove.tcwv");
    write::replace_file(&path, |file| write::write_tcwv(&vectors, Precision::Int8, file)).unwrap();
    let mapped = MappedVectors::open(&path).unwrap();
    let (mut shared, mut largest) = (0, 0.0_f32);
    let words = ["film", "war", "love", "detective", "island", "paris", "school", "music", "police", "car"];
    for word in words {
        let exact = vectors.nearest(vectors.get(word).unwrap(), 10, &[word]);
        let at = mapped.index_of(word).unwrap();
        let rounded = similar::nearest(&mapped, &mapped.row_at(at), 10, &[word]);
        for (at, cosine) in &exact {
            if let Some((_, other)) = rounded.iter().find(|(other, _)| other == at) {
                shared += 1;
                largest = largest.max((cosine - other).abs());
            }
        }
    }
    assert!(shared >= 95 && largest < 5e-3, "{shared} of 100 shared, cosines within {largest}");
}
