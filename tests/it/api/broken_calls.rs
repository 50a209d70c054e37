//! Broken calls: each gives one exact answer.

use axum::http::Request;

use super::door::{Door, KEY};

/// One block of the table.
struct Broken<'a> {
    why: &'a str,
    line: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
    answer: &'a str,
}

impl<'a> Broken<'a> {
    fn read(block: &'a str) -> Self {
        let mut lines = block.lines();
        let why = lines.next().and_then(|line| line.strip_prefix("# ")).expect(block);
        let line = lines.next().expect(block);
        let mut headers = vec![("authorization", KEY), ("content-type", "application/json")];
        let mut body = "";
        for rest in lines {
            if let Some(answer) = rest.strip_prefix("=> ") {
                return Self { why, line, headers, body, answer };
            } else if let Some(name) = rest.strip_prefix("without ") {
                headers.retain(|(known, _)| *known != name);
            } else if let Some(header) = rest.strip_prefix("with ") {
                let (name, value) = header.split_once(": ").expect(block);
                headers.retain(|(known, _)| *known != name);
                headers.push((name, value));
            } else {
                body = rest;
            }
        }
        panic!("no answer: {block}");
    }

    fn request(&self) -> Request<axum::body::Body> {
        let (method, path) = self.line.split_once(' ').expect(self.line);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            let value = if *value == KEY { format!("Bearer {KEY}") } else { (*value).to_owned() };
            request = request.header(*name, value);
        }
        request.body(self.body.to_owned().into()).expect(self.line)
    }
}

#[tokio::test]
async fn a_broken_call_gets_one_exact_answer() {
    let door = Door::open().await;
    for uid in ["crm", "other"] {
        let url = format!("https://{uid}.example/hook?token=hidden");
        door.json(&format!("PUT /v1/endpoints/{uid}"), &format!(r#"{{"url":"{url}"}}"#)).await;
    }
    let (_, table) = include_str!("broken_calls.txt").split_once("\n\n").expect("a head and a table");
    let mut wrong = String::new();
    let mut count = 0;
    for block in table.split("\n\n") {
        let broken = Broken::read(block.trim_end());
        let answer = door.send(broken.request()).await;
        assert_eq!(answer.json()["code"], answer.status.as_u16(), "{}", broken.why);
        assert_eq!(answer.header("content-type"), "application/json", "{}", broken.why);
        assert_eq!(answer.json()["errors"][0].is_object(), answer.status == 400, "{}", broken.why);
        if answer.text != broken.answer {
            wrong += &format!("# {}\n{}\n   {}\n=> {}\n", broken.why, broken.line, broken.answer, answer.text);
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 40, "only {count} calls");
}
