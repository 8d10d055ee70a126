//! Figures: a value beside its peer's, printed as a table and written as JSON.

use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use std::time::Duration;

#[derive(Default)]
pub struct Figures(Vec<Value>);

impl Figures {
    /// `peer` says what it is compared with; the ratio is value / peer_value.
    pub fn add(&mut self, name: &str, value: f64, unit: &str, peer: &str, peer_value: f64) {
        let round = |number: f64| (number * 1000.0).round() / 1000.0;
        let ratio = if peer_value == 0.0 { Value::Null } else { json!(round(value / peer_value)) };
        self.0.push(json!({"name": name, "value": round(value), "unit": unit, "peer": peer, "peer_value": round(peer_value), "ratio": ratio}));
        println!("{name}: {} {unit}   {peer}: {} {unit}   ratio {ratio}", round(value), round(peer_value));
    }

    pub fn add_times(&mut self, name: &str, mut own: Vec<Duration>, peer: &str, mut peers: Vec<Duration>) {
        let (own, peers) = (median(&mut own), median(&mut peers));
        self.add(name, own, "ms", peer, peers);
    }

    pub fn write(&self, file: &Path) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, serde_json::to_string_pretty(&self.0).unwrap() + "\n").unwrap();
    }
}

/// The middle one, in milliseconds.
pub fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0 {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            writeln!(
                f,
                "| `{}` | {} {} | {} | {} | {} |",
                text("name"),
                row["value"],
                text("unit"),
                text("peer"),
                row["peer_value"],
                row["ratio"]
            )?;
        }
        Ok(())
    }
}
