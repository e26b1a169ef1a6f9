//! The API: routes, who may use them, and what surrounds every request.

mod extract;
mod manage;
mod search;
mod types;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, License, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, Code, ErrorBody};
use crate::keys::Role;
use crate::limits::Counted;
use crate::metrics::{CodeLabels, RequestLabels, RouteLabels, resident_bytes};
use crate::state::Shared;
use crate::web;
use types::Health;

/// What handlers share.
pub(crate) type App = Arc<Shared>;

/// Who sent a request, as the accept loop saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The key a request came with.
#[derive(Debug, Clone)]
struct UsedKey(String);

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "server", operation_id = "health",
    responses((status = 200, body = Health), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Searches can be sent here.
#[utoipa::path(get, path = "/readyz", tag = "server", operation_id = "readiness",
    responses((status = 200, body = Health), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
async fn readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    if app.is_stopping() {
        return Err(ApiError::new(Code::Stopping, "the server is about to end; ask another").retry_after(5));
    }
    Ok(Json(Health { status: "ok".to_owned() }))
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server", operation_id = "metrics", security((), ("key" = [])),
    responses((status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let metrics = &app.metrics;
    metrics.in_flight.set(app.in_flight.load(Ordering::Relaxed) as i64);
    metrics.connections.set(app.connections.load(Ordering::Relaxed) as i64);
    metrics.waiting.set(app.gate.waiting() as i64);
    metrics.pending.set(app.updates().pending.len() as i64);
    metrics.films.set(app.snapshot().engine.index().n_films() as i64);
    metrics.memory.set(resident_bytes().unwrap_or(0) as i64);
    let text = metrics.text().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response())
}

fn routes_of() -> (OpenApiRouter<App>, OpenApiRouter<App>, OpenApiRouter<App>, OpenApiRouter<App>) {
    let open = OpenApiRouter::new().routes(routes!(health)).routes(routes!(readiness));
    let read = OpenApiRouter::new()
        .routes(routes!(search::search_get, search::search_post))
        .routes(routes!(search::compare))
        .routes(routes!(search::suggest))
        .routes(routes!(search::film))
        .routes(routes!(search::similar))
        .routes(routes!(search::graph))
        .routes(routes!(search::graph_picture))
        .routes(routes!(manage::rules))
        .routes(routes!(manage::lint_rules))
        .routes(routes!(manage::status))
        .routes(routes!(metrics));
    let write = OpenApiRouter::new()
        .routes(routes!(manage::put_films))
        .routes(routes!(manage::put_film, manage::delete_film));
    let admin = OpenApiRouter::new()
        .routes(routes!(manage::put_rules))
        .routes(routes!(manage::patch_rule))
        .routes(routes!(manage::reload));
    (open, read, write, admin)
}

/// The OpenAPI 3.1 document, made of the code.
pub fn openapi() -> OpenApi {
    let (open, read, write, admin) = routes_of();
    let mut api = open.merge(read).merge(write).merge(admin).into_openapi();
    let mut info = Info::new("titlecard", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Describe a film in your own words; get its title, and what put it there. Errors have one form, \
         `{\"error\": {\"code\", \"message\", \"hint\"}}`; all codes are in `docs/api.md`."
            .to_owned(),
    );
    info.license = Some(License::new("MIT"));
    api.info = info;
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key made by `titlecard serve --new-key`"))
        .build();
    api.components
        .get_or_insert_with(Components::new)
        .add_security_scheme("key", SecurityScheme::Http(bearer));
    api
}

/// The methods of every address, as `Allow` lists them.
fn allowed_methods(api: &OpenApi) -> HashMap<String, HeaderValue> {
    let api = serde_json::to_value(api).unwrap_or_default();
    let mut allowed = HashMap::new();
    for (path, item) in api["paths"].as_object().into_iter().flatten() {
        let mut methods: Vec<String> =
            item.as_object().into_iter().flatten().map(|(m, _)| m.to_uppercase()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        if let Ok(value) = methods.join(", ").parse() {
            allowed.insert(path.clone(), value);
        }
    }
    allowed
}

/// The whole server as a service.
pub(crate) fn router(app: App) -> Router {
    let (open, read, write, admin) = routes_of();
    let api = Arc::new(openapi());
    let json = serde_json::to_string_pretty(&*api).unwrap_or_default();
    let docs = web::docs_page(&api);
    let allowed = allowed_methods(&api);
    let needs = |role| from_fn_with_state((App::clone(&app), role), guard);
    let parts = |router: OpenApiRouter<App>| router.split_for_parts().0;
    let mut router = Router::new()
        .merge(parts(read).route_layer(needs(Role::Read)))
        .merge(parts(write).route_layer(needs(Role::Write)))
        .merge(parts(admin).route_layer(needs(Role::Admin)))
        .merge(parts(open))
        .route(
            "/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], json.clone())),
        )
        .route("/docs", get(async move || web::html(docs.clone())))
        .merge(web::routes())
        .fallback(async || ApiError::new(Code::UnknownPath, "there is nothing at this address; see `/docs`"))
        .method_not_allowed_fallback(async move |path: Option<MatchedPath>| {
            let allowed = allowed.get(path.as_ref().map_or("", MatchedPath::as_str));
            let allowed = allowed.cloned().unwrap_or(HeaderValue::from_static("GET, HEAD"));
            let error =
                ApiError::new(Code::WrongMethod, "this address does not take this method; see `/docs`");
            ([(header::ALLOW, allowed)], error)
        })
        .layer(from_fn_with_state(App::clone(&app), within_deadline));
    if !app.settings.origins.is_empty() {
        let origins: Vec<HeaderValue> =
            app.settings.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        router = router.layer(
            CorsLayer::new()
                .allow_origin(AllowOrigin::list(origins))
                .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
                .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, header::IF_MATCH]),
        );
    }
    router
        .layer(from_fn_with_state(App::clone(&app), right_host))
        .layer(from_fn_with_state(App::clone(&app), observe))
        .layer(from_fn(safe_headers))
        .with_state(app)
}

/// Lets a request pass that comes with a key of at least `role`, or that needs none, and counts it.
async fn guard(State((app, role)): State<(App, Role)>, mut request: Request, next: Next) -> Response {
    let key = match authenticate(&app, role, &request) {
        Ok(key) => key,
        Err(error) => return error.into_response(),
    };
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0.ip());
    let counted = key.clone().map_or(Counted::Address(peer), Counted::Key);
    if let Err(error) = app.limiters.check(&counted) {
        return error.into_response();
    }
    if let Some(name) = &key {
        request.extensions_mut().insert(UsedKey(name.clone()));
    }
    let mut response = next.run(request).await;
    if let Some(name) = key {
        response.extensions_mut().insert(UsedKey(name));
    }
    response
}

