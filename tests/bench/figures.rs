//! The numbers, and where they go.

use std::fmt::Write as _;
use std::io::ErrorKind;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/figures.json");

/// What a group has measured.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

/// One number.
struct Figure {
    name: String,
    value: f64,
    what: String,
}

impl Figures {
    /// A number, its name, and what it says of which work.
    pub fn add(&mut self, name: impl Into<String>, value: f64, what: impl Into<String>) {
        self.0.push(Figure { name: name.into(), value, what: what.into() });
    }

    /// A line of the table is as long as a terminal is wide; what does not fit goes on below.
    pub fn print(&self) {
        let wide = self.0.iter().map(|f| f.name.len()).max().unwrap_or(0);
        for Figure { name, value, what } in &self.0 {
            let digits = if *value < 100.0 { 3 } else { 0 };
            let mut text = format!("{name:wide$}  {value:>12.digits$}  ");
            let (indent, mut at) = (text.len(), text.len());
            for word in what.split_whitespace() {
                if at + word.len() > 130 {
                    write!(text, "\n{:indent$}", "").unwrap();
                    at = indent;
                }
                write!(text, "{word} ").unwrap();
                at += word.len() + 1;
            }
            println!("{}", text.trim_end());
        }
    }

    /// Adds them to those of the other groups in `target/figures.json`.
    pub fn write(&self) {
        let mut map: serde_json::Map<_, _> = match std::fs::read(PATH) {
            Ok(text) => serde_json::from_slice(&text).unwrap(),
            Err(error) if error.kind() == ErrorKind::NotFound => serde_json::Map::new(),
            Err(error) => panic!("{PATH}: {error}"),
        };
        map.extend(self.0.iter().map(|f| (f.name.clone(), f.value.into())));
        std::fs::write(PATH, format!("{:#}\n", serde_json::Value::from(map))).unwrap();
    }

    /// Forgets what was measured before.
    pub fn forget() {
        if let Err(error) = std::fs::remove_file(PATH) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{PATH}: {error}");
        }
    }
}

/// The one in the middle; of an even number the upper of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The CPU, and what of it the ciphers use.
pub fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(": "))
            .map_or("?", |(_, value)| value)
    };
    let flags: Vec<&str> = field("flags")
        .split_whitespace()
        .filter(|flag| ["avx2", "avx512f", "avx512bw", "avx512vl", "avx512ifma"].contains(flag))
        .collect();
    format!("{}, {} cores; {}", field("model name"), text.matches("processor\t").count(), flags.join(" "))
}
