//! Rules, films, reload, status.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use titlecard_engine::artifact::write_bytes;
use titlecard_engine::catalogue::Film;
use titlecard_engine::rank::lint::{Finding, lint};
use titlecard_engine::rank::ranker::Ranker;

use super::App;
use super::extract::{InJson, InLines, InLongJson, InPath, parse_json};
use super::search::{film_number, graph_of};
use super::types::{
    AcceptedBody, BuildStatus, ChangesStatus, FilmInput, FindingBody, LintResponse, RuleLine, RulesResponse,
    ScoreLine, StatusResponse, WeightRequest,
};
use crate::error::{ApiError, Code, ErrorBody};
use crate::journal::Change;
use crate::state::{Build, ServeError, Shared, Snapshot, locked};
use crate::updates;

fn ranker_of(snapshot: &Snapshot) -> Result<&Ranker, ApiError> {
    snapshot.engine.ranker().ok_or_else(|| {
        ApiError::new(
            Code::NoRules,
            "there are no rules; learn them with `titlecard train ranker`, or send a list",
        )
    })
}

fn rules_response(ranker: &Ranker, tag: &str) -> Result<Response, ApiError> {
    let list = ranker.rules();
    let rules = (0..list.rules().len())
        .map(|at| RuleLine {
            rule: at + 1,
            text: list.text(at),
            words: ranker.rule_words(at),
            weight: ranker.weight(at),
            support: list.rules()[at].support,
        })
        .collect();
    let scores =
        list.linear().iter().map(|term| ScoreLine { name: term.name.clone(), weight: term.weight }).collect();
    let body = RulesResponse {
        tag: tag.to_owned(),
        bias: list.bias().first().copied().unwrap_or(0.0),
        rules,
        scores,
        list: serde_json::from_str(&list.to_json()).map_err(ApiError::internal)?,
    };
    let tag = HeaderValue::from_str(tag).map_err(ApiError::internal)?;
    Ok(([(header::ETAG, tag)], Json(body)).into_response())
}

