//! Searching, comparing, looking around.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use titlecard_engine::graph::{EntityId, Graph, Kind, Neighbourhood, Relation, ShowConfig};
use titlecard_engine::query::{DateKind, Understanding, parse_filters};
use titlecard_engine::rank::literals::Number;
use titlecard_engine::rank::reasons::{FilmReasons, RuleReason};
use titlecard_engine::search::{Hit, SearchOptions};
use titlecard_engine::similar::{SimilarFilms, SimilarWeights};

use super::App;
use super::extract::{InJson, InPath, Params};
use super::types::{
    AboveBody, ChangeBody, Chip, ChipKind, ChoiceBody, CompareRequest, CompareResponse, CounterfactualBody,
    DifferenceBody, EntityBody, EvidenceBody, FilmBody, FilmName, GraphResponse, HitBody, LimitParams,
    PartBody, QuestionBody, RelatedBody, RuleBody, ScoreBody, SearchParams, SearchRequest, SearchResponse,
    SimilarBody, SimilarPart, SimilarResponse, SuggestParams, SuggestResponse, SuggestionBody, TextSpan, Why,
};
use crate::error::{ApiError, Code, ErrorBody};
use crate::state::{Shared, Snapshot};

/// A question with the filters sent beside it.
struct Composed {
    text: String,
    /// Where each filter stands in the text.
    filters: Vec<std::ops::Range<usize>>,
}

/// Filters sent beside a question, at most.
const MAX_FILTERS: usize = 32;

fn compose(app: &Shared, query: &str, filters: &[String]) -> Result<Composed, ApiError> {
    let bad = |message: String| Err(ApiError::new(Code::BadFilter, message));
    if filters.len() > MAX_FILTERS {
        return bad(format!("{} filters, at most {MAX_FILTERS} can be sent", filters.len()));
    }
    let mut composed = Composed { text: query.to_owned(), filters: Vec::new() };
    for filter in filters {
        let filter = filter.trim();
        let (parsed, errors) = parse_filters(filter);
        if let Some(error) = errors.first() {
            return bad(error.to_string());
        }
        if parsed.is_empty() || !parsed.rest(filter).is_empty() {
            return bad(format!(
                "`{filter}` is not one filter; write for example `year:1980..1989` or `-genre:comedy`"
            ));
        }
        composed.text.push(' ');
        let start = composed.text.len();
        composed.text.push_str(filter);
        composed.filters.push(start..composed.text.len());
    }
    let max = app.settings.max_query_bytes;
    if composed.text.len() > max {
        return Err(ApiError::new(
            Code::QueryTooLong,
            format!(
                "the question has {} bytes, at most {max} are read; leave something out",
                composed.text.len()
            ),
        ));
    }
    if query.trim().is_empty() {
        return Err(ApiError::new(
            Code::EmptyQuery,
            "the query has no words; describe the film in your own words",
        ));
    }
    Ok(composed)
}

/// The deepest place that can be asked for: the candidates of a question.
const MAX_DEPTH: usize = 1_000;

fn check_page(app: &Shared, limit: usize, offset: usize) -> Result<(), ApiError> {
    let max = app.settings.max_page;
    if limit == 0 || limit > max {
        return Err(ApiError::new(
            Code::PageTooLarge,
            format!("{limit} films asked for; ask for 1 to {max} at a time"),
        ));
    }
    if offset.saturating_add(limit) > MAX_DEPTH.max(max) {
        return Err(ApiError::new(
            Code::PageTooLarge,
            format!("only the first {MAX_DEPTH} films are ranked; describe the film more closely"),
        ));
    }
    Ok(())
}

