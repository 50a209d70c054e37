//! The document as a page: written whole by the server, so that it needs no script and nothing from elsewhere.

use std::fmt::Write;

use serde_json::Value;

/// What the page may do. Its style stands in it, and there is nothing else.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");

/// How deep the fields of a schema are shown; what lies deeper is behind a link.
const DEPTH_MAX: usize = 5;

/// The page about a document.
pub(super) fn page(document: &Value) -> String {
    let page = Page { document };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>certhook API</title><style>{STYLE}</style>\n<nav>{}</nav>\n<main>",
        page.contents()
    );
    let info = &document["info"];
    write(&mut html, format_args!("<h1>certhook API {}</h1>{}", text(&info["version"]), prose(&info["description"])));
    html += "<p>The same for programs: <a href=\"openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>";
    for tag in entries(&document["tags"]) {
        let name = &tag["name"];
        write(&mut html, format_args!("<h2>{}</h2>{}", text(name), prose(&tag["description"])));
        for (method, path, operation) in page.calls("paths").filter(|(_, _, call)| call["tags"][0] == *name) {
            page.call(&mut html, method, path, operation);
        }
    }
    html += "<h2 id=\"events\">Webhooks</h2><p>What subscribers get, by event type.</p>";
    for (_, name, webhook) in page.calls("webhooks") {
        page.webhook(&mut html, name, webhook);
    }
    page.schemas(&mut html);
    page.errors(&mut html);
    html + "</main></html>\n"
}

struct Page<'a> {
    document: &'a Value,
}

impl<'a> Page<'a> {
    /// Method, path or name, and description.
    fn calls(&self, part: &str) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> + use<'a> {
        let paths = self.document[part].as_object();
        paths.into_iter().flatten().flat_map(|(path, methods)| {
            methods.as_object().into_iter().flatten().map(move |(method, call)| (method.as_str(), path.as_str(), call))
        })
    }

    fn contents(&self) -> String {
        let mut html = String::from("<b>certhook API</b>");
        for tag in entries(&self.document["tags"]) {
            let name = &tag["name"];
            write(&mut html, format_args!("<h2>{}</h2>", text(name)));
            for (_, _, call) in self.calls("paths").filter(|(_, _, call)| call["tags"][0] == *name) {
                let (id, summary) = (text(&call["operationId"]), text(&call["summary"]));
                write(&mut html, format_args!("<a href=\"#{id}\">{summary}</a>"));
            }
        }
        html + "<h2>Beside the calls</h2><a href=\"#events\">Webhooks</a><a href=\"#schemas\">Schemas</a>\
            <a href=\"#errors\">Errors</a>"
    }

    fn call(&self, html: &mut String, method: &str, path: &str, call: &Value) {
        let (id, summary) = (text(&call["operationId"]), text(&call["summary"]));
        let shown = escaped(path);
        let upper = method.to_uppercase();
        write(html, format_args!("<section id=\"{id}\"><h3>{summary}</h3>"));
        write(html, format_args!("<p class=\"call\"><b class=\"{method}\">{upper}</b> {shown}</p>"));
        *html += &prose(&call["description"]);
        self.parameters(html, call);
        let body = &call["requestBody"]["content"]["application/json"];
        if let Some(schema) = body.get("schema") {
            *html += "<h4>Body</h4>";
            self.fields(html, schema, 0);
        }
        let curl = escaped(&curl(method, path, call, body.get("example")));
        write(html, format_args!("<h4>Example</h4><pre>{curl}</pre>"));
        self.answers(html, call);
        *html += "</section>\n";
    }

    fn parameters(&self, html: &mut String, call: &Value) {
        let parameters = entries(&call["parameters"]);
        if parameters.is_empty() {
            return;
        }
        *html += "<h4>Parameters</h4><table>";
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let needed = if parameter["required"] == true { ", required" } else { "" };
            let (kind, meaning) = (self.kind(&parameter["schema"]), inline(&parameter["description"]));
            write(html, format_args!("<tr><td><code>{name}</code><br><small>{place}{needed}</small>"));
            write(html, format_args!("<td>{meaning}<br><small>{kind}</small>"));
        }
        *html += "</table>";
    }

    fn answers(&self, html: &mut String, call: &Value) {
        *html += "<h4>Answers</h4><table>";
        for (status, answer) in fields(&call["responses"]) {
            write(html, format_args!("<tr><td><b>{}</b><td>{}", escaped(status), prose(&answer["description"])));
            let first = answer["content"].as_object().and_then(|content| content.values().next());
            let Some(content) = first.filter(|_| status.starts_with('2')) else { continue };
            if content["schema"]["type"] != "string" {
                write(html, format_args!("<small>{}</small>", self.kind(&content["schema"])));
            }
            if let Some(example) = content.get("example") {
                let example = example.as_str().map_or_else(|| format!("{example:#}"), str::to_owned);
                write(
                    html,
                    format_args!("<details><summary>Example</summary><pre>{}</pre></details>", escaped(&example)),
                );
            }
        }
        *html += "</table>";
    }

    fn webhook(&self, html: &mut String, name: &str, webhook: &Value) {
        let content = &webhook["requestBody"]["content"]["application/json"];
        let (name, meaning) = (escaped(name), inline(&webhook["description"]));
        write(html, format_args!("<details id=\"{name}\"><summary><code>{name}</code> {meaning}</summary>"));
        self.fields(html, &content["schema"], 0);
        let example = escaped(&format!("{:#}", content["example"]));
        write(html, format_args!("<pre>{example}</pre></details>"));
    }

    fn schemas(&self, html: &mut String) {
        *html += "<h2 id=\"schemas\">Schemas</h2>";
        for (name, schema) in fields(&self.document["components"]["schemas"]) {
            let name = escaped(name);
            write(html, format_args!("<section id=\"schema-{name}\"><h3>{name}</h3>{}", prose(&schema["description"])));
            if schema.get("properties").is_none() {
                write(html, format_args!("<p><small>{}</small></p>", self.kind(schema)));
            }
            self.fields(html, schema, 0);
            *html += "</section>\n";
        }
    }

    fn errors(&self, html: &mut String) {
        *html += "<h2 id=\"errors\">Errors</h2><table><tr><th>Type<th>Status<th>Meaning<th>What to do";
        for error in entries(&self.document["x-errors"]) {
            let (word, status) = (text(&error["type"]), &error["status"]);
            let (meaning, remedy) = (inline(&error["meaning"]), inline(&error["remedy"]));
            write(html, format_args!("<tr><td><code>{word}</code><td>{status}<td>{meaning}<td>{remedy}"));
        }
        *html += "</table>";
    }

    /// The fields of an object, and of those inside of it.
    fn fields(&self, html: &mut String, schema: &Value, depth: usize) {
        if schema.get("properties").is_none() || depth > DEPTH_MAX {
            return;
        }
        *html += "<table>";
        for (name, field) in fields(&schema["properties"]) {
            let needed = entries(&schema["required"]).iter().any(|required| required == name);
            let needed = if needed { "" } else { "<br><small>optional</small>" };
            let (kind, meaning) = (self.kind(field), inline(&field["description"]));
            write(html, format_args!("<tr><td><code>{}</code>{needed}<td>", escaped(name)));
            write(html, format_args!("{meaning} <small>{kind}</small>"));
            self.fields(html, field, depth + 1);
            self.fields(html, &field["items"], depth + 1);
        }
        *html += "</table>";
    }

    /// What a value is, in a few words.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
        }
        if let Some(fixed) = schema.get("const") {
            return format!("<code>{}</code>", escaped(&fixed.to_string()));
        }
        for several in ["anyOf", "oneOf", "allOf"] {
            if let Some(parts) = schema[several].as_array() {
                let join = if several == "allOf" { " and " } else { " or " };
                return parts.iter().map(|part| self.kind(part)).collect::<Vec<_>>().join(join);
            }
        }
        let mut kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
            Value::String(kind) => escaped(kind),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
        };
        if let Some(items) = schema.get("items") {
            kind += &format!(" of {}", self.kind(items));
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<_> =
                words.iter().map(|word| format!("<code>{}</code>", escaped(&word.to_string()))).collect();
            kind += &format!(": {}", words.join(" "));
        }
        for (word, meaning) in LIMITS {
            if let Some(limit) = schema.get(word) {
                kind += &format!("; {meaning} <code>{}</code>", escaped(&limit.to_string()));
            }
        }
        kind
    }
}

