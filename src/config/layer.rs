//! A layer for the crate `config`, and how one file becomes one: every key known, every value checked.

use super::error::{ConfigError, Place, quoted};
use super::leaf::{CREDENTIALS, Fault};
use super::places::Places;
use super::schema::{Key, ReadName, Section, instead_of_section};
use ::config::{Map, Source, Value, ValueKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of each section, or of each item of a `[[many]]` section.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    tables: BTreeMap<(&'static str, Option<String>), Map<String, Value>>,
    /// Section and name of its items, in order.
    pub(super) items: Vec<(&'static str, String)>,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    /// Section to key to value; of the `[[many]]` sections, section to name to key to value, so that items merge.
    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        let mut plain = Map::new();
        let mut many: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for ((section, item), keys) in &self.tables {
            let keys = Value::new(None, keys.clone());
            match item {
                None => plain.insert((*section).into(), keys),
                Some(item) => many.entry(section).or_default().insert(item.clone(), keys),
            };
        }
        plain.extend(many.into_iter().map(|(section, items)| (section.into(), Value::new(None, items))));
        Ok(plain)
    }
}

impl Layer {
    pub(super) fn insert(&mut self, section: &Section, item: Option<&str>, key: &str, value: Value) {
        let table = (section.name, item.map(Into::into));
        self.tables.entry(table).or_default().insert(key.into(), value);
    }
}

/// Where relative paths start, and what `$CREDENTIALS_DIRECTORY` is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folders<'a> {
    pub(super) here: &'a Path,
    pub(super) credentials: Option<&'a Path>,
}

impl Folders<'_> {
    pub(super) fn resolve(&self, value: &mut Value) {
        if let ValueKind::String(text) = &mut value.kind {
            let path = match (Path::new(text).strip_prefix(CREDENTIALS), self.credentials) {
                (Ok(below), Some(credentials)) => credentials.join(below),
                (Ok(_), None) => return,
                (Err(_), _) => self.here.join(&text),
            };
            // The parts came as UTF-8, or are the folder that the program was started with.
            if let Some(path) = path.to_str() {
                *text = path.into();
            }
        }
    }
}

/// The title of a section, or of one item of it, in messages.
pub(super) fn title(section: &Section, item: Option<&str>) -> String {
    match item {
        Some(item) => format!("{} {item}", section.header()),
        None => section.header(),
    }
}

/// The path of a section, or of one item of it, in [`Places`].
pub(super) fn path_of(section: &Section, item: Option<&str>) -> String {
    match item {
        Some(item) => format!("{}.{item}", section.name),
        None => section.name.into(),
    }
}

/// The error for a value that does not fit `key`.
pub(super) fn unfit(key: &Key, title: &str, place: Place, fault: Fault) -> ConfigError {
    let mend = fault.mend.unwrap_or_else(|| match &place {
        Place::Variable(name) if key.example.contains('{') => {
            format!("Unset {name}: {} is for files", key.name)
        }
        Place::Variable(name) => {
            let plain = key.example.replace(['[', ']', '"', ' '], "");
            format!("Write {name}={plain}")
        }
        _ => format!("Write {} = {}", key.name, key.example),
    });
    ConfigError::new(place, format!("{title} {}", key.name), fault.what, mend)
}

/// The error for a section that is not there.
pub(super) fn no_section(place: Place, name: &str) -> ConfigError {
    let what = format!("there is no section {}", quoted(name));
    ConfigError::new(place, "", what, instead_of_section(name))
}

/// The error for a key that is not there.
pub(super) fn no_key(section: &Section, title: &str, place: Place, key: &str) -> ConfigError {
    let (subject, what) = match key {
        "" => (title.into(), "no key is named"),
        key => (format!("{title} {}", quoted(key).trim_matches('"')), "there is no such key"),
    };
    let mend = match (section.many, key) {
        (Some(_), "name") => "A name is given in a file".into(),
        _ => section.instead_of(key),
    };
    ConfigError::new(place, subject, what, mend)
}

/// Reads one file's text. `path` is how messages call it.
pub(super) fn from_toml(
    text: &str,
    path: &Path,
    folders: Folders<'_>,
    places: &mut Places,
) -> Result<Layer, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        path,
        starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        folders,
        places,
        layer: Layer::default(),
    };
    match DeTable::parse(text) {
        Ok(root) => reader.root(root.get_ref())?,
        Err(error) => {
            let place = reader.line(error.span().map_or(0, |span| span.start));
            let what = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            let mend = "Look there for a missing quote, bracket or equals sign, or a name used twice";
            return Err(ConfigError::new(place, "", what, mend));
        }
    }
    Ok(reader.layer)
}

