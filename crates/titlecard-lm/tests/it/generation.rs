//! Generated tokens, beams and titles against transformers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::Value;
use titlecard_lm::generate::{BeamConfig, GenerateConfig, Precision, Sampling, TitleSearch, TitleTrie};
use titlecard_lm::{Decoder, GptNeoX, LmError};

use crate::{fixtures, floats, ids, json, oracles, small_model};

fn greedy(max_new_tokens: usize) -> GenerateConfig {
    GenerateConfig { max_new_tokens, sampling: Sampling::GREEDY, stop: vec![0], n_tokens: 500, seed: 1 }
}

fn generate(decoder: &Decoder, prompts: &[Vec<u32>], config: &GenerateConfig) -> Vec<Vec<u32>> {
    decoder.generate(prompts, config, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// Continuations one by one and all together.
fn check_greedy(decoder: &Decoder, oracle: &Value) {
    let cases = oracle["greedy"].as_array().unwrap();
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["prompt_ids"])).collect();
    let expected: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["new_ids"])).collect();
    for (prompt, expected) in prompts.iter().zip(&expected) {
        assert_eq!(&generate(decoder, std::slice::from_ref(prompt), &greedy(48))[0], expected);
    }
    assert_eq!(generate(decoder, &prompts, &greedy(48)), expected, "batched");
}

#[test]
fn greedy_continuations_match() {
    // The smallest margin between the two best tokens is 0.0042, and rounding the weights to f16 moves
    // logits by less than that.
    let (_folder, model) = small_model();
    let oracle = json(&fixtures().join("tiny_fp16/generation.json"));
    check_greedy(&Decoder::new(model.clone(), Precision::F32), &oracle);
    if let Some(oracles) = oracles() {
        let model = GptNeoX::load(&oracles.join("tiny")).unwrap();
        check_greedy(&Decoder::new(model, Precision::F32), &json(&oracles.join("tiny/generation.json")));
    }
}

#[test]
fn the_cache_gives_what_the_whole_pass_gives() {
    let (_folder, model) = small_model();
    let sequence: Vec<u32> = (0..60).map(|i| (i * 37 + 5) % 500).collect();
    let mut batch = titlecard_lm::Batch::default();
    batch.push(&sequence, &[false; 60]);
    let places: Vec<usize> = (0..60).collect();
    let expected = model.logits(&batch, &places, &mut titlecard_lm::Workspace::new());
    let decoder = Decoder::new(model, Precision::F32);
    // In pieces of every kind: long, short, single; from the start and after a prefix.
    for pieces in [vec![60], vec![20, 1, 3, 10, 26], vec![1; 60]] {
        for prefix_pieces in 0..2 {
            let mut cache = decoder.new_cache();
            let mut hidden = Vec::new();
            let mut at = 0;
            for (piece, &n) in pieces.iter().enumerate() {
                hidden.extend(decoder.forward(&mut [&mut cache], &[&sequence[at..at + n]]));
                at += n;
                if piece + 1 == prefix_pieces {
                    let prefix = cache.into_prefix();
                    assert_eq!(prefix.n_tokens(), at);
                    cache = decoder.cache_after(&prefix);
                }
            }
            let logits = decoder.logits(&hidden);
            let worst = crate::largest_difference(&logits, &expected);
            assert!(worst < 2e-5, "{pieces:?}: {worst:e}");
        }
    }
}

#[test]
fn smaller_weights_change_little() {
    let (_folder, model) = small_model();
    let exact = Decoder::new(model.clone(), Precision::F32);
    let prompt: Vec<u32> = vec![280, 27, 401, 13, 366, 200, 282, 27, 278, 464, 17, 13];
    let logits = |decoder: &Decoder| {
        let mut cache = decoder.new_cache();
        decoder.logits(&decoder.forward(&mut [&mut cache], &[&prompt]))
    };
    let expected = logits(&exact);
    for (precision, size, tolerance) in [(Precision::Bf16, 2.0, 0.2), (Precision::Int8, 3.7, 0.6)] {
        let decoder = Decoder::new(model.clone(), precision);
        assert!(exact.size_bytes() as f64 / decoder.size_bytes() as f64 >= size);
        let worst = crate::largest_difference(&logits(&decoder), &expected);
        assert!(worst > 0.0 && worst < tolerance, "{precision:?}: {worst}");
    }
}

