//! Headers of a subscriber's own: how they are given, changed and masked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::door::Door;

/// The headers of the endpoint `crm` as they will be sent.
async fn kept(door: &Door) -> BTreeMap<String, String> {
    let endpoint = door.store.by_uid("crm").await.unwrap().unwrap();
    endpoint.headers.expose().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn put(door: &Door, headers: Value) -> Value {
    door.json("PUT /v1/endpoints/crm", &json!({"url": "https://a.example/", "headers": headers}).to_string()).await
}

async fn patch(door: &Door, headers: Value) -> Value {
    door.json("PATCH /v1/endpoints/crm", &json!({ "headers": headers }).to_string()).await
}

#[tokio::test]
async fn headers_are_kept_in_lower_case_and_shown_masked() {
    let door = Door::open().await;
    let registered =
        put(&door, json!({"Authorization": "Bearer hidden-1", "x-team": "hidden-2", "x-none": null})).await;
    let masked = json!({"authorization": "***", "x-team": "***"});
    assert_eq!(registered["headers"], masked);
    assert_eq!(door.json("GET /v1/endpoints/crm", "").await["headers"], masked);
    assert_eq!(door.json("GET /v1/endpoints", "").await["data"][0]["headers"], masked);
    assert_eq!(kept(&door).await, map(&[("authorization", "Bearer hidden-1"), ("x-team", "hidden-2")]));
}

#[tokio::test]
async fn a_patch_merges_headers_whatever_the_case_of_their_names() {
    let door = Door::open().await;
    put(&door, json!({"X-One": "1", "x-two": "2", "x-three": "3"})).await;
    patch(&door, json!({"x-ONE": "one", "X-Two": null, "x-four": "4"})).await;
    assert_eq!(kept(&door).await, map(&[("x-one", "one"), ("x-three", "3"), ("x-four", "4")]));
    let unchanged = door.json("GET /v1/endpoints", "").await["data"][0].take();
    assert_eq!(patch(&door, json!({"X-ONE": "one"})).await, unchanged, "the same again is no change");
    assert_eq!(patch(&door, json!({})).await, unchanged);
    assert_eq!(door.json("PATCH /v1/endpoints/crm", r#"{"description":"x"}"#).await["headers"], unchanged["headers"]);
    patch(&door, Value::Null).await;
    assert_eq!(kept(&door).await, map(&[]));
    patch(&door, json!({"x-one": "1"})).await;
    put(&door, Value::Null).await;
    assert_eq!(kept(&door).await, map(&[]), "a PUT without headers is one that wants none");
}

#[tokio::test]
async fn a_patch_that_names_one_header_twice_is_refused() {
    let door = Door::open().await;
    put(&door, json!({"x-one": "1"})).await;
    let answer = door.call("PATCH /v1/endpoints/crm", r#"{"headers":{"X-One":"a","x-one":"b"}}"#).await.json();
    assert_eq!(
        answer["errors"],
        json!([{"field": "headers.x-one", "message": "is given more than once; upper and lower case are the same"}])
    );
    assert_eq!(kept(&door).await, map(&[("x-one", "1")]));
}

#[tokio::test]
async fn headers_have_limits_and_a_refusal_shows_no_value() {
    let door = Door::open().await;
    let many = |count: usize| -> Value {
        let value = "v".repeat(4096);
        (0..count).map(|nth| (format!("x-{nth}"), value.clone().into())).collect::<Map<_, _>>().into()
    };
    assert_eq!(put(&door, many(20)).await["headers"].as_object().unwrap().len(), 20);
    let refused = [
        many(21),
        json!({"x-long": format!("hidden{}", "v".repeat(4091))}),
        json!({"Host": "hidden"}),
        json!({"WebHook-Id": "hidden"}),
        json!({"x-break": "hidden\r\nx-other: 1"}),
        json!({"x number": "hidden"}),
        json!({"x-number": 7}),
        json!({"x-masked": "***"}),
    ];
    for headers in refused {
        for line in ["POST /v1/endpoints", "PUT /v1/endpoints/crm", "PATCH /v1/endpoints/crm"] {
            let answer = door.call(line, &json!({"url": "https://a.example/", "headers": headers}).to_string()).await;
            assert_eq!(answer.status.as_u16(), 400, "{line} {headers}");
            assert_eq!(answer.json()["type"], "INVALID_REQUEST");
            assert!(!answer.text.contains("hidden"), "{}", answer.text);
        }
    }
    // A header that could never have been there can be taken away all the same.
    patch(&door, json!({"Host": null})).await;
    assert_eq!(kept(&door).await.len(), 20, "nothing of it changed");
}
