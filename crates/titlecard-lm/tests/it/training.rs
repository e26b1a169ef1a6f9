//! Trainings on the sample films: they learn, resume to the same bytes, stop early, and fail in words.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::Path;

use titlecard_engine::catalogue::{Film, ReadOptions, Split, SplitConfig, split_of};
use titlecard_engine::config::Config;
use titlecard_engine::pipeline::Workspace as Folder;
use titlecard_engine::progress::silent;
use titlecard_lm::data::{Dataset, Template};
use titlecard_lm::log::Record;
use titlecard_lm::pipeline;
use titlecard_lm::{
    GptNeoX, LmError, LoraConfig, ModelConfig, StoredAs, Tokenizer, TrainConfig, Trained, Trainer,
};

use crate::small_model;

fn films() -> Vec<Film> {
    let mut films = Vec::new();
    titlecard_engine::sample::read_films(&ReadOptions::default(), &mut |film| {
        films.push(film);
        ControlFlow::Continue(())
    })
    .unwrap();
    films
}

fn shape() -> ModelConfig {
    ModelConfig { max_positions: 96, ..ModelConfig::of_size(1, 16, 2, 400) }
}

struct Fixture {
    tokenizer: Tokenizer,
    data: Dataset,
}

fn fixture() -> Fixture {
    let films = films();
    let texts: Vec<&str> = films.iter().map(|film| film.overview.as_str()).collect();
    let tokenizer = Tokenizer::train(texts.into_iter(), 400).unwrap();
    let template = Template::named("description-to-title").unwrap();
    let data = Dataset::from_films(&films, &SplitConfig::default(), &template, &tokenizer, 0, 96).unwrap();
    Fixture { tokenizer, data }
}

fn config() -> TrainConfig {
    TrainConfig {
        max_steps: 12,
        batch_tokens: 400,
        accumulate: 2,
        learning_rate: 1e-2,
        evaluate_every: 4,
        dev_examples: 20,
        samples: 1,
        ..TrainConfig::default()
    }
}

fn fit(fixture: &Fixture, model: GptNeoX, config: &TrainConfig, folder: &Path) -> Trained {
    Trainer::new(model, &fixture.tokenizer, &fixture.data, config, folder, "base")
        .unwrap()
        .fit(&mut |_| ControlFlow::Continue(()))
        .unwrap()
}

#[test]
fn training_learns_and_leaves_a_whole_model() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig { max_steps: 40, evaluate_every: 10, ..config() };
    let trained = fit(&fixture, GptNeoX::new(&shape(), 1), &config, folder.path());
    assert_eq!(trained.n_steps, 40);
    let losses: Vec<f64> = trained
        .history
        .iter()
        .filter_map(|record| match record {
            Record::Step { loss, .. } => Some(*loss),
            _ => None,
        })
        .collect();
    assert_eq!(losses.len(), 40);
    // From the even distribution over 400 tokens, ln 400 = 5.99.
    assert!((losses[0] - 5.99).abs() < 0.1, "{}", losses[0]);
    assert!(losses[39] < 4.8, "{}", losses[39]);
    let (step, best) = trained.best.unwrap();
    let evaluations: Vec<(u64, f64)> = trained
        .history
        .iter()
        .filter_map(|record| match record {
            Record::Evaluation { step, dev_loss, perplexity, .. } => {
                assert!((perplexity.ln() - dev_loss).abs() < 1e-9);
                Some((*step, *dev_loss))
            }
            _ => None,
        })
        .collect();
    assert_eq!(evaluations.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [10, 20, 30, 40]);
    assert!(evaluations.iter().all(|&(at, loss)| loss > best || (at, loss) == (step, best)));
    assert!(trained.history.iter().any(|record| matches!(record, Record::Sample { .. })));

    // What is on disk is the model returned, with everything others need to load it.
    let loaded = GptNeoX::load(folder.path()).unwrap();
    assert_eq!(loaded.trained(), trained.model.trained());
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "config.json",
            "events.out.tfevents.0.titlecard",
            "generation_config.json",
            "log.jsonl",
            "loss.png",
            "loss.svg",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "training.json"
        ]
    );
    let log = fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), trained.history.len());
    assert!(fs::read_to_string(folder.path().join("loss.svg")).unwrap().contains("development"));
}