#[test]
fn beams_match() {
    let Some(oracles) = oracles() else { return };
    let oracle = &json(&oracles.join("tiny/generation.json"))["beam4"];
    let decoder = Decoder::new(GptNeoX::load(&oracles.join("tiny")).unwrap(), Precision::F32);
    let prompt = ids(&oracle["prompt_ids"]);
    let config = BeamConfig { n_beams: 4, max_new_tokens: 32, length_penalty: 1.0, stop: 0, n_tokens: 512 };
    let found = decoder.beam_search(&prompt, &config).unwrap();
    let scores = floats(&oracle["sequences_scores"]);
    assert_eq!(found.len(), 4);
    for (at, (tokens, score)) in found.iter().enumerate() {
        let mut expected = ids(&oracle["sequences"][at])[prompt.len()..].to_vec();
        // Filled up with the padding token.
        while expected.last() == Some(&1) {
            expected.pop();
        }
        assert_eq!(tokens, &expected, "beam {at}");
        assert!((score - scores[at]).abs() <= 1e-4, "beam {at}: {score} {}", scores[at]);
    }
}

fn titles(oracle: &Value) -> (Vec<u32>, Vec<Vec<u32>>) {
    let trie = &oracle["trie_beam"];
    (ids(&trie["prompt_ids"]), trie["title_ids"].as_array().unwrap().iter().map(ids).collect())
}

#[test]
fn titles_found_are_the_best_of_all_titles() {
    let (_folder, model) = small_model();
    let decoder = Decoder::new(model, Precision::F32);
    let (prompt, titles) = titles(&json(&fixtures().join("tiny_fp16/generation.json")));
    check_titles(&decoder, &prompt, &titles);
    if let Some(oracles) = oracles() {
        let decoder = Decoder::new(GptNeoX::load(&oracles.join("tiny")).unwrap(), Precision::F32);
        let oracle = &json(&oracles.join("tiny/generation.json"))["trie_beam"];
        let found = check_titles(&decoder, &prompt, &titles);
        let scores = floats(&oracle["hf_constrained_beam5"]["scores"]);
        for (at, (title, score)) in found.iter().enumerate() {
            let expected = &oracle["exhaustive"][at];
            assert_eq!(titles[*title as usize], ids(&expected["ids"]), "{}", expected["title"]);
            assert!((score - expected["sum_logprob"].as_f64().unwrap()).abs() <= 1e-4);
            assert!((score - scores[at]).abs() <= 1e-4);
        }
        // Every title, token by token.
        let all: Vec<Vec<u32>> =
            oracle["exhaustive"].as_array().unwrap().iter().map(|title| ids(&title["ids"])).collect();
        let sequences: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
        let scores = decoder.score(&prompt, &sequences).unwrap();
        for (found, expected) in scores.iter().zip(oracle["exhaustive"].as_array().unwrap()) {
            for (found, expected) in found.iter().zip(floats(&expected["token_logprobs"])) {
                assert!((f64::from(*found) - expected).abs() <= 1e-4);
            }
        }
    }
}

/// Beam and exact search against scoring every title; returns the best five.
fn check_titles(decoder: &Decoder, prompt: &[u32], titles: &[Vec<u32>]) -> Vec<(u32, f64)> {
    let trie = TitleTrie::new(titles).unwrap();
    assert_eq!(trie.n_titles(), 120);
    assert!(trie.n_nodes() < 120, "{} nodes", trie.n_nodes());
    let sequences: Vec<&[u32]> = titles.iter().map(Vec::as_slice).collect();
    let mut all: Vec<(u32, f64)> = decoder
        .score(prompt, &sequences)
        .unwrap()
        .iter()
        .enumerate()
        .map(|(at, scores)| (at as u32, scores.iter().map(|&x| f64::from(x)).sum()))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (n_beams, n_titles, exact) in [(5, 5, false), (1, 5, true), (5, 30, true), (7, 120, true)] {
        let found = decoder.find_titles(prompt, &trie, TitleSearch { n_beams, n_titles, exact }).unwrap();
        assert_eq!(found.len(), n_titles);
        for (found, expected) in found.iter().zip(&all) {
            assert_eq!(found.title, expected.0, "{n_beams} beams, exact {exact}");
            assert!((found.log_probability - expected.1).abs() <= 1e-4);
        }
    }
    all.truncate(5);
    all
}

