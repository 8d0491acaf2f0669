//! The JSON against the committed schema.

use super::json_schema::faults;
use super::report;
use super::tree::Tree;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../configs/doctor.schema.json");

pub(super) fn valid(value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    faults(&schema, &schema, value, "")
}

#[test]
fn the_schema_refuses_what_is_not_a_report() {
    let good = report(&Tree::healthy().system()).to_json();
    let broken = |change: fn(&mut Value)| {
        let mut json = good.clone();
        change(&mut json);
        valid(&json).len()
    };
    assert_eq!(broken(|_| {}), 0);
    assert_eq!(broken(|json| json["checks"][0]["verdict"] = json!("fine")), 1);
    assert_eq!(broken(|json| json["version"] = json!(2)), 1);
    assert_eq!(broken(|json| json["more"] = json!(1)), 1);
    assert_eq!(broken(|json| drop(json["checks"][1].as_object_mut().unwrap().remove("mends"))), 1);
    assert_eq!(broken(|json| json["checks"][1]["mends"] = json!([{"kind": "command", "text": "x"}])), 3);
    assert_eq!(broken(|json| json["checks"][2]["id"] = json!("")), 1);
}
