//! Every session in `fixtures/scenarios` prints what is recorded there. Their titles are rules.

use crate::support::scenario;
use std::collections::BTreeSet;

macro_rules! scenarios {
    ($($title:ident)*) => {
        const TITLES: &[&str] = &[$(stringify!($title)),*];
        $(
            #[test]
            fn $title() {
                scenario::play(&file(stringify!($title)));
            }
        )*
    };
}

scenarios! {}

/// The file's name without its ending.
fn file(title: &str) -> String {
    title.replace('_', "-")
}

#[test]
fn every_session_in_the_folder_is_played() {
    let folder = std::fs::read_dir(scenario::folder()).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| name.ends_with(".txt")).collect();
    let listed: BTreeSet<String> = TITLES.iter().map(|title| format!("{}.txt", file(title))).collect();
    assert_eq!(found, listed, "fixtures/scenarios and the list in tests/it/scenarios.rs");
}