/// The rules that rank.
#[utoipa::path(get, path = "/v1/rules", tag = "rules", operation_id = "rules", security((), ("key" = [])),
    responses((status = 200, body = RulesResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn rules(State(app): State<App>) -> Result<Response, ApiError> {
    let snapshot = app.snapshot();
    rules_response(ranker_of(&snapshot)?, snapshot.rules_tag.as_deref().unwrap_or_default())
}

fn findings(found: Vec<Finding>) -> LintResponse {
    LintResponse {
        is_usable: !found.iter().any(|finding| finding.is_error),
        findings: found
            .into_iter()
            .map(|finding| FindingBody {
                rule: finding.rule,
                is_error: finding.is_error,
                message: finding.message,
            })
            .collect(),
    }
}

/// Reads a rule list; too deep or not JSON is told apart from not a rule list.
fn read_rules(bytes: &[u8]) -> Result<Ranker, ApiError> {
    let value: serde_json::Value = parse_json(bytes)?;
    Ranker::from_json(&value.to_string()).map_err(|error| ApiError::new(Code::BadRules, error.to_string()))
}

/// Checks a rule list without using it.
#[utoipa::path(post, path = "/v1/rules/lint", tag = "rules", operation_id = "lint_rules",
    request_body(content = serde_json::Value, description = "A rule list, as `list` of `GET /v1/rules`"), security((), ("key" = [])),
    responses((status = 200, body = LintResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn lint_rules(
    State(app): State<App>,
    InLongJson(body): InLongJson,
) -> Result<Json<LintResponse>, ApiError> {
    let snapshot = app.snapshot();
    app.gate
        .run(move || {
            let ranker = read_rules(&body)?;
            Ok(Json(findings(lint(&ranker, &snapshot.config.ranker))))
        })
        .await?
}

fn if_match(headers: &HeaderMap) -> Option<String> {
    headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Makes `edit` of the rules, checks them, writes them, and ranks by them from now on.
async fn edit_rules(
    app: App,
    expected: Option<String>,
    edit: impl FnOnce(&Snapshot) -> Result<Ranker, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let work = move || {
        let mut base = locked(&app.base);
        let snapshot = app.snapshot();
        if let Some(expected) = expected.filter(|expected| expected != "*")
            && snapshot.rules_tag.as_deref() != Some(expected.as_str())
        {
            return Err(ApiError::new(
                Code::RulesChanged,
                "the rules are not those of `If-Match`; read them again with `GET /v1/rules`",
            ));
        }
        let ranker = edit(&snapshot)?;
        let found = lint(&ranker, &snapshot.config.ranker);
        if let Some(error) = found.iter().find(|finding| finding.is_error) {
            return Err(ApiError::new(Code::BadRules, error.to_string()));
        }
        let json = ranker.rules().to_json();
        write_bytes(&app.workspace.rules(), json.as_bytes()).map_err(ApiError::storage)?;
        app.swap_rules(&mut base, &ranker);
        let snapshot = app.snapshot();
        rules_response(ranker_of(&snapshot)?, snapshot.rules_tag.as_deref().unwrap_or_default())
    };
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

/// Puts another rule list in place of the one that ranks.
///
/// The list is checked first; one with errors is refused. With `If-Match` it is refused if the rules are not those.
#[utoipa::path(put, path = "/v1/rules", tag = "rules", operation_id = "put_rules",
    request_body(content = serde_json::Value, description = "A rule list, as `list` of `GET /v1/rules`"), security(("key" = [])),
    responses((status = 200, body = RulesResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn put_rules(
    State(app): State<App>,
    headers: HeaderMap,
    InLongJson(body): InLongJson,
) -> Result<Response, ApiError> {
    edit_rules(app, if_match(&headers), move |_| read_rules(&body)).await
}

/// Gives a rule another weight.
#[utoipa::path(patch, path = "/v1/rules/{rule}", tag = "rules", operation_id = "patch_rule", request_body = WeightRequest,
    params(("rule" = usize, Path, description = "Number of the rule, from 1", minimum = 1)), security(("key" = [])),
    responses((status = 200, body = RulesResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn patch_rule(
    State(app): State<App>,
    InPath(rule): InPath,
    headers: HeaderMap,
    InJson(request): InJson<WeightRequest>,
) -> Result<Response, ApiError> {
    let number: usize = rule.parse().map_err(|_| {
        ApiError::new(Code::BadParameter, format!("`{rule}` is not the number of a rule, counted from 1"))
    })?;
    if !request.weight.is_finite() || request.weight.abs() > 1_000.0 {
        return Err(ApiError::new(
            Code::BadRules,
            format!("the weight {} is not within -1000 to 1000", request.weight),
        ));
    }
    edit_rules(app, if_match(&headers), move |snapshot| {
        let ranker = ranker_of(snapshot)?;
        let n = ranker.rules().rules().len();
        if !(1..=n).contains(&number) {
            return Err(ApiError::new(
                Code::BadRules,
                format!("there is no rule {number}; rules are numbered from 1 to {n}"),
            ));
        }
        ranker
            .with_weight(number - 1, request.weight)
            .map_err(|error| ApiError::new(Code::BadRules, error.to_string()))
    })
    .await
}

/// Longest id of a film, in bytes.
const MAX_ID_BYTES: usize = 200;
/// Longest title, in bytes.
const MAX_TITLE_BYTES: usize = 4_000;
/// Years films are of.
const YEARS: std::ops::RangeInclusive<i32> = 1870..=2100;

fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.trim() != id || id.chars().any(char::is_control) {
        return Err(format!(
            "the id has {} bytes, expected 1 to {MAX_ID_BYTES} without control characters or spaces around it",
            id.len()
        ));
    }
    Ok(())
}

fn film_of(input: FilmInput, id_of_path: Option<&str>) -> Result<Film, String> {
    let id = match (input.id, id_of_path) {
        (Some(id), Some(path)) if id != path => {
            return Err(format!(
                "the film says its id is `{id}`, the address says `{path}`; leave it out of the film"
            ));
        }
        (Some(id), _) => id,
        (None, Some(path)) => path.to_owned(),
        (None, None) => return Err("the film has no `id`".to_owned()),
    };
    check_id(&id)?;
    if input.title.trim().is_empty() || input.title.len() > MAX_TITLE_BYTES {
        return Err(format!(
            "the title has {} bytes, expected 1 to {MAX_TITLE_BYTES} that are not blank",
            input.title.len()
        ));
    }
    if let Some(year) = input.year.filter(|year| !YEARS.contains(year)) {
        return Err(format!("the year is {year}, expected {} to {}", YEARS.start(), YEARS.end()));
    }
    let named = |names: Vec<String>| -> Vec<String> {
        names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let mut film = Film {
        id,
        title: input.title.trim().to_owned(),
        original_title: input.original_title.filter(|title| !title.trim().is_empty()),
        year: input.year,
        genres: named(input.genres),
        keywords: named(input.keywords),
        overview: input.overview.trim().to_owned(),
        cast: named(input.cast),
        directors: named(input.directors),
        countries: named(input.countries),
        languages: named(input.languages),
        plot: input.plot,
        votes: input.votes,
        tags: input.tags.unwrap_or_default().trim().to_owned(),
        other_ids: None,
    };
    if film.tags.is_empty() {
        film.tags = film.build_tags();
    }
    if film.tags.trim().is_empty() {
        return Err("nothing is said of the film; give it an `overview`".to_owned());
    }
    Ok(film)
}

async fn take(app: App, changes: Vec<Change>) -> Result<Response, ApiError> {
    let accepted = changes.len();
    let taken = tokio::task::spawn_blocking(move || updates::take(&app, changes))
        .await
        .map_err(ApiError::internal)?;
    match taken {
        Ok((seq, pending)) => {
            Ok((StatusCode::ACCEPTED, Json(AcceptedBody { accepted, seq, pending })).into_response())
        }
        Err(error) => Err(ApiError::storage(error)),
    }
}

/// Adds or changes films: one JSON object a line.
///
/// All lines are taken or none. They are on disk when this answers, and can be found when `changes.visible_seq` of
/// `/v1/status` has reached `seq`, mostly within a second.
#[utoipa::path(post, path = "/v1/films", tag = "films", operation_id = "put_films",
    request_body(content((FilmInput = "application/x-ndjson"), (FilmInput = "application/json")), description = "One film a line"), security(("key" = [])),
    responses((status = 202, body = AcceptedBody), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn put_films(State(app): State<App>, InLines(body): InLines) -> Result<Response, ApiError> {
    let read = move || -> Result<Vec<Change>, ApiError> {
        let mut changes = Vec::new();
        for (at, line) in body.split(|&byte| byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let of_line = |error: ApiError| ApiError {
                message: format!("line {}: {}", at + 1, error.message),
                ..error
            };
            let input: FilmInput = parse_json(line).map_err(of_line)?;
            let film =
                film_of(input, None).map_err(|message| of_line(ApiError::new(Code::BadFilm, message)))?;
            changes.push(Change::Put { film: Box::new(film) });
        }
        if changes.is_empty() {
            return Err(ApiError::new(
                Code::BadJson,
                "there is no film in the body; send one JSON object a line",
            ));
        }
        Ok(changes)
    };
    let changes = app.gate.run(read).await??;
    take(app, changes).await
}

/// Adds or changes a film.
#[utoipa::path(put, path = "/v1/films/{id}", tag = "films", operation_id = "put_film", request_body = FilmInput,
    params(("id" = String, Path, description = "Id in the catalogue")), security(("key" = [])),
    responses((status = 202, body = AcceptedBody), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn put_film(
    State(app): State<App>,
    InPath(id): InPath,
    InLongJson(body): InLongJson,
) -> Result<Response, ApiError> {
    let film =
        film_of(parse_json(&body)?, Some(&id)).map_err(|message| ApiError::new(Code::BadFilm, message))?;
    take(app, vec![Change::Put { film: Box::new(film) }]).await
}

/// Deletes a film.
#[utoipa::path(delete, path = "/v1/films/{id}", tag = "films", operation_id = "delete_film",
    params(("id" = String, Path, description = "Id in the catalogue")), security(("key" = [])),
    responses((status = 202, body = AcceptedBody), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn delete_film(State(app): State<App>, InPath(id): InPath) -> Result<Response, ApiError> {
    // What is pending counts before what is built in.
    let pending = app.updates().pending.get(&id).copied();
    match pending {
        Some(true) => {}
        Some(false) => return Err(ApiError::new(Code::UnknownFilm, "the film is deleted already")),
        None => {
            film_number(graph_of(&app.snapshot())?, &id)?;
        }
    }
    take(app, vec![Change::Delete { id }]).await
}

/// Opens settings of ranking, rules, models, index and keys again.
#[utoipa::path(post, path = "/v1/reload", tag = "server", operation_id = "reload", security(("key" = [])),
    responses((status = 200, body = StatusResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn reload(State(app): State<App>) -> Result<Json<StatusResponse>, ApiError> {
    let shared = App::clone(&app);
    let done = tokio::task::spawn_blocking(move || shared.reload()).await.map_err(ApiError::internal)?;
    match done {
        Ok(()) => Ok(Json(status_of(&app))),
        // What is wrong with a settings file is what an administrator asked for; paths stay in the log.
        Err(error @ (ServeError::Settings(_) | ServeError::PublicWithoutKey(_))) => {
            Err(ApiError::new(Code::BadRules, error.to_string()))
        }
        Err(error) => Err(ApiError::storage(error)),
    }
}

/// How the server is.
#[utoipa::path(get, path = "/v1/status", tag = "server", operation_id = "status", security((), ("key" = [])),
    responses((status = 200, body = StatusResponse), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(crate) async fn status(State(app): State<App>) -> Json<StatusResponse> {
    Json(status_of(&app))
}

fn status_of(app: &Shared) -> StatusResponse {
    let snapshot = app.snapshot();
    let updates = app.updates();
    let (state, step, done, total) = match &updates.build {
        Build::Idle => ("idle", None, None, None),
        Build::Waiting => ("waiting", None, None, None),
        Build::Running { step, done, total } => ("running", Some(step.clone()), Some(*done), Some(*total)),
        Build::Failed(what) => ("failed", Some(what.clone()), None, None),
    };
    StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: snapshot.generation.clone(),
        n_films: snapshot.engine.index().n_films(),
        n_rules: snapshot.engine.ranker().map_or(0, |ranker| ranker.rules().rules().len()),
        uptime_s: app.started.elapsed().as_secs_f64(),
        changes: ChangesStatus {
            acknowledged_seq: updates.journal.last_seq(),
            visible_seq: updates.visible_seq,
            built_seq: updates.built_seq,
            pending: updates.pending.len(),
        },
        build: BuildStatus {
            state: state.to_owned(),
            step,
            done,
            total,
            n_builds: updates.n_builds,
            last_s: updates.last_build_s,
        },
    }
}
