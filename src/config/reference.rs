//! What there is to write about the configuration, from the schema and the defaults themselves: so no manual is out of date.

use super::load::{defaults, item_defaults};
use super::schema::{Key, SECTIONS, Section};
use super::types::Machine;
use ::config::Value;
use toml::Table;

/// A section.
#[derive(Clone, Debug)]
pub struct SectionReference {
    /// `[cores]`, `[[port]]`
    pub header: String,
    /// What it is about.
    pub help: &'static str,
    /// Its keys.
    pub keys: Vec<KeyReference>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct KeyReference {
    /// Its name.
    pub name: &'static str,
    /// What its values are: `a number from 68 to 9216`.
    pub due: String,
    /// What it is if nobody says, as TOML; `None`: it has to be said, or it hangs on the machine.
    pub default: Option<String>,
    /// A value, as TOML.
    pub example: String,
    /// What it does.
    pub help: &'static str,
}

/// All sections, in the order of the documentation.
pub fn reference() -> Vec<SectionReference> {
    SECTIONS.into_iter().map(of_section).collect()
}

fn of_section(section: &'static Section) -> SectionReference {
    // Two machines: what differs between them is no default that could be written down.
    let machines = [vec![0, 1], vec![2, 3]].map(|cores| {
        let machine = Machine { cores };
        if section.many.is_some() { item_defaults(section.name, "x") } else { defaults(&machine) }
    });
    let tables = machines.map(|text| table_of(&text, section));
    let key = |key: &Key| {
        let [first, second] = tables.each_ref().map(|table| table.get(key.name));
        let default = first.filter(|first| Some(*first) == second).map(ToString::to_string);
        KeyReference { name: key.name, due: (key.due)(), default, example: key.example.into(), help: key.help }
    };
    // No text is no name, and the refusal says what is one.
    let name = section.many.and_then(|read| read(&Value::from("")).err()).and_then(|fault| fault.mend);
    let name = name.map(|due| KeyReference {
        name: "name",
        due: due.trim_start_matches("Take ").into(),
        default: None,
        example: format!("\"{}\"", if section.name == "port" { "wan" } else { "wg0" }),
        help: "Its name: unique, and how commands and files that are read later mean this one.",
    });
    let keys = name.into_iter().chain(section.keys.iter().map(key));
    SectionReference { header: section.header(), help: section.help, keys: keys.collect() }
}

/// The section of a text of defaults.
fn table_of(text: &str, section: &Section) -> Table {
    let mut all: Table = text.parse().unwrap_or_default();
    match all.remove(section.name) {
        Some(toml::Value::Table(table)) => table,
        Some(toml::Value::Array(items)) => match items.into_iter().next() {
            Some(toml::Value::Table(table)) => table,
            _ => Table::new(),
        },
        _ => Table::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_told_with_its_values_and_default() {
        let sections = reference();
        let find = |header: &str, name: &str| {
            let section = sections.iter().find(|section| section.header == header).unwrap();
            section.keys.iter().find(|key| key.name == name).unwrap().clone()
        };
        for section in &sections {
            assert!(section.help.ends_with('.'), "{section:?}");
            assert!(section.keys.iter().all(|key| key.help.ends_with('.') && !key.due.is_empty()), "{section:?}");
        }
        let mtu = find("[[port]]", "mtu");
        assert_eq!((mtu.due.as_str(), mtu.default.as_deref()), ("a number from 68 to 9216", Some("1500")));
        assert_eq!(find("[[interface]]", "mtu").default.as_deref(), Some("1420"));
        assert_eq!(find("[[interface]]", "name").due, "1 to 15 letters, digits or _ = + . -");
        assert_eq!(find("[[interface]]", "listen_ports").default.as_deref(), Some("[51820]"));
        assert_eq!(find("[log]", "format").due, "one of \"auto\", \"text\", \"json\", \"journald\"");
        // The machine's, or to be said.
        assert_eq!((find("[cores]", "io").default, find("[[port]]", "device").default), (None, None));
        assert_eq!(find("[cores]", "idle").default.as_deref(), Some("\"adaptive\""));
    }
}