#[test]
fn tries_hold_every_title_once() {
    let titles = vec![vec![5, 6, 0], vec![5, 0], vec![7, 8, 9, 0], vec![5, 6, 0], vec![7, 8, 4, 0]];
    let trie = TitleTrie::new(&titles).unwrap();
    assert_eq!((trie.n_titles(), trie.longest()), (4, 4));
    // The root, after 5, and after 7 8.
    assert_eq!(trie.n_nodes(), 3);
    assert!(TitleTrie::new(&[]).unwrap_err().to_string().contains("an empty list"));
    assert!(TitleTrie::new(&[vec![]]).is_err());
    let error = TitleTrie::new(&[vec![1, 2, 3], vec![1, 2]]).unwrap_err().to_string();
    assert!(error.contains("number 1, which begins number 0"), "{error}");
}

#[test]
fn filters_of_logits_match() {
    let oracle = &json(&fixtures().join("tiny_fp16/generation.json"))["logits_processors"];
    let raw: Vec<f32> = floats(&oracle["raw"]).iter().map(|&x| x as f32).collect();
    let none = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    for (key, sampling) in [
        ("top_k_10", Sampling { top_k: 10, ..none }),
        ("top_p_0.9_after_T0.8", Sampling { temperature: 0.8, top_p: 0.9, ..none }),
        ("min_p_0.1", Sampling { min_p: 0.1, ..none }),
    ] {
        let mut logits = raw.clone();
        sampling.filter(&mut logits);
        let kept: Vec<u32> = (0..logits.len() as u32).filter(|&i| logits[i as usize].is_finite()).collect();
        assert_eq!(kept, ids(&oracle[key]["kept_ids"]), "{key}");
        let sum: f64 = kept.iter().map(|&i| f64::from(logits[i as usize])).sum();
        assert!((sum - oracle[key]["sum_finite"].as_f64().unwrap()).abs() < 1e-3, "{key}");
    }
    let mut logits = raw;
    let penalty = Sampling { repetition_penalty: 1.3, ..Sampling::GREEDY };
    penalty.penalise(&mut logits, ids(&oracle["input_ids"]).into_iter());
    for (found, expected) in logits.iter().zip(floats(&oracle["repetition_penalty_1.3"])) {
        assert!((f64::from(*found) - expected).abs() < 1e-5);
    }
}

#[test]
fn samples_are_the_same_for_the_same_seed_alone_or_together() {
    let (_folder, model) = small_model();
    let decoder = Decoder::new(model, Precision::F32);
    let sampling = Sampling { temperature: 1.5, top_k: 50, top_p: 0.95, ..Sampling::GREEDY };
    let config = GenerateConfig { sampling, seed: 9, ..greedy(20) };
    let prompts = vec![vec![280, 27, 401], vec![282, 27]];
    let together = generate(&decoder, &prompts, &config);
    assert_eq!(generate(&decoder, &prompts, &config), together);
    assert_eq!(generate(&decoder, &prompts[..1], &config)[0], together[0]);
    let others: BTreeSet<Vec<u32>> = (0..5)
        .map(|seed| generate(&decoder, &prompts[..1], &GenerateConfig { seed, ..config.clone() }).remove(0))
        .collect();
    assert!(others.len() > 1, "other seeds give other texts");
    assert!(together.iter().flatten().all(|&token| token < 500), "rows without a token are never chosen");
    // Stopping from outside keeps what there is.
    let mut n_seen = 0;
    let stopped = decoder
        .generate(&prompts, &config, &mut |_, _| {
            n_seen += 1;
            if n_seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(stopped.iter().map(Vec::len).sum::<usize>(), 3);
}

#[test]
fn prompts_that_do_not_fit_are_named() {
    let (_folder, model) = small_model();
    let decoder = Decoder::new(model, Precision::F32);
    let none = decoder.generate(&[vec![]], &greedy(5), &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(none, LmError::EmptyPrompt));
    let long = decoder.generate(&[vec![5; 120]], &greedy(9), &mut |_, _| ControlFlow::Continue(()));
    let message = long.unwrap_err().to_string();
    assert!(message.contains("120 tokens and 9 are to follow, the model has 128 positions"), "{message}");
    let trie = TitleTrie::new(&[vec![5; 10]]).unwrap();
    let search = TitleSearch { n_beams: 1, n_titles: 1, exact: false };
    assert!(decoder.find_titles(&[5; 119], &trie, search).is_err());
    // Exactly full is full, not too long.
    assert_eq!(
        generate(&decoder, &[vec![5; 120]], &GenerateConfig { stop: vec![], ..greedy(8) })[0].len(),
        8
    );
}