/// A walk over one file.
struct Reader<'a> {
    path: &'a Path,
    /// The offset of each line.
    starts: Vec<usize>,
    folders: Folders<'a>,
    places: &'a mut Places,
    layer: Layer,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        Place::Line(self.path.into(), u32::try_from(line).unwrap_or(u32::MAX))
    }

    fn root(&mut self, root: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in in_file_order(root) {
            let place = self.line(name.span().start);
            let Some(section) = Section::find(name.get_ref()) else {
                return Err(no_section(place, name.get_ref()));
            };
            match (value.get_ref(), section.many) {
                (DeValue::Table(table), None) => {
                    self.places.note_table(section.name.into(), place);
                    self.keys(section, None, table)?;
                }
                (DeValue::Array(tables), Some(read_name)) => {
                    for table in tables {
                        self.item(section, read_name, table)?;
                    }
                }
                _ => {
                    let what = format!("{} is not written so", section.name);
                    let mend = format!("Write {} on a line above its keys", section.header());
                    return Err(ConfigError::new(place, "", what, mend));
                }
            }
        }
        Ok(())
    }

    /// One `[[port]]` or `[[interface]]`.
    fn item(
        &mut self,
        section: &'static Section,
        read_name: ReadName,
        table: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let place = self.line(table.span().start);
        let header = section.header();
        let DeValue::Table(keys) = table.get_ref() else {
            let what = format!("{} is not written so", section.name);
            let mend = format!("Write {header} on a line above its keys");
            return Err(ConfigError::new(place, "", what, mend));
        };
        let Some((_, name)) = keys.iter().find(|(key, _)| key.get_ref() == "name") else {
            let mend = "Add a line such as name = \"one\"";
            return Err(ConfigError::new(place, header, "name is missing", mend));
        };
        let at = self.line(name.span().start);
        let name = read_name(&plain(name.get_ref())).map_err(|fault| {
            let mend = fault.mend.unwrap_or_else(|| "Write name = \"one\"".into());
            ConfigError::new(at.clone(), format!("{header} name"), fault.what, mend)
        })?;
        let entry = (section.name, name);
        if self.layer.items.contains(&entry) {
            let what = format!("{} stands in this file already", entry.1);
            let mend = "Put all its keys under one header, or rename one";
            return Err(ConfigError::new(at, format!("{header} name"), what, mend));
        }
        self.places.note_table(path_of(section, Some(&entry.1)), place);
        self.places.note(format!("{}.name", path_of(section, Some(&entry.1))), at);
        self.keys(section, Some(&entry.1), keys)?;
        self.layer.items.push(entry);
        Ok(())
    }

    fn keys(&mut self, section: &'static Section, item: Option<&str>, table: &DeTable<'_>) -> Result<(), ConfigError> {
        let title = title(section, item);
        for (name, value) in in_file_order(table) {
            if item.is_some() && name.get_ref() == "name" {
                continue;
            }
            let place = self.line(name.span().start);
            let Some(key) = section.key(name.get_ref()) else {
                return Err(no_key(section, &title, place, name.get_ref()));
            };
            let path = format!("{}.{}", path_of(section, item), key.name);
            self.places.replace(path.clone(), place.clone());
            let elements = value.get_ref().as_array().into_iter().flatten();
            for (index, element) in elements.enumerate() {
                let place = self.line(element.span().start);
                self.places.note(format!("{path}[{index}]"), place);
            }
            let mut value = plain(value.get_ref());
            (key.check)(&value).map_err(|fault| {
                let place = match fault.index {
                    Some(index) => self.places.of(&format!("{path}[{index}]")),
                    None => place,
                };
                unfit(key, &title, place, fault)
            })?;
            if key.is_file {
                self.folders.resolve(&mut value);
            }
            self.layer.insert(section, item, key.name, value);
        }
        Ok(())
    }
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

/// `toml` sorts by name; the first error of a file is to be the topmost.
fn in_file_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// The value without its spans. Dates become nothing: no key takes one.
fn plain(value: &DeValue<'_>) -> Value {
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => ValueKind::I64(number),
            Err(_) => ValueKind::String(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => ValueKind::Float(number),
            Err(_) => ValueKind::String(number.to_string()),
        },
        DeValue::Boolean(value) => ValueKind::Boolean(*value),
        DeValue::Datetime(_) => ValueKind::Nil,
        DeValue::Array(elements) => ValueKind::Array(elements.iter().map(|e| plain(e.get_ref())).collect()),
        DeValue::Table(table) => {
            let entries = table.iter();
            let entries = entries.map(|(key, value)| (key.to_string(), plain(value.get_ref())));
            ValueKind::Table(entries.collect())
        }
    };
    Value::new(None, kind)
}

/// The folder that a file stands in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new("")).into()
}
