//! The page and the rendered OpenAPI document, from inside the binary; nothing is fetched from elsewhere.

use std::fmt::Write as _;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::api::App;

const PAGE: &str = include_str!("../web/index.html");
const SCRIPT: &str = include_str!("../web/app.js");
const STYLE: &str = include_str!("../web/style.css");
const ICON: &str = include_str!("../web/icon.svg");

pub(crate) fn html(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    // Browsers ask again after every new release: names of assets carry no version.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// The page and what it is made of.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(async || html(PAGE.to_owned())))
        .route("/app.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/style.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/icon.svg", get(async || asset("image/svg+xml", ICON)))
        .route("/favicon.ico", get(async || asset("image/svg+xml", ICON)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `code` in backticks becomes code.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in escape(text).split('`').enumerate() {
        if at % 2 == 1 {
            let _ = write!(out, "<code>{part}</code>");
        } else {
            out.push_str(part);
        }
    }
    out
}

/// The OpenAPI document as a page.
pub(crate) fn docs_page(api: &OpenApi) -> String {
    let api = serde_json::to_value(api).unwrap_or_default();
    let mut body = String::new();
    let schemas = &api["components"]["schemas"];
    let empty = serde_json::Map::new();
    let text = |value: &Value| prose(value.as_str().unwrap_or_default());
    let _ = write!(
        body,
        "<h1>titlecard <small>{}</small></h1><p>{}</p><p>As a document: <a href=\"/openapi.json\">openapi.json</a> \
         (OpenAPI {}). The page: <a href=\"/\">search</a>.</p>",
        text(&api["info"]["version"]),
        text(&api["info"]["description"]),
        text(&api["openapi"])
    );
    for (path, item) in api["paths"].as_object().unwrap_or(&empty) {
        for (method, operation) in item.as_object().unwrap_or(&empty) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            let _ = write!(
                body,
                "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\"><span class=\"method\">{}</span> <code>{}</code></h2><p>{} {}</p>",
                escape(&method.to_uppercase()),
                escape(path),
                text(&operation["summary"]),
                text(&operation["description"])
            );
            let needs_key = operation["security"].as_array().is_some_and(|ways| {
                ways.iter().all(|way| way.as_object().is_some_and(|way| !way.is_empty()))
            });
            if needs_key {
                body.push_str("<p>Needs a key.</p>");
            }
            if let Some(parameters) = operation["parameters"].as_array() {
                body.push_str("<h3>Parameters</h3><dl>");
                for parameter in parameters {
                    let required = if parameter["required"] == true { "" } else { ", optional" };
                    let _ = write!(
                        body,
                        "<dt><code>{}</code> <span>{}{required}</span></dt><dd>{}</dd>",
                        text(&parameter["name"]),
                        escape(&type_of(&parameter["schema"])),
                        text(&parameter["description"])
                    );
                }
                body.push_str("</dl>");
            }
            if let Some(content) = operation["requestBody"]["content"].as_object() {
                for (kind, of) in content {
                    let _ = write!(body, "<h3>Body <span>{}</span></h3>", escape(kind));
                    fields(&mut body, &of["schema"], schemas, 0);
                }
            }
            for (status, response) in operation["responses"].as_object().unwrap_or(&empty) {
                if !status.starts_with('2') {
                    continue;
                }
                for (kind, of) in response["content"].as_object().unwrap_or(&empty) {
                    let _ = write!(
                        body,
                        "<details><summary>Answer {} <span>{}</span></summary>",
                        escape(status),
                        escape(kind)
                    );
                    fields(&mut body, &of["schema"], schemas, 0);
                    body.push_str("</details>");
                }
            }
            body.push_str("</section>");
        }
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>titlecard: API</title><link rel=\"icon\" href=\"/icon.svg\"><link rel=\"stylesheet\" href=\"/style.css\">\
         </head><body class=\"docs\"><main>{body}</main></body></html>"
    )
}

/// Schemas inside schemas are shown so deep.
const MAX_DEPTH: usize = 4;

fn fields(body: &mut String, schema: &Value, schemas: &Value, depth: usize) {
    let schema = resolve(schema, schemas);
    if depth == 0
        && let Some(text) = schema["description"].as_str()
    {
        let _ = write!(body, "<p>{}</p>", prose(text));
    }
    let Some(properties) = schema["properties"].as_object() else {
        let _ = write!(body, "<p><span>{}</span></p>", escape(&type_of(schema)));
        return;
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    body.push_str("<dl>");
    for (name, property) in properties {
        let optional = if required.contains(&name.as_str()) { "" } else { ", optional" };
        let _ = write!(
            body,
            "<dt><code>{}</code> <span>{}{optional}</span></dt><dd>{}",
            escape(name),
            escape(&type_of(property)),
            prose(property["description"].as_str().unwrap_or_default())
        );
        let inner = if property["items"].is_object() { &property["items"] } else { property };
        let has_more = resolve(inner, schemas)["properties"].is_object();
        if has_more && depth < MAX_DEPTH {
            fields(body, inner, schemas, depth + 1);
        }
        body.push_str("</dd>");
    }
    body.push_str("</dl>");
}

fn name_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|path| path.rsplit('/').next())
}

/// The schema itself: behind a reference, and where null is another possibility, the other one.
fn resolve<'a>(schema: &'a Value, schemas: &'a Value) -> &'a Value {
    if let Some(name) = name_of(schema) {
        return &schemas[name];
    }
    match schema["oneOf"].as_array().and_then(|ways| ways.iter().find(|way| way["type"] != "null")) {
        Some(way) if !schema["properties"].is_object() => resolve(way, schemas),
        _ => schema,
    }
}

fn type_of(schema: &Value) -> String {
    if let Some(name) = name_of(schema) {
        return name.to_owned();
    }
    if let Some(way) =
        schema["oneOf"].as_array().and_then(|ways| ways.iter().find(|way| way["type"] != "null"))
    {
        return type_of(way);
    }
    if schema["items"].is_object() {
        return format!("list of {}", type_of(&schema["items"]));
    }
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<&str> =
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            names.join(" or ")
        }
        _ => "JSON".to_owned(),
    }
}
