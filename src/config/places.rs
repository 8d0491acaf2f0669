//! Where each value of the merged configuration came from.

use super::error::Place;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// From a value's path (`cores.io`, `cores.io[1]`, `port.wan`, `port.wan.mtu`) to where it stands. What later
/// layers set replaces what earlier ones did, as the values do; built-in defaults stand nowhere.
#[derive(Clone, Debug)]
pub(super) struct Places {
    main: PathBuf,
    places: HashMap<String, Place>,
}

impl Places {
    /// `main` is where things stand that stand nowhere.
    pub(super) fn new(main: &Path) -> Self {
        Self { main: main.into(), places: HashMap::new() }
    }

    /// Notes where a value stands.
    pub(super) fn note(&mut self, path: String, place: Place) {
        self.places.insert(path, place);
    }

    /// Notes where a value stands that has no places for its elements; those of an earlier list go.
    pub(super) fn replace(&mut self, path: String, place: Place) {
        let elements = format!("{path}[");
        self.places.retain(|path, _| !path.starts_with(&elements));
        self.note(path, place);
    }

    /// Notes where a table begins: what stands there already stays.
    pub(super) fn note_table(&mut self, path: String, place: Place) {
        self.places.entry(path).or_insert(place);
    }

    /// Where the value stands; else its list, its table, or the main file.
    pub(super) fn of(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return Place::File(self.main.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_back_to_the_list_the_table_and_the_file() {
        let mut places = Places::new(Path::new("main.toml"));
        let line = |n| Place::Line("a.toml".into(), n);
        places.note_table("port.w.an".into(), line(1));
        places.note_table("port.w.an".into(), line(9));
        places.note("port.w.an.mtu".into(), line(2));
        places.note("port.w.an.mtu".into(), line(3));
        assert_eq!(places.of("port.w.an.mtu"), line(3));
        assert_eq!(places.of("port.w.an.addresses[4]"), line(1));
        assert_eq!(places.of("cores.io[1]"), Place::File("main.toml".into()));
    }
}