/// Search with parameters in the address.
#[utoipa::path(get, path = "/v1/search", tag = "search", operation_id = "search", params(SearchParams),
    security((), ("key" = [])),
    responses((status = 200, body = SearchResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn search_get(
    State(app): State<App>,
    Params(params): Params<SearchParams>,
) -> Result<Json<SearchResponse>, ApiError> {
    let request = SearchRequest {
        query: params.q,
        filters: Vec::new(),
        limit: params.limit.unwrap_or(10),
        offset: params.offset.unwrap_or(0),
        explain: params.explain.unwrap_or(false),
        ask: params.ask.unwrap_or(false),
        asked: Vec::new(),
    };
    search(app, request).await
}

/// Search with everything in the body.
#[utoipa::path(post, path = "/v1/search", tag = "search", operation_id = "search_by_body", request_body = SearchRequest,
    security((), ("key" = [])),
    responses((status = 200, body = SearchResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn search_post(
    State(app): State<App>,
    InJson(request): InJson<SearchRequest>,
) -> Result<Json<SearchResponse>, ApiError> {
    search(app, request).await
}

async fn search(app: App, request: SearchRequest) -> Result<Json<SearchResponse>, ApiError> {
    check_page(&app, request.limit, request.offset)?;
    let composed = compose(&app, &request.query, &request.filters)?;
    if app.settings.log_queries {
        tracing::info!(query = composed.text, "search");
    }
    let snapshot = app.snapshot();
    app.gate.run(move || answer(&snapshot, composed, &request)).await?.map(Json)
}

fn answer(
    snapshot: &Snapshot,
    composed: Composed,
    request: &SearchRequest,
) -> Result<SearchResponse, ApiError> {
    let options = SearchOptions {
        k: request.limit,
        skip: request.offset,
        ask: request.ask.then_some(&request.asked[..]),
    };
    let answer = snapshot.engine.search_with(&composed.text, &options)?;
    let understood = answer.understood.as_ref();
    let chips = understood.map_or_else(Vec::new, |understood| chips_of(understood, &composed));
    Ok(SearchResponse {
        generation: snapshot.generation.clone(),
        n_films: answer.n_films,
        n_passing: answer.n_passing,
        latency_ms: answer.latency_ms,
        chips,
        understood: understood.map_or_else(Vec::new, |understood| understood.in_words(&composed.text)),
        hits: answer.hits.into_iter().map(|hit| hit_body(snapshot, hit, request.explain)).collect(),
        question: answer.question.map(|question| QuestionBody {
            id: question.id,
            text: question.text,
            answers: question
                .answers
                .into_iter()
                .map(|answer| ChoiceBody { label: answer.label, filter: answer.filter, share: answer.share })
                .collect(),
            gain_bits: question.gain_bits,
            entropy_bits: question.entropy_bits,
        }),
        query: composed.text,
    })
}

/// Cues that are surely meant.
const LEAST_CONFIDENCE: f32 = 0.5;

fn chips_of(understood: &Understanding, composed: &Composed) -> Vec<Chip> {
    let mut chips = Vec::new();
    for span in &understood.filters.spans {
        let text = span.of(&composed.text);
        let negated = text.starts_with('-');
        let (field, value) = text.trim_start_matches('-').split_once(':').unwrap_or((text, ""));
        chips.push(Chip {
            kind: ChipKind::Filter,
            field: field.to_lowercase(),
            value: value.trim_matches(['"', '\u{201c}', '\u{201d}']).to_owned(),
            negated,
            span: (*span).into(),
            filter: composed.filters.iter().position(|range| range.contains(&span.start)),
            strict: None,
        });
    }
    for date in &understood.dates {
        let strict = match (date.kind, date.release_years()) {
            (_, (None, None)) | (DateKind::Setting, _) => None,
            (_, (from, to)) => {
                let part = |year: Option<i32>| year.map(|year| year.to_string()).unwrap_or_default();
                let not = if date.negated { "-" } else { "" };
                Some(format!("{not}year:{}..{}", part(from), part(to)))
            }
        };
        chips.push(Chip {
            kind: ChipKind::Cue,
            field: date.kind.name().to_owned(),
            value: date.years(),
            negated: date.negated,
            span: date.span.into(),
            filter: None,
            strict,
        });
    }
    for entity in &understood.entities {
        if entity.confidence < LEAST_CONFIDENCE || entity.kind == Kind::Film {
            continue;
        }
        let filterable = matches!(
            entity.kind,
            Kind::Genre | Kind::Country | Kind::Language | Kind::Keyword | Kind::Person
        );
        let not = if entity.negated { "-" } else { "" };
        let strict = (filterable && !entity.compared && !entity.name.contains('"'))
            .then(|| format!("{not}{}:\"{}\"", entity.kind.name(), entity.name));
        chips.push(Chip {
            kind: ChipKind::Cue,
            field: entity.kind.name().to_owned(),
            value: entity.name.to_lowercase(),
            negated: entity.negated,
            span: entity.span.into(),
            filter: None,
            strict,
        });
    }
    for found in &understood.traits {
        chips.push(Chip {
            kind: ChipKind::Cue,
            field: "kind".to_owned(),
            value: found.what.name().replace('_', " "),
            negated: found.negated,
            span: found.span.into(),
            filter: None,
            strict: None,
        });
    }
    // One chip for one place: "Japanese" is a country and a language.
    let mut seen = HashSet::new();
    chips.retain(|chip| chip.kind == ChipKind::Filter || seen.insert((chip.span.start, chip.value.clone())));
    chips
}

fn hit_body(snapshot: &Snapshot, hit: Hit, explain: bool) -> HitBody {
    let terms: HashSet<&str> = hit.matches.iter().map(|found| found.term.as_str()).collect();
    let mut marks = Vec::new();
    snapshot.tokenizer.for_each_with_span(&hit.film.overview, |token, span| {
        if terms.contains(token) {
            marks.push(TextSpan { start: span.start, end: span.end });
        }
    });
    let mut words: Vec<String> = Vec::new();
    for found in &hit.matches {
        if !words.contains(&found.word) {
            words.push(found.word.clone());
        }
    }
    let parts = hit
        .parts
        .iter()
        .map(|part| PartBody {
            name: part.name.to_owned(),
            value: part.value,
            weight: part.weight,
            contribution: part.contribution,
        })
        .collect();
    HitBody {
        rank: hit.rank,
        score: hit.score,
        marks,
        words,
        why: hit.reasons.filter(|_| explain).map(|reasons| why_of(reasons, parts)),
        film: hit.film.into(),
    }
}

fn why_of(reasons: FilmReasons, parts: Vec<PartBody>) -> Why {
    Why {
        score: reasons.score,
        bias: reasons.bias,
        rules: reasons.rules.into_iter().map(rule_body).collect(),
        scores: reasons
            .scores
            .into_iter()
            .map(|score| ScoreBody {
                name: score.name.to_owned(),
                words: score.words.to_owned(),
                value: score.value,
                weight: score.weight,
                contribution: score.contribution,
            })
            .collect(),
        parts,
    }
}

fn rule_body(rule: RuleReason) -> RuleBody {
    RuleBody {
        rule: rule.rule,
        text: rule.text,
        words: rule.words,
        weight: rule.weight,
        evidence: rule
            .evidence
            .into_iter()
            .map(|found| EvidenceBody {
                fact: found.fact.to_owned(),
                question: found.question.map(TextSpan::from),
                said: found.said,
                film: found.film,
            })
            .collect(),
    }
}

pub(crate) fn graph_of(snapshot: &Snapshot) -> Result<&Graph, ApiError> {
    snapshot.graph().ok_or_else(|| ApiError::internal("a state without a graph"))
}

pub(crate) fn film_number(graph: &Graph, id: &str) -> Result<u32, ApiError> {
    graph.film_with_id(id).ok_or_else(|| {
        ApiError::new(Code::UnknownFilm, "no film has this id; `/v1/suggest` finds films by title".to_owned())
    })
}

pub(crate) fn name_of(graph: &Graph, film: u32) -> FilmName {
    let year = graph.edges(film, Relation::Year).next().and_then(|(year, _)| graph.name(year).parse().ok());
    FilmName { id: graph.film_id(film).to_owned(), title: graph.name(EntityId(film)).to_owned(), year }
}

/// Why one film of an answer stands above another.
#[utoipa::path(post, path = "/v1/compare", tag = "search", operation_id = "compare", request_body = CompareRequest,
    security((), ("key" = [])),
    responses((status = 200, body = CompareResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn compare(
    State(app): State<App>,
    InJson(request): InJson<CompareRequest>,
) -> Result<Json<CompareResponse>, ApiError> {
    let composed = compose(&app, &request.query, &request.filters)?;
    let snapshot = app.snapshot();
    app.gate.run(move || comparison(&snapshot, composed.text, &request)).await?.map(Json)
}

fn comparison(
    snapshot: &Snapshot,
    query: String,
    request: &CompareRequest,
) -> Result<CompareResponse, ApiError> {
    let graph = graph_of(snapshot)?;
    if snapshot.engine.ranker().is_none() {
        return Err(ApiError::new(
            Code::NoRules,
            "there are no rules to compare by; learn them with `titlecard train ranker`",
        ));
    }
    let (a, b) = (film_number(graph, &request.first)?, film_number(graph, &request.second)?);
    let found = snapshot.engine.compare(&query, a as usize, b as usize)?.ok_or_else(|| {
        ApiError::new(
            Code::NotACandidate,
            "one of the films is not among the candidates of this question; compare films of its answer",
        )
    })?;
    let words_of = |name: &'static str| Number::named(name).map_or(name, Number::words).to_owned();
    let counterfactual = found.counterfactual.map(|turned| {
        let film = name_of(graph, turned.film as u32);
        let changes: Vec<ChangeBody> = turned
            .changes
            .iter()
            .map(|change| ChangeBody {
                fact: change.fact.to_owned(),
                words: change.words.to_owned(),
                becomes: change.becomes,
            })
            .collect();
        let facts: Vec<String> = changes
            .iter()
            .map(|change| {
                format!("it were {} that {}", if change.becomes { "so" } else { "not so" }, change.words)
            })
            .collect();
        CounterfactualBody {
            text: format!("\u{201c}{}\u{201d} would come first if {}.", film.title, facts.join(", and ")),
            film: film.id,
            changes,
            score: [turned.score_before, turned.score_after],
            place: [turned.place_before, turned.place_after],
        }
    });
    Ok(CompareResponse {
        query,
        first: name_of(graph, a),
        second: name_of(graph, b),
        difference: found.difference,
        only_first: found.only_first.into_iter().map(rule_body).collect(),
        only_second: found.only_second.into_iter().map(rule_body).collect(),
        scores: found
            .scores
            .into_iter()
            .map(|(name, difference)| DifferenceBody {
                name: name.to_owned(),
                words: words_of(name),
                difference,
            })
            .collect(),
        counterfactual,
    })
}

/// Titles that begin so.
#[utoipa::path(get, path = "/v1/suggest", tag = "search", operation_id = "suggest", params(SuggestParams),
    security((), ("key" = [])),
    responses((status = 200, body = SuggestResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn suggest(
    State(app): State<App>,
    Params(params): Params<SuggestParams>,
) -> Result<Json<SuggestResponse>, ApiError> {
    let limit = params.limit.unwrap_or(8);
    if !(1..=20).contains(&limit) {
        return Err(ApiError::new(Code::PageTooLarge, format!("{limit} titles asked for; ask for 1 to 20")));
    }
    // No title is longer; the table is made for short texts.
    let q: String = params.q.chars().take(200).collect();
    let snapshot = app.snapshot();
    app.gate
        .run(move || {
            let graph = graph_of(&snapshot)?;
            let found = snapshot.titles.find(graph, &q, limit);
            let titles = found
                .into_iter()
                .map(|found| {
                    let FilmName { id, title, year } = name_of(graph, found.film);
                    let also = (found.title != title).then_some(found.title);
                    SuggestionBody { id, title, also, year, edits: found.edits }
                })
                .collect();
            Ok(Json(SuggestResponse { titles }))
        })
        .await?
}

/// One film.
#[utoipa::path(get, path = "/v1/films/{id}", tag = "films", operation_id = "film",
    params(("id" = String, Path, description = "Id in the catalogue", example = "578")), security((), ("key" = [])),
    responses((status = 200, body = FilmBody), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn film(State(app): State<App>, InPath(id): InPath) -> Result<Json<FilmBody>, ApiError> {
    let snapshot = app.snapshot();
    app.gate
        .run(move || {
            let film = film_number(graph_of(&snapshot)?, &id)?;
            let film = snapshot.engine.index().lexical.film(film as usize).map_err(ApiError::storage)?;
            Ok(Json(FilmBody::from(film)))
        })
        .await?
}

/// Films like a film.
#[utoipa::path(get, path = "/v1/films/{id}/similar", tag = "films", operation_id = "similar",
    params(("id" = String, Path, description = "Id in the catalogue", example = "578"), LimitParams), security((), ("key" = [])),
    responses((status = 200, body = SimilarResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn similar(
    State(app): State<App>,
    InPath(id): InPath,
    Params(params): Params<LimitParams>,
) -> Result<Json<SimilarResponse>, ApiError> {
    let limit = params.limit.unwrap_or(10);
    check_page(&app, limit, 0)?;
    let snapshot = app.snapshot();
    app.gate
        .run(move || {
            let graph = graph_of(&snapshot)?;
            let film = film_number(graph, &id)?;
            let found = SimilarFilms::new(graph, Some(snapshot.engine.index())).most_like(
                film,
                limit,
                &SimilarWeights::default(),
            );
            let similar = found
                .into_iter()
                .map(|similar| SimilarBody {
                    rank: similar.rank,
                    film: name_of(graph, similar.film),
                    score: similar.score,
                    parts: similar
                        .parts
                        .into_iter()
                        .map(|part| SimilarPart {
                            name: part.name.to_owned(),
                            contribution: part.contribution,
                            shared: part.shared.into_iter().map(|shared| shared.name).collect(),
                        })
                        .collect(),
                })
                .collect();
            Ok(Json(SimilarResponse { film: name_of(graph, film), similar }))
        })
        .await?
}

/// What is around a film in the graph.
#[utoipa::path(get, path = "/v1/films/{id}/graph", tag = "films", operation_id = "graph",
    params(("id" = String, Path, description = "Id in the catalogue", example = "578")), security((), ("key" = [])),
    responses((status = 200, body = GraphResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn graph(
    State(app): State<App>,
    InPath(id): InPath,
) -> Result<Json<GraphResponse>, ApiError> {
    let snapshot = app.snapshot();
    app.gate
        .run(move || {
            let graph = graph_of(&snapshot)?;
            let film = film_number(graph, &id)?;
            let around = Neighbourhood::of(graph, film, &ShowConfig::default());
            Ok(Json(GraphResponse {
                film: name_of(graph, film),
                n_more: around.n_more,
                entities: around
                    .entities
                    .into_iter()
                    .map(|linked| EntityBody {
                        relation: linked.relation.name().to_owned(),
                        name: linked.name,
                        derived: linked.derived,
                        n_films: linked.n_films,
                    })
                    .collect(),
                above: around
                    .above
                    .into_iter()
                    .map(|above| AboveBody { name: above.name, from: above.from })
                    .collect(),
                related: around
                    .related
                    .into_iter()
                    .map(|related| RelatedBody { film: name_of(graph, related.film), shared: related.shared })
                    .collect(),
            }))
        })
        .await?
}

/// The same as a picture.
#[utoipa::path(get, path = "/v1/films/{id}/graph.svg", tag = "films", operation_id = "graph_picture",
    params(("id" = String, Path, description = "Id in the catalogue", example = "578")), security((), ("key" = [])),
    responses((status = 200, body = String, content_type = "image/svg+xml"), (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody)))]
pub(crate) async fn graph_picture(State(app): State<App>, InPath(id): InPath) -> Result<Response, ApiError> {
    let snapshot = app.snapshot();
    app.gate
        .run(move || {
            let graph = graph_of(&snapshot)?;
            let film = film_number(graph, &id)?;
            let svg = Neighbourhood::of(graph, film, &ShowConfig::default())
                .to_svg()
                .map_err(ApiError::internal)?;
            Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
        })
        .await?
}
