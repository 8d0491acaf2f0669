//! A checker of the few words of JSON Schema that `configs/doctor.schema.json` uses. A word that it does not know is a
//! fault of the schema, so nothing passes for want of being looked at.

use serde_json::{Value, json};

/// What of `value` is not by `schema`; `root` holds the definitions.
pub(crate) fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" => {}
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                faults.extend(self::faults(root, &root["$defs"][name], value, at));
            }
            "type" => {
                let types = rule.as_array().map_or_else(|| vec![rule], |types| types.iter().collect());
                if !types.iter().any(|name| is_of(name.as_str().unwrap(), value)) {
                    faults.push(format!("{at}: {value} is no {rule}"));
                }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => {
                faults.push(format!("{at}: {value} is none of {rule}"))
            }
            "const" if rule != value => faults.push(format!("{at}: {value} is not {rule}")),
            "minLength" if (value.as_str().unwrap().len() as u64) < rule.as_u64().unwrap() => {
                faults.push(format!("{at}: too short"))
            }
            "enum" | "const" | "minLength" => {}
            "required" => {
                let missing = rule.as_array().unwrap().iter().filter(|key| value.get(key.as_str().unwrap()).is_none());
                faults.extend(missing.map(|key| format!("{at}: no {key}")));
            }
            "additionalProperties" => {
                assert_eq!(rule, &json!(false));
                let extra = value.as_object().unwrap().keys().filter(|key| schema["properties"].get(key).is_none());
                faults.extend(extra.map(|key| format!("{at}: {key} is unknown")));
            }
            "properties" => {
                for (key, rule) in rule.as_object().unwrap() {
                    let part = value.get(key).map(|part| self::faults(root, rule, part, &format!("{at}/{key}")));
                    faults.extend(part.into_iter().flatten());
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    faults.extend(self::faults(root, rule, item, &format!("{at}/{index}")));
                }
            }
            other => panic!("the schema's {other} is not checked"),
        }
    }
    faults
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema's type {other} is not checked"),
    }
}
