//! The page, the OpenAPI document, and that both and `docs/api.md` say the same as the code.

use serde_json::Value;
use titlecard_server::{Code, openapi};

use crate::client::serve;

#[test]
fn the_document_is_openapi_3_1_and_whole() {
    let api = serde_json::to_value(openapi()).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
    let schemas = api["components"]["schemas"].as_object().unwrap();
    let mut refs = Vec::new();
    fn walk(value: &Value, refs: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(path)) = map.get("$ref") {
                    refs.push(path.clone());
                }
                map.values().for_each(|value| walk(value, refs));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, refs)),
            _ => {}
        }
    }
    walk(&api, &mut refs);
    for path in refs {
        let name = path.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "`{path}` leads nowhere");
    }
    let mut n = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{method} {path}"
            );
            assert!(operation["responses"].as_object().unwrap().contains_key("4XX"), "{method} {path}");
            n += 1;
        }
    }
    assert_eq!(n, 20, "a new operation? docs/api.md lists all of them");
}

#[test]
fn the_list_of_codes_in_the_documents_is_that_of_the_code() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md")).unwrap();
    for code in Code::ALL {
        let (name, status) = code.name_and_status();
        let row = format!("| `{name}` | {} |", status.as_u16());
        assert!(text.contains(&row), "docs/api.md has no row `{row}`");
    }
    let is_code = |line: &&str| line.split('|').nth(2).is_some_and(|cell| cell.trim().parse::<u16>().is_ok());
    let rows = text.lines().filter(is_code).count();
    assert_eq!(rows, Code::ALL.len(), "a row of docs/api.md is no code any more");
    let api = serde_json::to_value(openapi()).unwrap();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let name = format!("`{} {path}`", method.to_uppercase());
            assert!(text.contains(&name), "docs/api.md does not speak of {name}");
        }
    }
}

#[test]
fn the_page_asks_nobody_else() {
    let server = serve(|_| {});
    let page = server.get("/").expect(200);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    for path in ["/", "/app.js", "/style.css", "/icon.svg", "/docs"] {
        let answer = server.get(path).expect(200);
        let text = String::from_utf8(answer.body).unwrap();
        for line in text.lines() {
            let line = line.replace("http://www.w3.org/2000/svg", "");
            assert!(!line.contains("http://") && !line.contains("https://"), "{path}: {line}");
        }
        assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path}");
        // The policy forbids them: they would be dead.
        assert!(!text.contains(" style=\"") && !text.contains("onclick=\""), "{path}");
    }
    let docs = String::from_utf8(server.get("/docs").body).unwrap();
    for path in ["/v1/search", "/v1/films/{id}", "/v1/rules", "/metrics"] {
        assert!(docs.contains(&format!("<code>{path}</code>")), "{path}");
    }
    let served: Value = server.get("/openapi.json").expect(200).json();
    assert_eq!(served, serde_json::to_value(openapi()).unwrap());
}