/// Runs until `stop_at` steps were told of, then resumes; returns the final values.
fn with_a_break(
    fixture: &Fixture,
    model: &GptNeoX,
    config: &TrainConfig,
    stop_at: u64,
) -> (Trained, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let trainer = |model: &GptNeoX| {
        Trainer::new(model.clone(), &fixture.tokenizer, &fixture.data, config, folder.path(), "base").unwrap()
    };
    let stopped = trainer(model).fit(&mut |event| match event.record {
        Record::Step { step, .. } if *step == stop_at => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped.unwrap_err(), LmError::Interrupted(_)));
    assert!(Trainer::has_checkpoint(folder.path()));
    assert!(
        !folder.path().join("model.safetensors").exists(),
        "no half-trained model in place of a whole one"
    );
    let resumed = trainer(model).resume().unwrap();
    assert_eq!(resumed.n_steps_done(), stop_at);
    let trained = resumed.fit(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!Trainer::has_checkpoint(folder.path()));
    let name = if model.lora().is_some() { "adapter_model.safetensors" } else { "model.safetensors" };
    let bytes = fs::read(folder.path().join(name)).unwrap();
    (trained, bytes)
}

fn without_speed(history: &[Record]) -> Vec<Record> {
    let mut history = history.to_vec();
    for record in &mut history {
        if let Record::Step { tokens_per_second, .. } = record {
            *tokens_per_second = 0.0;
        }
    }
    history
}

