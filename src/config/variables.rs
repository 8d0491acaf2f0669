//! The environment's variables as a layer.

use super::error::{ConfigError, Place, quoted};
use super::layer::{Folders, Layer, no_key, no_section, path_of, title, unfit};
use super::places::Places;
use super::schema::Section;
use ::config::Value;

/// Reads the variables `CULVERT__SECTION__KEY`, and `CULVERT__PORT__NAME__KEY` or `CULVERT__INTERFACE__NAME__KEY`
/// for one of `items`. Upper and lower case are one; in names, `_` stands for every character that a
/// variable cannot have.
pub(super) fn from_variables(
    variables: &[(String, String)],
    items: &[(&'static str, String)],
    folders: Folders<'_>,
    places: &mut Places,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Variable(variable.clone());
        let (section, rest) = rest.split_once("__").unwrap_or((rest, ""));
        let Some(section) = Section::find(&section.to_lowercase()) else {
            return Err(no_section(place, &section.to_lowercase()));
        };
        let (item, key) = match section.many {
            None => (None, rest),
            Some(_) => {
                let (name, key) = rest.rsplit_once("__").unwrap_or((rest, ""));
                (Some(item_of(section, name, items, &place)?), key)
            }
        };
        let title = title(section, item);
        let key = key.to_lowercase();
        let Some(key) = section.key(&key) else {
            return Err(no_key(section, &title, place, &key));
        };
        let mut value = Value::new(Some(variable), (key.from_text)(text));
        (key.check)(&value).map_err(|fault| unfit(key, &title, place.clone(), fault))?;
        if key.is_file {
            folders.resolve(&mut value);
        }
        let path = format!("{}.{}", path_of(section, item), key.name);
        places.replace(path, place);
        layer.insert(section, item, key.name, value);
    }
    Ok(layer)
}

/// What the variables begin with.
pub(super) const PREFIX: &str = "CULVERT__";

/// The item that a variable names.
fn item_of<'i>(
    section: &Section,
    name: &str,
    items: &'i [(&'static str, String)],
    place: &Place,
) -> Result<&'i str, ConfigError> {
    let folded = |name: &str| -> String {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }
        };
        name.chars().map(plain).collect()
    };
    let own = || items.iter().filter(|(of, _)| *of == section.name).map(|(_, name)| name.as_str());
    if let Some(exact) = own().find(|item| *item == name) {
        return Ok(exact);
    }
    let near: Vec<&str> = own().filter(|item| folded(item) == folded(name)).collect();
    match near.as_slice() {
        [one] => Ok(one),
        [] => {
            let known: Vec<&str> = own().collect();
            let what = format!("there is no {} {}", section.header(), quoted(name));
            let mend = match known.as_slice() {
                [] => format!("Write the {} in a file first", section.header()),
                known => format!("The names are {}", known.join(", ")),
            };
            Err(ConfigError::new(place.clone(), "", what, mend))
        }
        several => {
            let what = format!("{} may be any of {}", quoted(name), several.join(", "));
            Err(ConfigError::new(place.clone(), "", what, "Set the key in a file instead"))
        }
    }
}