/// The name of the key, if there is one.
fn authenticate(app: &Shared, role: Role, request: &Request) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        if role == Role::Read && (!app.is_public || app.settings.public_reads) {
            return Ok(None);
        }
        return Err(ApiError::new(
            Code::KeyNeeded,
            format!(
                "this needs a key that may {role}; send `Authorization: Bearer KEY`, made by `titlecard serve --new-key {role}`"
            ),
        ));
    };
    let unknown =
        || ApiError::new(Code::UnknownKey, "this key is not known here; check it, or ask for another");
    let secret = value.to_str().ok().and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    let keys = app.keys();
    let key = secret.and_then(|secret| keys.find(secret)).ok_or_else(unknown)?;
    if key.role < role {
        return Err(ApiError::new(
            Code::NotAllowed,
            format!("a key that may {} may not do this; it needs one that may {role}", key.role),
        ));
    }
    Ok(Some(key.name.clone()))
}

/// Gives a request up after the time it may take.
async fn within_deadline(State(app): State<App>, request: Request, next: Next) -> Response {
    let time = Duration::from_millis(app.settings.deadline_ms);
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            Code::Deadline,
            format!("the answer was not there within {} s; try again", time.as_secs_f64()),
        )
        .retry_after(2)
        .into_response(),
    }
}

/// Pages of other sites that make a browser ask this server by a name of theirs (DNS rebinding) are refused.
async fn right_host(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(hosts) = &app.hosts else { return next.run(request).await };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map(host_name);
    // HTTP/1.0 has no host; no browser sends it.
    let is_right = name.is_none_or(|name| hosts.iter().any(|known| known.eq_ignore_ascii_case(name)));
    if is_right {
        return next.run(request).await;
    }
    ApiError::new(
        Code::WrongHost,
        "this server does not answer to that host; add it to `server.hosts` if a proxy stands in front",
    )
    .into_response()
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() => {
            name.trim_start_matches('[').trim_end_matches(']')
        }
        _ => host.trim_start_matches('[').trim_end_matches(']'),
    }
}

/// Counts one request for as long as it lives.
struct InFlight(App);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Logs and counts a request. The log has no word of the question: only the pattern of the address, not what was
/// asked.
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let started = Instant::now();
    app.in_flight.fetch_add(1, Ordering::Relaxed);
    let _in_flight = InFlight(App::clone(&app));
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    app.metrics.requests.get_or_create(&RequestLabels { route: route.clone(), status }).inc();
    app.metrics.seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(elapsed.as_secs_f64());
    let code = response.extensions().get::<Code>().map(|code| code.name_and_status().0);
    if let Some(code) = code {
        app.metrics.errors.get_or_create(&CodeLabels { code: code.to_owned() }).inc();
    }
    let key = response.extensions().get::<UsedKey>().map_or("", |key| key.0.as_str());
    tracing::info!(
        number,
        %method,
        route,
        status,
        code = code.unwrap_or(""),
        key,
        ms = elapsed.as_secs_f64() * 1e3,
        "request"
    );
    response
}

/// What browsers are told about every answer.
async fn safe_headers(request: Request<Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let set = |headers: &mut axum::http::HeaderMap, name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::REFERRER_POLICY, "no-referrer");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    set(
        headers,
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    );
    set(headers, header::CACHE_CONTROL, "no-store");
    response
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_host_is_compared_without_its_port() {
        for (host, name) in [
            ("localhost:7878", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("films.example.org", "films.example.org"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }
}
