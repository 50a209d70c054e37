//! The document of the API, held against the API.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::door::{Door, reference};
use crate::support::process::{Process, free_port};

/// A path with something in the place of each variable that gets a call as far as to what it takes.
pub(super) fn filled(path: &str) -> String {
    let place = if path.contains("/endpoints/") {
        "crm"
    } else if path.contains("/sources/") {
        "numeral"
    } else {
        "x"
    };
    let fill = |segment: &str| if segment.starts_with('{') { place.to_owned() } else { segment.to_owned() };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

async fn door() -> Door {
    let door = Door::open().await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://crm.example/"}"#).await;
    door
}

/// What a reader knows at a path, from what it says of a name that nobody knows.
fn known(answer: &Value, path: &str) -> BTreeSet<String> {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("{path}: {answer}"));
    let field = if path.is_empty() { "unheard_of".to_owned() } else { format!("{path}.unheard_of") };
    let message = errors.iter().find(|error| error["field"] == field.as_str());
    let message = message.unwrap_or_else(|| panic!("{field}: {answer}"))["message"].as_str().unwrap();
    match message.strip_prefix("unrecognized; known here: ") {
        Some(names) => names.split(", ").map(str::to_owned).collect(),
        None => BTreeSet::new(),
    }
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn every_call_is_described_whole() {
    let door = door().await;
    let reference = reference(&door.router).await;
    assert_eq!(reference.document["openapi"], "3.1.0");
    let groups: Vec<&Value> = reference.document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in reference.operations() {
        let line = format!("{method} {path}");
        for field in ["summary", "description"] {
            assert!(operation[field].as_str().is_some_and(|text| !text.is_empty()), "{line}: {field}");
        }
        assert!(groups.contains(&&operation["tags"][0]), "{line}: its group");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{line}: its id is given twice");
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let in_path: BTreeSet<&str> =
            parameters.iter().filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
        let variables: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(in_path, variables, "{line}");
        for parameter in parameters {
            assert!(parameter["description"].is_string(), "{line}: {}", parameter["name"]);
        }
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{line}: what it answers");
        for (status, answer) in answers {
            assert!(answer["description"].is_string(), "{line} {status}");
            for (media_type, content) in answer["content"].as_object().into_iter().flatten() {
                let has_example = content.get("example").or(content.get("examples")).is_some();
                assert!(has_example || status == "default", "{line} {status} {media_type}: an example");
            }
        }
        let needs_key = path.starts_with("/v1/") || path == "/metrics";
        assert_eq!(operation["security"] == json!([]), !needs_key, "{line}: its key");
    }
    assert!(ids.len() > 40, "only {}", ids.len());
}

#[tokio::test]
async fn what_calls_take_is_what_their_readers_know() {
    let door = door().await;
    let reference = reference(&door.router).await;
    let mut bodies = 0;
    for (method, path, operation) in reference.operations().filter(|(_, path, _)| *path != "/v1/events/stream") {
        let line = format!("{} {}", method.to_uppercase(), filled(path));
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_query = parameters.iter().filter(|one| one["in"] == "query");
        let described: BTreeSet<String> = in_query.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        let answer = door.call(&format!("{line}?unheard_of=1"), "").await;
        assert_eq!(known(&answer.json(), ""), described, "{line}: parameters");

        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if body["additionalProperties"] == false {
            let answer = door.call(&line, r#"{"unheard_of":1}"#).await;
            let mut known_here = known(&answer.json(), "");
            if operation["operationId"] == "putEndpoint" || operation["operationId"] == "changeEndpoint" {
                // The reader of a registration reads these; `start` is refused in a change, for a reason of its own.
                known_here.retain(|name| body["properties"].get(name).is_some() || name != "start");
            }
            assert_eq!(known_here, names(&body["properties"]), "{line}: fields");
            bodies += 1;
        }
        for (name, field) in body["properties"].as_object().into_iter().flatten() {
            if field["additionalProperties"] == false {
                let answer = door.call(&line, &json!({ name: {"unheard_of": 1} }).to_string()).await;
                assert_eq!(known(&answer.json(), name), names(&field["properties"]), "{line}: fields of {name}");
            }
        }
    }
    assert!(bodies > 10, "only {bodies} bodies");
}

/// The words that a schema allows, null apart.
fn words(schema: &Value) -> Option<Vec<&str>> {
    Some(schema["enum"].as_array()?.iter().filter_map(Value::as_str).collect())
}

#[tokio::test]
async fn the_words_and_numbers_that_are_described_are_those_that_readers_take() {
    let door = door().await;
    let reference = reference(&door.router).await;
    let (mut choices, mut ranges) = (0, 0);
    for (method, path, operation) in reference.operations() {
        let line = format!("{} {}", method.to_uppercase(), filled(path));
        let mut taken: Vec<(String, &Value, bool)> = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query") {
            taken.push((parameter["name"].as_str().unwrap().into(), &parameter["schema"], true));
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        for (name, field) in body["properties"].as_object().into_iter().flatten() {
            taken.push((name.clone(), field, false));
        }
        for (name, schema, in_query) in taken {
            let complaint = |answer: Value| {
                let errors = answer["errors"].as_array().cloned().unwrap_or_default();
                let own = errors.into_iter().find(|error| error["field"] == name.as_str());
                own.unwrap_or_else(|| panic!("{line} {name}: {answer}"))["message"].as_str().unwrap().to_owned()
            };
            let send = |value: Value| {
                let text = value.as_str().map_or(value.to_string(), str::to_owned);
                let call = if in_query { format!("{line}?{name}={text}") } else { line.clone() };
                let body = if in_query { String::new() } else { json!({ &name: value }).to_string() };
                let door = &door;
                async move { door.call(&call, &body).await.json() }
            };
            if let Some(words) = words(schema).filter(|words| words.len() < 10) {
                let told = complaint(send(json!("unheard_of")).await);
                assert_eq!(told, format!("must be one of: {}", words.join(", ")), "{line}: {name}");
                choices += 1;
            }
            if let (Some(least), Some(most)) = (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
                let told = complaint(send(json!(most + 1)).await);
                assert_eq!(told, format!("must be a whole number from {least} to {most}"), "{line}: {name}");
                ranges += 1;
            }
        }
    }
    assert!(choices > 20 && ranges > 5, "only {choices} choices and {ranges} ranges");
}

#[tokio::test]
async fn every_example_fits_its_schema() {
    let door = door().await;
    let reference = reference(&door.router).await;
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    let mut check = |pointer: String, example: &Value| {
        count += 1;
        let problems = reference.problems(pointer.clone(), example);
        if !problems.is_empty() {
            wrong.insert(pointer, problems);
        }
    };
    let escaped = |path: &str| path.replace('/', "~1");
    for (part, path, method, operation) in reference.everything() {
        let at = format!("/{part}/{}/{method}", escaped(path));
        let body = &operation["requestBody"]["content"]["application/json"];
        if let Some(example) = body.get("example") {
            check(format!("{at}/requestBody/content/application~1json/schema"), example);
        }
        for (index, parameter) in operation["parameters"].as_array().into_iter().flatten().enumerate() {
            if let Some(example) = parameter.get("example") {
                check(format!("{at}/parameters/{index}/schema"), example);
            }
        }
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let content = &answer["content"]["application/json"];
            let pointer = format!("{at}/responses/{status}/content/application~1json/schema");
            if let Some(example) = content.get("example") {
                check(pointer.clone(), example);
            }
            for example in content["examples"].as_object().into_iter().flatten().map(|(_, example)| example) {
                check(pointer.clone(), &example["value"]);
            }
        }
    }
    for (name, schema) in reference.document["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            check(format!("/components/schemas/{name}"), example);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 300, "only {count} examples");
}

#[tokio::test]
async fn the_document_and_the_page_need_no_key() {
    let door = door().await;
    for path in ["/openapi.json", "/docs", "/healthz", "/readyz"] {
        let request = axum::http::Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        assert_eq!(door.send(request).await.status, 200, "{path}");
    }
}

/// Asserts that a file of the repository says what is generated.
fn assert_up_to_date(file: &str, generated: &str) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::fs::read_to_string(root.join(file)).unwrap_or_default() == generated {
        return;
    }
    let name = file.rsplit('/').next().unwrap();
    let made = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&made, generated).unwrap();
    panic!("{file} is not what the program says of itself. If the change is meant: cp {} {file}", made.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(folder.path(), free_port(), "http://127.0.0.1:9").await;
    let served = gateway.get("/openapi.json").await;
    assert_up_to_date("docs/openapi.json", &format!("{served:#}\n"));
    gateway.kill().await;
}

#[tokio::test]
async fn the_table_of_errors_in_the_repository_is_the_one_of_the_code() {
    let door = door().await;
    let reference = reference(&door.router).await;
    let mut table = String::from(
        "# Errors\n\nEvery error is `{\"code\", \"type\", \"message\"}`, with `errors` (each field that is wrong) on 400 and \
         `earliest` on an expiry.\nPrograms look at `type`. Calls that are passed upstream also give upstream's own errors, \
         with its status and type.\nThe answer's `x-request-id` finds the call in the log.\n\n\
         | type | status | meaning | what to do |\n|---|---|---|---|\n",
    );
    for error in reference.document["x-errors"].as_array().unwrap() {
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        let (word, meaning, remedy) = (text("type"), text("meaning"), text("remedy"));
        table += &format!("| `{word}` | {} | {meaning} | {remedy} |\n", error["status"]);
    }
    assert_up_to_date("docs/errors.md", &table);
}

#[tokio::test]
async fn the_page_shows_every_call_and_needs_nothing_from_elsewhere() {
    let door = door().await;
    let reference = reference(&door.router).await;
    let answer = door.call("GET /docs", "").await;
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'; style-src 'unsafe-inline'"));
    for (_, path, operation) in reference.operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(answer.text.contains(&format!("<section id=\"{id}\">")), "{id}");
        assert!(answer.text.contains(path), "{path}");
    }
    for error in reference.document["x-errors"].as_array().unwrap() {
        assert!(answer.text.contains(error["type"].as_str().unwrap()), "{error}");
    }
    for reaching_out in ["<script", "<link", "<img", "@import", "url(", "src=", "href=\"http", "javascript:"] {
        assert!(!answer.text.contains(reaching_out), "{reaching_out}");
    }
    let targets = answer.text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
    for target in targets {
        assert!(answer.text.contains(&format!("id=\"{target}\"")), "a link leads nowhere: {target}");
    }
}
