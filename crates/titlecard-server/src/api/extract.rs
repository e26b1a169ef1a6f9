//! Parameters and bodies, with errors in our form.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::App;
use crate::error::{ApiError, Code};
use crate::limits::{MAX_DEPTH, is_too_deep, read_body};

/// Parameters of the address.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            ApiError::new(
                Code::BadParameter,
                format!("{cause}; see `/docs` for the parameters of this address"),
            )
        })?;
        Ok(Self(params))
    }
}

/// The part of the address between slashes.
pub(crate) struct InPath(pub(crate) String);

impl FromRequestParts<App> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|error| ApiError::new(Code::BadParameter, error.body_text()))?;
        Ok(Self(text))
    }
}

/// Parses JSON that is no deeper than it need be.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if is_too_deep(bytes) {
        return Err(ApiError::new(
            Code::TooDeep,
            format!("lists and objects of the body lie more than {MAX_DEPTH} deep in each other"),
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(Code::BadJson, format!("{error}; see `/docs` for what this address takes"))
    })
}

fn check_type(parts: &Parts, allowed: &[&str]) -> Result<(), ApiError> {
    let found = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = found.split(';').next().unwrap_or("").trim();
    if allowed.iter().any(|allowed| kind.eq_ignore_ascii_case(allowed)) {
        return Ok(());
    }
    let found = if found.is_empty() { "none" } else { found };
    Err(ApiError::new(
        Code::WrongContentType,
        format!("the content type is `{found}`; send `Content-Type: {}`", allowed[0]),
    ))
}

async fn bytes_of(body: Body, app: &App, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    read_body(body, max_bytes, Duration::from_millis(app.settings.body_timeout_ms)).await
}

/// A body of JSON.
pub(crate) struct InJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for InJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_type(&parts, &["application/json"])?;
        Ok(Self(parse_json(&bytes_of(body, app, app.settings.max_body_bytes).await?)?))
    }
}

/// A body of JSON that may be as long as a change: rule lists, films.
pub(crate) struct InLongJson(pub(crate) Vec<u8>);

impl FromRequest<App> for InLongJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_type(&parts, &["application/json"])?;
        Ok(Self(bytes_of(body, app, app.settings.max_update_bytes).await?))
    }
}

/// A body of JSON lines.
pub(crate) struct InLines(pub(crate) Vec<u8>);

impl FromRequest<App> for InLines {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_type(&parts, &["application/x-ndjson", "application/jsonl", "application/json"])?;
        Ok(Self(bytes_of(body, app, app.settings.max_update_bytes).await?))
    }
}

/// A whole number as JSON Schema means it: `3.0` is one too.
pub(crate) fn whole<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: TryFrom<i64>,
{
    of_number(&serde_json::Number::deserialize(from)?)
}

/// [`whole`], or null.
pub(crate) fn whole_or_null<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: TryFrom<i64>,
{
    let number = Option::<serde_json::Number>::deserialize(from)?;
    number.map(|number| of_number(&number)).transpose()
}

fn of_number<T: TryFrom<i64>, E: serde::de::Error>(number: &serde_json::Number) -> Result<T, E> {
    // Beyond this, numbers with a point are not exact.
    const EXACT: f64 = 9e15;
    let whole = number.as_i64().or_else(|| {
        number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < EXACT).map(|value| value as i64)
    });
    whole
        .and_then(|whole| T::try_from(whole).ok())
        .ok_or_else(|| E::custom(format!("`{number}` is not a whole number in range")))
}