#[test]
fn a_resumed_training_ends_with_the_same_bytes() {
    let fixture = fixture();
    let plain = GptNeoX::new(&shape(), 1);
    let mut adapted = plain.clone();
    adapted.add_lora(&LoraConfig { r: 4, ..LoraConfig::default() }, 2).unwrap();
    for (model, checkpointing) in [(plain, false), (adapted, true)] {
        let config = TrainConfig { gradient_checkpointing: checkpointing, ..config() };
        let folder = tempfile::tempdir().unwrap();
        let whole = fit(&fixture, model.clone(), &config, folder.path());
        let name = if model.lora().is_some() { "adapter_model.safetensors" } else { "model.safetensors" };
        let bytes = fs::read(folder.path().join(name)).unwrap();
        // Between evaluations, right before one, and in the last step.
        for stop_at in [5, 8, 12] {
            let (resumed, resumed_bytes) = with_a_break(&fixture, &model, &config, stop_at);
            assert!(resumed_bytes == bytes, "stopped after step {stop_at}");
            assert_eq!(without_speed(&resumed.history), without_speed(&whole.history));
        }
    }
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let model = GptNeoX::new(&shape(), 1);
    let trainer = |config: &TrainConfig| {
        Trainer::new(model.clone(), &fixture.tokenizer, &fixture.data, config, folder.path(), "base").unwrap()
    };
    let _ = trainer(&config()).fit(&mut |_| ControlFlow::Break(()));
    let other = TrainConfig { learning_rate: 5e-3, ..config() };
    let Err(error) = trainer(&other).resume() else { panic!("other settings") };
    assert!(matches!(error, LmError::OtherTraining { .. }), "{error}");
    let path = folder.path().join("unfinished/checkpoint");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    let Err(error) = trainer(&config()).resume() else { panic!("cut short") };
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[test]
fn training_stops_when_nothing_gets_better() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    // A rate so low that the loss only falls by rounding, and one so high that it rises.
    let config = TrainConfig { learning_rate: 3.0, clip: 1.0, patience: 2, evaluate_every: 1, ..config() };
    let trained = fit(&fixture, GptNeoX::new(&shape(), 1), &config, folder.path());
    assert!(trained.n_steps < 12, "{} steps", trained.n_steps);
    let (best, _) = trained.best.unwrap();
    assert_eq!(trained.n_steps, best + 2);
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_in_words() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let good = GptNeoX::new(&shape(), 1);
    good.save(folder.path(), StoredAs::F32).unwrap();
    let before = fs::read(folder.path().join("model.safetensors")).unwrap();
    let config = TrainConfig { learning_rate: 1e30, clip: 0.0, warm_up: 0.0, ..config() };
    let error = Trainer::new(good, &fixture.tokenizer, &fixture.data, &config, folder.path(), "base")
        .unwrap()
        .fit(&mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(error, LmError::Diverged { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("in step") && message.contains("take a lower `lm.learning_rate`"), "{message}");
    assert_eq!(
        fs::read(folder.path().join("model.safetensors")).unwrap(),
        before,
        "the old model is untouched"
    );
}

#[test]
fn what_does_not_fit_is_named_before_training() {
    let fixture = fixture();
    let folder = Path::new("/nowhere");
    let refused = |shape: &ModelConfig, config: &TrainConfig| {
        Trainer::new(GptNeoX::new(shape, 1), &fixture.tokenizer, &fixture.data, config, folder, "")
            .err()
            .unwrap()
            .to_string()
    };
    let few_rows = ModelConfig { vocab_size: 300, ..shape() };
    assert!(refused(&few_rows, &config()).contains("tokens and the model rows for 300"));
    let short = ModelConfig { max_positions: 32, ..shape() };
    assert!(refused(&short, &config()).contains("the model has 32 positions"));
    let wrong = TrainConfig { learning_rate: 0.0, ..config() };
    assert!(refused(&shape(), &wrong).contains("`lm.learning_rate` is 0, it must be above 0"));
    let wrong = TrainConfig { warm_up: 2.0, ..config() };
    assert!(refused(&shape(), &wrong).contains("`lm.warm_up` is 2"));
}

#[test]
fn a_folder_that_cannot_be_written_ends_the_training_in_words() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error =
        Trainer::new(GptNeoX::new(&shape(), 1), &fixture.tokenizer, &fixture.data, &config(), &file, "")
            .unwrap()
            .fit(&mut |_| ControlFlow::Continue(()))
            .unwrap_err();
    assert!(matches!(error, LmError::Artifact(_)), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn examples_learn_the_completion_of_training_films_alone() {
    let films = films();
    let Fixture { tokenizer, data } = fixture();
    let split = SplitConfig::default();
    let n = |part| films.iter().filter(|film| split_of(&film.id, &split) == part).count();
    assert_eq!(data.train.len(), n(Split::Train));
    assert_eq!(data.dev.len(), n(Split::Dev));
    let film = films.iter().find(|film| split_of(&film.id, &split) == Split::Train).unwrap();
    let example = &data.train[0];
    let (prompt, completion) = example.ids.split_at(example.n_prompt);
    assert!(tokenizer.decode(prompt, false).unwrap().ends_with("\nTitle:"));
    assert_eq!(tokenizer.decode(completion, false).unwrap(), format!(" {}<|endoftext|>", film.title));
    let batch = titlecard_lm::data::batch_of(&data.train, &[0]);
    assert_eq!(batch.targets.len(), completion.len());
    assert_eq!(batch.targets[0], (example.n_prompt - 1, completion[0]));

    // Too long: words of the description go, never the frame or the title.
    let template = Template::named("description-to-title").unwrap();
    let short = Dataset::from_films(&films, &split, &template, &tokenizer, 0, 40).unwrap();
    assert!(short.report.n_shortened > 50, "{:?}", short.report);
    for example in &short.train {
        assert!(example.ids.len() <= 40);
        let prompt = tokenizer.decode(&example.ids[..example.n_prompt], false).unwrap();
        assert!(prompt.starts_with("Description: ") && prompt.ends_with("\nTitle:"), "{prompt}");
    }
    let error = Dataset::from_films(&films, &split, &template, &tokenizer, 0, 8).unwrap_err();
    assert!(error.to_string().contains("`lm.context` is 8"), "{error}");

    // Plain text begins and ends with the end token, and all of it is learned.
    let text = Template::named("text").unwrap();
    let text = Dataset::from_films(&films, &split, &text, &tokenizer, 0, 96).unwrap();
    assert_eq!((text.train[0].ids[0], text.train[0].n_prompt), (0, 0));
    assert_eq!(text.train[0].n_targets(), text.train[0].ids.len() - 1);
}

#[test]
fn templates_with_mistakes_are_named() {
    let message = |prompt: &str, completion: &str| Template::new(prompt, completion).unwrap_err().to_string();
    assert!(message("{plott}", "{title}").contains("`lm.prompt` is `{plott}`"));
    assert!(message("a {title", "{title}").contains("`{title`"));
    assert!(message("a", "").contains("`lm.completion` is empty"));
    assert!(Template::named("x").unwrap_err().to_string().contains("`description-to-title`"));
    let template = Template::new("{genres}: {overview}\\nName:", " {title} ({year})").unwrap();
    let film = Film {
        title: "Jaws".to_owned(),
        overview: "A shark.".to_owned(),
        year: Some(1975),
        ..films()[0].clone()
    };
    let (prompt, completion) = template.fill(&film).unwrap();
    assert!(prompt.ends_with(": A shark.\nName:"), "{prompt}");
    assert_eq!(completion, " Jaws (1975)");
    assert!(template.fill(&Film { year: None, ..film }).is_none());
}

#[test]
fn the_pipeline_trains_merges_and_finds_titles() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Folder::new(folder.path().join("work"));
    let films = films();
    let mut config = Config::default();
    config.lm.from_scratch = folder.path().join("config.json").display().to_string();
    let shape = shape().to_json("float32").to_string();
    fs::write(&config.lm.from_scratch, shape).unwrap();
    (config.lm.max_steps, config.lm.context, config.lm.dev_examples) = (6, 96, 10);
    let mut n_records = 0;
    let mut report = silent;
    let summary =
        pipeline::train(&workspace, &config, &films, false, &mut report, &mut |_| n_records += 1).unwrap();
    assert!(n_records >= 6 && summary.n_values.0 == summary.n_values.1);
    let resumed = pipeline::train(&workspace, &config, &films, true, &mut report, &mut |_| ());
    assert!(resumed.unwrap_err().to_string().contains("holds no unfinished training"));

    // An adapter for it, in another working folder.
    let base = workspace.language_model();
    let other = Folder::new(folder.path().join("other"));
    config.lm.lora = true;
    config.lm.lora_rank = 2;
    let refused = pipeline::train(&other, &config, &films, false, &mut report, &mut |_| ()).unwrap_err();
    assert!(refused.to_string().contains("an adapter needs a model to adapt"), "{refused}");
    config.lm.model = base.display().to_string();
    let summary = pipeline::train(&other, &config, &films, false, &mut report, &mut |_| ()).unwrap();
    assert!(summary.n_values.0 < summary.n_values.1);
    let opened = pipeline::open(&other, &other.language_model(), &mut report).unwrap();
    assert!(opened.model.lora().is_some() && opened.template.is_some());
    let merged = folder.path().join("merged");
    assert!(pipeline::merge(&opened, &merged, StoredAs::F32).unwrap() < 1e-4);
    let merged = pipeline::open(&other, &merged, &mut report).unwrap();
    assert!(merged.model.lora().is_none());
    assert!(pipeline::merge(&merged, &folder.path().join("x"), StoredAs::F32).is_err());

    // Titles are those of the catalogue; the same title twice gets its year.
    let mut films = films;
    let again = Film { id: "again".to_owned(), year: Some(2031), ..films[0].clone() };
    films.push(again);
    let template = opened.template.clone().unwrap();
    let titles = pipeline::Titles::new(&films, &template, &opened.tokenizer, 0, 40).unwrap();
    let name = format!("{} (2031)", films[0].title);
    assert!(titles.names.contains(&name), "{name}");
    assert!(!titles.names.contains(&films[0].title));
    let decoder = pipeline::decoder(&merged, titlecard_lm::generate::Precision::F32);
    let prompt = opened.tokenizer.encode(&template.prompt_for("a shark")).unwrap();
    let search = titlecard_lm::generate::TitleSearch { n_beams: 3, n_titles: 3, exact: false };
    let found = decoder.find_titles(&prompt, &titles.trie, search).unwrap();
    assert_eq!(found.len(), 3);
}

/// Answers requests for files of `folder` below `/owner/model/resolve/main/`, `n` times.
fn serve(folder: &Path, n: usize) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    let thread = std::thread::spawn(move || {
        for _ in 0..n {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0_u8; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let n = stream.read(&mut buffer).unwrap();
                request.extend(&buffer[..n]);
            }
            let text = String::from_utf8_lossy(&request);
            let path = text.split_whitespace().nth(1).unwrap();
            let body = path
                .strip_prefix("/owner/model/resolve/main/")
                .and_then(|name| fs::read(folder.join(name)).ok());
            let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    (url, thread)
}

#[test]
fn models_are_fetched_once_and_a_missing_network_is_said() {
    let (source, model) = small_model();
    let folder = tempfile::tempdir().unwrap();
    let mut report = silent;
    // config.json, tokenizer.json, model.safetensors; then one request for a model that is not there.
    let (url, thread) = serve(source.path(), 4);
    let fetched = titlecard_lm::hub::fetch_from(&url, "owner/model", folder.path(), &mut report).unwrap();
    assert_eq!(GptNeoX::load(&fetched).unwrap().trained(), model.trained());
    let again = titlecard_lm::hub::fetch_from(&url, "owner/model", folder.path(), &mut report).unwrap();
    assert_eq!(again, fetched);
    let missing = titlecard_lm::hub::fetch_from(&url, "owner/other", folder.path(), &mut report).unwrap_err();
    assert!(missing.to_string().contains("cannot fetch `owner/other`: it has no `config.json`"), "{missing}");
    thread.join().unwrap();
    // Nobody listens any more.
    let error = titlecard_lm::hub::fetch_from(&url, "owner/third", folder.path(), &mut report).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("cannot be reached"), "{message}");
    assert!(message.ends_with("give the folder of a model that is on this machine"), "{message}");
}
