//! Text, with the crates that most programs use for it.

use std::hint::black_box;

use regex::Regex;
use serde_json::{Value, json};

use super::{Once, Random, fold};

/// Parses a document of about 60 kB and writes it again.
pub fn json() -> Once {
    let mut random = Random::new();
    let people: Vec<Value> = (0..400)
        .map(|id| {
            json!({
                "id": id, "name": word(&mut random), "balance": random.below(1_000_000) as f64 / 64.0,
                "active": id % 3 == 0, "tags": [word(&mut random), word(&mut random)],
                "place": { "town": word(&mut random), "at": [random.below(90), random.below(180)] },
            })
        })
        .collect();
    let text = Value::from(people).to_string();
    Box::new(move || {
        let people: Vec<Value> = serde_json::from_str(black_box(&text)).expect("what was written can be read");
        let written = serde_json::to_string(&people).expect("what was read can be written");
        let balances = people.iter().filter_map(|person| person["balance"].as_f64());
        fold(balances.map(f64::to_bits).chain([written.len() as u64, u64::from(written == text)]))
    })
}

/// Finds the addresses in 64 kB of words.
pub fn regex() -> Once {
    let mut random = Random::new();
    let mut text = String::new();
    while text.len() < 65_536 {
        text += &word(&mut random);
        match random.below(16) {
            0 => text += &format!("@{}.org ", word(&mut random)),
            1 => text += "@ ",
            _ => text.push(' '),
        }
    }
    let address = Regex::new(r"([a-z]+)@([a-z]+)\.(com|org|net)").expect("the expression is valid");
    Box::new(move || {
        let found = address.captures_iter(black_box(&text)).filter_map(|captures| captures.get(2));
        fold(found.flat_map(|host| [host.start() as u64, host.end() as u64]))
    })
}

fn word(random: &mut Random) -> String {
    let length = 3 + random.below(8);
    (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}
