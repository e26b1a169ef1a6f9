//! Questions of people: whatever is written, every place named lies in the text.

use std::sync::LazyLock;

use titlecard_engine::graph::Kind;
use titlecard_engine::query::{Lexicon, Span, Understander, parse_filters};

use super::folder::films;

/// All that questions may name in the sample.
static UNDERSTANDER: LazyLock<Understander> = LazyLock::new(|| {
    let films = films(usize::MAX);
    let mut names: Vec<(Kind, &str)> = Vec::new();
    for film in &films {
        names.push((Kind::Film, &film.title));
        for (kind, list) in [
            (Kind::Genre, &film.genres),
            (Kind::Keyword, &film.keywords),
            (Kind::Person, &film.cast),
            (Kind::Person, &film.directors),
            (Kind::Country, &film.countries),
            (Kind::Language, &film.languages),
        ] {
            names.extend(list.iter().map(|name| (kind, name.as_str())));
        }
    }
    Understander::new(Lexicon::from_entities(
        names.into_iter().zip(0..).map(|((kind, name), id)| (kind, id, name)),
    ))
});

/// `bytes`: a question, filters and all.
///
/// # Panics
/// If a place lies outside the text or cuts a character, or a number outside its range.
pub fn query(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    let is_place = |span: Span| assert!(text.get(span.start..span.end).is_some(), "{span:?} of {text:?}");
    let is_share = |value: f32| assert!((0.0..=1.0).contains(&value), "{value} for {text:?}");
    let (filters, errors) = parse_filters(text);
    for error in &errors {
        is_place(error.span());
        assert!(!error.to_string().is_empty());
    }
    let understood = UNDERSTANDER.understand(text, 2020);
    assert_eq!((&understood.filters, &understood.filter_errors), (&filters, &errors));
    assert!(
        filters.spans.is_sorted() && filters.spans.windows(2).all(|pair| !pair[0].overlaps(pair[1])),
        "{filters:?}"
    );
    filters.spans.iter().copied().for_each(is_place);
    for condition in filters.include.iter().chain(&filters.exclude) {
        is_place(condition.span);
        assert!(!condition.value.is_empty());
    }
    for part in filters.rest(text) {
        assert!(!part.is_empty());
    }
    for sentence in &understood.sentences {
        is_place(sentence.span);
        is_share(sentence.weight);
    }
    understood.frames.iter().copied().for_each(is_place);
    for negation in &understood.negations {
        is_place(negation.cue);
        is_place(negation.scope);
    }
    for comparison in &understood.comparisons {
        is_place(comparison.cue);
        is_place(comparison.span);
    }
    for entity in &understood.entities {
        is_place(entity.span);
        is_share(entity.confidence);
        assert!(!entity.name.is_empty());
    }
    for date in &understood.dates {
        is_place(date.span);
        is_share(date.confidence);
        if let (Some(from), Some(to)) = (date.from, date.to) {
            assert!(from <= to, "{date:?} of {text:?}");
        }
        assert!(!date.years().is_empty());
    }
    understood.traits.iter().for_each(|found| is_place(found.span));
    understood.quotes.iter().for_each(|quote| is_place(quote.span));
    for &(span, weight) in understood.word_weights() {
        is_place(span);
        is_share(weight);
        assert_eq!(understood.weight_at(span.start), weight);
    }
    if let Some(release) = understood.release() {
        assert!(release.from.zip(release.to).is_none_or(|(from, to)| from <= to), "{release:?} of {text:?}");
    }
    let _ = understood.in_words(text);
}
