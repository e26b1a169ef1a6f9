//! Tokens are those of the models' own tokenizer.

use std::path::Path;

use serde_json::Value;
use titlecard_lm::{StreamDecoder, Tokenizer};

use crate::{fixtures, ids, json, oracles, unpacked};

fn small() -> Tokenizer {
    Tokenizer::from_bytes(&unpacked(&fixtures().join("tokenizer/tokenizer.json.zst"))).unwrap()
}

fn check_vectors(tokenizer: &Tokenizer, vectors: &Value) {
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 71);
    for vector in vectors {
        let text = vector["text"].as_str().unwrap();
        let expected = ids(&vector["ids"]);
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text:?}");
        let decoded = |key: &str| vector[key].as_str().unwrap().to_owned();
        assert_eq!(tokenizer.decode(&expected, false).unwrap(), decoded("decoded"), "{text:?}");
        assert_eq!(tokenizer.decode(&expected, true).unwrap(), decoded("decoded_skip_special"), "{text:?}");
    }
}

/// Expected values: tokenizers 0.23.3 (fixtures/README.md).
#[test]
fn tokens_and_texts_match() {
    let vectors = unpacked(&fixtures().join("tokenizer/vectors.json.zst"));
    check_vectors(&small(), &serde_json::from_slice(&vectors).unwrap());
    if let Some(oracles) = oracles() {
        let folder = oracles.join("tokenizer_20b");
        check_vectors(&Tokenizer::load(&folder).unwrap(), &json(&folder.join("vectors.json")));
    }
}

#[test]
fn streaming_holds_incomplete_characters_back() {
    let cases = json(&fixtures().join("tokenizer/streaming_decode.json"));
    let large = oracles().map(|folder| Tokenizer::load(&folder.join("tokenizer_20b")).unwrap());
    let small = small();
    let mut n_checked = 0;
    for case in cases.as_array().unwrap() {
        let tokenizer = match (case["tokenizer"].as_str().unwrap(), &large) {
            ("tiny", _) => &small,
            (_, Some(large)) => large,
            _ => continue,
        };
        let mut stream = StreamDecoder::new(tokenizer);
        let mut shown = String::new();
        for (id, prefix) in ids(&case["ids"]).into_iter().zip(case["prefix_decodes"].as_array().unwrap()) {
            shown.push_str(&stream.push(id).unwrap());
            assert_eq!(shown, prefix.as_str().unwrap().trim_end_matches('\u{fffd}'));
        }
        shown.push_str(&stream.finish().unwrap());
        assert_eq!(shown, case["text"].as_str().unwrap());
        n_checked += 1;
    }
    assert!(n_checked >= 3);
    // An incomplete character at the end is shown then, not lost.
    let mut stream = StreamDecoder::new(&small);
    assert_eq!(stream.push(174).unwrap(), "");
    assert_eq!(stream.finish().unwrap(), "\u{fffd}");
    // Bytes that never become a character do not hold the text back for ever.
    let mut stream = StreamDecoder::new(&small);
    let text: String = (0..20).map(|_| stream.push(174).unwrap()).collect();
    assert!(text.contains('\u{fffd}'));
}

#[test]
fn a_trained_tokenizer_is_like_the_models() {
    let texts = ["a shark attacks the beach", "the shark is hunted", "a beach in summer"];
    let repeated: Vec<&str> = texts.iter().copied().cycle().take(300).collect();
    let tokenizer = Tokenizer::train(repeated.iter().copied(), 330).unwrap();
    assert!((300..=330).contains(&tokenizer.n_tokens()), "{}", tokenizer.n_tokens());
    assert_eq!(tokenizer.encode("<|endoftext|><|padding|>").unwrap(), [0, 1]);
    for text in ["the shark  and   more", "日本語 🎬", "cafe\u{301}", " leading", "a\n\n\tb"] {
        let ids = tokenizer.encode(text).unwrap();
        let nfc = if text == "cafe\u{301}" { "caf\u{e9}" } else { text };
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), nfc);
    }
    assert!(tokenizer.encode(" shark").unwrap().len() < 6);
    assert_eq!(tokenizer.encode("  ").unwrap().len(), 1);
    let again = Tokenizer::train(repeated.iter().copied(), 330).unwrap();
    assert_eq!(again.encode("the shark").unwrap(), tokenizer.encode("the shark").unwrap());

    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let loaded = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(loaded.encode(texts[0]).unwrap(), tokenizer.encode(texts[0]).unwrap());
    assert_eq!(loaded.encode("  a").unwrap(), tokenizer.encode("  a").unwrap());
}

#[test]
fn faults_are_named() {
    let message = |result: Result<Tokenizer, titlecard_lm::LmError>| result.unwrap_err().to_string();
    assert!(message(Tokenizer::load(Path::new("/nowhere"))).contains("`/nowhere`"));
    assert!(message(Tokenizer::train(["a"].into_iter(), 100)).contains("`vocab_size` is 100"));
    let folder = tempfile::tempdir().unwrap();
    assert!(message(Tokenizer::load(folder.path())).contains("no `tokenizer.json`"));
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(message(Tokenizer::load(folder.path())).contains("is damaged"));
    let error = small().check(400).unwrap_err().to_string();
    assert!(error.contains("500 tokens and the model rows for 400"), "{error}");
}