/// What schemas say of values, and how people say it.
const LIMITS: [(&str, &str); 9] = [
    ("format", "format"),
    ("pattern", "matches"),
    ("minimum", "at least"),
    ("maximum", "at most"),
    ("maxLength", "length at most"),
    ("minItems", "entries at least"),
    ("maxItems", "entries at most"),
    ("maxProperties", "entries at most"),
    ("default", "default"),
];

/// A call as people try it.
fn curl(method: &str, path: &str, call: &Value, body: Option<&Value>) -> String {
    let mut path = path.to_owned();
    let mut query = Vec::new();
    for parameter in entries(&call["parameters"]) {
        let (name, example) = (parameter["name"].as_str().unwrap_or_default(), &parameter["example"]);
        let example = example.as_str().map_or_else(|| "cus_5aQ".to_owned(), str::to_owned);
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &example),
            Some("query") if parameter["required"] == true => query.push(format!("{name}={example}")),
            Some(_) | None => {}
        }
    }
    if !query.is_empty() {
        path += &format!("?{}", query.join("&"));
    }
    let mut line = String::from("curl");
    if method != "get" {
        line += &format!(" -X {}", method.to_uppercase());
    }
    line += &format!(" 'http://127.0.0.1:8080{path}'");
    if call["security"].as_array().is_some_and(|keys| !keys.is_empty()) {
        line += " \\\n  -H \"authorization: Bearer $CERTHOOK_API_KEY\"";
    }
    if let Some(body) = body.filter(|body| body.as_object().is_some_and(|fields| !fields.is_empty())) {
        line += &format!(" \\\n  -H 'content-type: application/json' \\\n  -d '{body}'");
    }
    line
}

fn entries(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn fields(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn write(html: &mut String, what: std::fmt::Arguments<'_>) {
    html.write_fmt(what).expect("a string takes what is written");
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text in which backticks mark code.
fn inline(value: &Value) -> String {
    let escaped = text(value);
    let parts = escaped.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// The same with paragraphs, and lists.
fn prose(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.is_empty());
    let html = paragraphs.map(|paragraph| match paragraph.strip_prefix("- ") {
        Some(list) => list.split("\n- ").map(|line| format!("<div>{}</div>", inline(&line.into()))).collect(),
        None => format!("<p>{}</p>", inline(&paragraph.into())),
    });
    html.collect()
}
