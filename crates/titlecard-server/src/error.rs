//! Errors as clients see them: a status, a code that programs can go by, a message, and what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use titlecard_engine::search::SearchError;
use utoipa::ToSchema;

/// Every code an answer may carry; `docs/api.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A parameter of the address is missing, unknown or of the wrong kind.
    BadParameter,
    /// The body is not the JSON that was expected.
    BadJson,
    /// The body has lists in lists beyond any need.
    TooDeep,
    /// The body is not JSON by its content type.
    WrongContentType,
    /// The question has no words.
    EmptyQuery,
    /// No word of the question is known.
    NoKnownWord,
    /// The question is too long.
    QueryTooLong,
    /// A filter cannot be read, or names something unknown.
    BadFilter,
    /// No film passes the filters.
    NothingPasses,
    /// More films asked for than an answer may have.
    PageTooLarge,
    /// A film that cannot be taken.
    BadFilm,
    /// A rule list that cannot rank, or has errors.
    BadRules,
    /// There are no rules to compare or edit.
    NoRules,
    /// The rules are not those the client had read.
    RulesChanged,
    /// No film has this id.
    UnknownFilm,
    /// The film is not among the candidates of the question.
    NotACandidate,
    /// There is nothing at this address.
    UnknownPath,
    /// The address does not take this method.
    WrongMethod,
    /// A key is needed.
    KeyNeeded,
    /// The key is not known.
    UnknownKey,
    /// The key may not do this.
    NotAllowed,
    /// The request is for a host this server is not.
    WrongHost,
    /// The body is too long.
    BodyTooLarge,
    /// The body did not come in time.
    BodyTimeout,
    /// Too many requests of one key or address.
    TooManyRequests,
    /// Too many searches wait.
    Busy,
    /// The request took longer than it may.
    Deadline,
    /// The server is about to end.
    Stopping,
    /// A file of the working folder cannot be read or written.
    Storage,
    /// A fault of this program.
    Internal,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 30] = [
        Self::BadParameter,
        Self::BadJson,
        Self::TooDeep,
        Self::WrongContentType,
        Self::EmptyQuery,
        Self::NoKnownWord,
        Self::QueryTooLong,
        Self::BadFilter,
        Self::NothingPasses,
        Self::PageTooLarge,
        Self::BadFilm,
        Self::BadRules,
        Self::NoRules,
        Self::RulesChanged,
        Self::UnknownFilm,
        Self::NotACandidate,
        Self::UnknownPath,
        Self::WrongMethod,
        Self::KeyNeeded,
        Self::UnknownKey,
        Self::NotAllowed,
        Self::WrongHost,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::TooManyRequests,
        Self::Busy,
        Self::Deadline,
        Self::Stopping,
        Self::Storage,
        Self::Internal,
    ];

    /// Its name in answers, and its status.
    pub fn name_and_status(self) -> (&'static str, StatusCode) {
        match self {
            Self::BadParameter => ("bad_parameter", StatusCode::BAD_REQUEST),
            Self::BadJson => ("bad_json", StatusCode::BAD_REQUEST),
            Self::TooDeep => ("too_deep", StatusCode::BAD_REQUEST),
            Self::WrongContentType => ("wrong_content_type", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::EmptyQuery => ("empty_query", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NoKnownWord => ("no_known_word", StatusCode::UNPROCESSABLE_ENTITY),
            Self::QueryTooLong => ("query_too_long", StatusCode::UNPROCESSABLE_ENTITY),
            Self::BadFilter => ("bad_filter", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NothingPasses => ("nothing_passes", StatusCode::UNPROCESSABLE_ENTITY),
            Self::PageTooLarge => ("page_too_large", StatusCode::UNPROCESSABLE_ENTITY),
            Self::BadFilm => ("bad_film", StatusCode::UNPROCESSABLE_ENTITY),
            Self::BadRules => ("bad_rules", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NoRules => ("no_rules", StatusCode::CONFLICT),
            Self::RulesChanged => ("rules_changed", StatusCode::PRECONDITION_FAILED),
            Self::UnknownFilm => ("unknown_film", StatusCode::NOT_FOUND),
            Self::NotACandidate => ("not_a_candidate", StatusCode::NOT_FOUND),
            Self::UnknownPath => ("unknown_path", StatusCode::NOT_FOUND),
            Self::WrongMethod => ("wrong_method", StatusCode::METHOD_NOT_ALLOWED),
            Self::KeyNeeded => ("key_needed", StatusCode::UNAUTHORIZED),
            Self::UnknownKey => ("unknown_key", StatusCode::UNAUTHORIZED),
            Self::NotAllowed => ("not_allowed", StatusCode::FORBIDDEN),
            Self::WrongHost => ("wrong_host", StatusCode::MISDIRECTED_REQUEST),
            Self::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::BodyTimeout => ("body_timeout", StatusCode::REQUEST_TIMEOUT),
            Self::TooManyRequests => ("too_many_requests", StatusCode::TOO_MANY_REQUESTS),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE),
            Self::Deadline => ("deadline", StatusCode::SERVICE_UNAVAILABLE),
            Self::Stopping => ("stopping", StatusCode::SERVICE_UNAVAILABLE),
            Self::Storage => ("storage", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What kind it is.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    /// From a message of ours: what stands behind its last `; ` is the hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        let (message, hint) = match message.rsplit_once("; ") {
            Some((what, way_out)) => (what.to_owned(), Some(way_out.to_owned())),
            None => (message, None),
        };
        Self { code, message, hint, retry_after_s: None }
    }

    /// With the seconds after which to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// A fault of ours; what it was is for the log, not for clients.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        tracing::error!(%what, "internal error");
        Self::new(Code::Internal, "this should not have happened; the log of the server says more")
    }

    /// A file cannot be read or written; paths are for the log, not for clients.
    pub fn storage(what: impl std::fmt::Display) -> Self {
        tracing::error!(%what, "storage");
        Self::new(Code::Storage, "a file of the server cannot be read or written; its log says which")
    }
}

/// The body of an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// An error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// What kind it is; `docs/api.md` lists all.
    #[schema(example = "empty_query")]
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do, if there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, status) = self.code.name_and_status();
        let detail = ErrorDetail { code: code.to_owned(), message: self.message, hint: self.hint };
        let mut response = (status, Json(ErrorBody { error: detail })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        let code = match &error {
            SearchError::EmptyQuery => Code::EmptyQuery,
            SearchError::NoKnownWord { .. } => Code::NoKnownWord,
            SearchError::FilterForm(_) | SearchError::Filter(_) => Code::BadFilter,
            SearchError::NothingPasses => Code::NothingPasses,
            _ => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}
