//! Event types.

use certhook::model::event::EventType;
use serde_json::json;

use super::door::Door;

#[tokio::test]
async fn event_types_are_listed_whole_in_the_order_of_the_catalogue() {
    let door = Door::open().await;
    let (sizes, all) = door.pages("/v1/event-types").await;
    assert_eq!(sizes, [EventType::ALL.len()]);
    let names: Vec<_> = all.iter().map(|row| row["type"].as_str().unwrap()).collect();
    let known: Vec<_> = EventType::ALL.iter().map(|known| known.as_str()).collect();
    assert_eq!(names, known);
    let first = json!({
        "object": "event_type", "type": "certificate.created", "description": "Something happened.",
        "about": "certificate",
    });
    assert_eq!(all[0], first);
    assert!(all.last().unwrap()["about"].is_null());
    let (sizes, by_limit) = door.pages("/v1/event-types?limit=25").await;
    assert_eq!((sizes[0], by_limit), (25, all));
}

#[tokio::test]
async fn an_event_type_is_shown_with_its_schema_and_an_example() {
    let door = Door::open().await;
    for event_type in EventType::ALL {
        let mut expected = json!({
            "object": "event_type", "type": event_type, "description": "Something happened.", "about": null,
            "schema": certhook::detect::catalogue::schema(*event_type),
        });
        if event_type.is_about_a_resource() {
            expected["about"] = json!("certificate");
        }
        let mut shown = door.json(&format!("GET /v1/event-types/{event_type}"), "").await;
        let example = shown.as_object_mut().unwrap().remove("example").unwrap();
        assert_eq!(example["type"], event_type.as_str());
        assert_eq!(shown, expected);
    }
}
