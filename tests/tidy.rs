//! The house rules as tests over the sources: rooms, words with a home, sizes, names, the map, the dependencies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot read its own sources should stop")]

#[path = "tidy/source.rs"]
mod source;

use source::{files, functions, places, root, sources};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Room → the other rooms it may name as `crate::ROOM`. Files beside the rooms (`main.rs`, `lib.rs`) may name all.
const ROOMS: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("iac", &["model"]),
    ("plan", &["model"]),
    ("store", &["model"]),
    ("provider", &["model"]),
    ("flow", &["model", "plan", "iac", "store", "provider"]),
    ("serve", &["model", "plan", "flow"]),
    ("cli", &["model", "iac", "plan", "store", "provider", "flow", "serve"]),
];

/// Word → the files and folders under `src/` that may say it.
const HOMES: [(&str, &[&str]); 14] = [
    ("aws_sdk", &["provider/"]),
    ("aws_config", &["provider/"]),
    ("aws_smithy", &["provider/"]),
    ("kube::", &["provider/"]),
    ("reqwest", &["provider/"]),
    ("oci_client", &["provider/"]),
    ("sled::", &["store/index.rs"]),
    ("axum", &["serve/"]),
    ("clap", &["cli/", "main.rs"]),
    ("Timestamp::now", &["provider/clock.rs"]),
    ("SystemTime::now", &["provider/clock.rs"]),
    ("Instant::now", &["provider/clock.rs"]),
    ("println!", &["cli/"]),
    ("eprintln!", &["cli/"]),
];

/// What decisions never contain: the outside, waiting, and maps with random order.
const IMPURE: [&str; 8] =
    ["std::fs", "std::env", "std::net", "std::process", "tokio", "async fn", "HashMap", "HashSet"];
const PURE: [&str; 3] = ["model", "iac", "plan"];

/// What nobody leaves behind.
const UNFINISHED: [&str; 6] = ["TODO", "FIXME", "todo!", "unimplemented!", "#[ignore", "should_panic"];

/// Names that say nothing about what is in the file.
const NAMELESS: [&str; 7] = ["utils", "util", "common", "helpers", "types", "errors", "manager"];

/// Lines of a file without its tests; lines of a function.
const FILE_WALL: usize = 400;
const FUNCTION_WALL: usize = 60;

/// Package → the first version that may be built; `None`: none may.
const BANNED: [(&str, Option<(u64, u64)>); 5] =
    [("ring", None), ("openssl-sys", None), ("native-tls", None), ("hyper", Some((1, 0))), ("rustls", Some((0, 23)))];

/// Fails with every violation, sorted.
fn tidy(rule: &str, violations: impl IntoIterator<Item = String>) {
    let violations: BTreeSet<String> = violations.into_iter().collect();
    let mut text = String::new();
    violations.iter().for_each(|violation| writeln!(text, "  {violation}").unwrap());
    assert!(violations.is_empty(), "{rule}:\n{text}");
}

#[test]
fn each_room_knows_only_the_rooms_it_may() {
    let all: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    let mut violations = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            violations.push(format!("src/{room}/ is not a room of the house"));
            continue;
        };
        for at in places(&source.code, "crate::") {
            for named in named(&source.code[at + "crate::".len()..]) {
                if !all.contains(named) {
                    violations.push(format!("{}: `crate::{named}` is no room", source.at(at)));
                } else if named != room && !allowed.contains(&named) {
                    violations.push(format!("{}: {room} must not know {named}", source.at(at)));
                }
            }
        }
        let depth = source.name.matches('/').count() + usize::from(!source.name.ends_with("/mod.rs"));
        let way_out = "super::".repeat(depth);
        violations
            .extend(places(&source.code, &way_out).map(|at| format!("{}: leaves its room by `super`", source.at(at))));
    }
    tidy("a room may import only what stands in the house's table", violations);
}

/// The first words of a path, or of every path of a group: `{a::{b, c}, d}` has `a` and `d`.
fn named(path: &str) -> Vec<&str> {
    let first = |path: &'_ str| path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    let Some(group) = path.strip_prefix('{') else { return vec![&path[..first(path)]] };
    let (mut depth, mut starts) = (0_usize, vec![0]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    let words = starts.into_iter().map(|start| group[start..].trim_start());
    words.map(|path| &path[..first(path)]).filter(|word| !word.is_empty()).collect()
}

#[test]
fn words_with_a_home_stay_there() {
    let mut violations = Vec::new();
    for source in sources() {
        for (word, homes) in HOMES {
            if !homes.iter().any(|home| source.name == *home || home.ends_with('/') && source.name.starts_with(home)) {
                let said =
                    places(&source.code, word).map(|at| format!("{}: `{word}` belongs to {}", source.at(at), homes[0]));
                violations.extend(said);
            }
        }
        if source.room().is_some_and(|room| PURE.contains(&room)) {
            for word in IMPURE {
                violations
                    .extend(places(&source.code, word).map(|at| format!("{}: `{word}` in a pure room", source.at(at))));
            }
        }
    }
    tidy("a word with a home is said only there", violations);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut violations = Vec::new();
    for path in
        files(&root().join("src")).into_iter().chain(files(&root().join("tests"))).chain(files(&root().join("benches")))
    {
        if path.extension().is_none_or(|end| end != "rs") || shown(&path).starts_with("tests/tidy") {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| places(line, word).next().is_some()) {
                violations.push(format!("{}:{}: `{word}`", shown(&path), number + 1));
            }
        }
    }
    tidy("nothing is left unfinished, ignored or expected to panic", violations);
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

#[test]
fn files_open_with_a_sentence_have_a_name_and_fit_on_a_desk() {
    let mut violations = Vec::new();
    for path in ["src", "tests", "benches"].iter().flat_map(|folder| files(&root().join(folder))) {
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let (name, text) = (shown(&path), fs::read_to_string(&path).unwrap());
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") {
            violations.push(format!("{name}: its first line is not a `//!` sentence"));
        }
        let says_nothing = |part: &str| NAMELESS.contains(&part.trim_end_matches(".rs"));
        if name.split('/').any(says_nothing) {
            violations.push(format!("{name}: the name says nothing about what is in it"));
        }
    }
    for source in sources() {
        if source.lines > FILE_WALL {
            violations
                .push(format!("src/{}: {} lines without tests, more than {FILE_WALL}", source.name, source.lines));
        }
        for (function, at, lines) in functions(&source.code) {
            if lines > FUNCTION_WALL {
                violations
                    .push(format!("{}: fn {function} has {lines} lines, more than {FUNCTION_WALL}", source.at(at)));
            }
        }
    }
    tidy("files open with a sentence, have a telling name, and keep to the walls", violations);
}

#[test]
fn comments_speak_of_the_code_and_not_of_tickets_or_machines() {
    let mut violations = Vec::new();
    for source in sources() {
        for (at, _) in source.text.match_indices('#') {
            let is_comment =
                source.code[at..].starts_with(' ') && source.text[..at].rsplit('\n').next().unwrap().contains("//");
            if is_comment && source.text[at + 1..].starts_with(|c: char| c.is_ascii_digit()) {
                violations.push(format!("{}: a ticket's number", source.at(at)));
            }
        }
    }
    // Spelt in two parts, or this file would be the first to be found.
    let machine = [concat!("/", "work/"), concat!("/", "root/")];
    for path in files(&root()).into_iter().filter(|path| !path.ends_with("Cargo.lock")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if machine.iter().any(|folder| line.contains(folder)) {
                violations.push(format!("{}:{}: a path of one machine", shown(&path), number + 1));
            }
        }
    }
    tidy("comments and files speak of the project, not of tickets or machines", violations);
}

const MAP_OPENS: &str = "<!-- map -->";
const MAP_CLOSES: &str = "<!-- /map -->";

#[test]
fn the_readmes_map_is_the_tree() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let map = readme.split_once(MAP_OPENS).and_then(|(_, rest)| rest.split_once(MAP_CLOSES)).map(|(map, _)| map);
    let Some(map) = map else {
        panic!("README.md has no map: a tree of src/ between {MAP_OPENS} and {MAP_CLOSES}");
    };
    let mapped = mapped(map);
    let missing = mapped.iter().filter(|path| !root().join(path).exists());
    let mut violations: Vec<String> = missing.map(|path| format!("{path} is in the map and not in the tree")).collect();
    for entry in fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap()) {
        let path = format!("src/{}", entry.file_name().to_string_lossy());
        if !mapped.contains(&path) {
            violations.push(format!("{path} is in the tree and not in the map"));
        }
    }
    tidy("README.md's map is the tree of src/", violations);
}

/// Every path of a tree that is drawn with `├── `, four columns a level: the first word of each line, and all later
/// words that end in `.rs`, which stand in the folder that the line names or beside its file.
fn mapped(map: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut folders: Vec<String> = Vec::new();
    for line in map.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with("```")) {
        let entry = line.trim_start_matches(['│', '├', '└', '─', ' ', '\u{a0}']);
        let depth = (line.chars().count() - entry.chars().count()) / 4;
        let Some(name) = entry.split_whitespace().next() else { continue };
        folders.truncate(depth);
        let inside = |name: &str| {
            folders
                .iter()
                .map(String::as_str)
                .chain([name])
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/")
        };
        // The crate's own folder is where the paths start.
        let name_of_folder =
            name.strip_suffix('/').map(|folder| if folder == "imgctl" || folder == "." { "" } else { folder });
        let beside = inside(name_of_folder.unwrap_or_default());
        let words = entry.split_whitespace().skip(1).map(|word| word.trim_matches(|c: char| ",;:()`".contains(c)));
        paths.extend(words.filter(|word| word.ends_with(".rs")).map(|word| format!("{beside}/{word}")));
        paths.insert(inside(name_of_folder.unwrap_or(name)));
        folders.extend(name_of_folder.map(str::to_owned));
    }
    paths.remove("");
    paths
}

#[test]
fn one_tls_stack_is_built_and_no_old_http() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut violations = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |key: &str| {
            package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        let (name, version) = (field("name").unwrap(), field("version").unwrap());
        let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        let version_is = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let banned =
            BANNED.iter().any(|(banned, first)| *banned == name && first.is_none_or(|first| version_is < first));
        if banned && let Some(why) = built_by(name, version) {
            violations.push(format!("{name} {version} is built:\n{why}"));
        }
    }
    tidy("only rustls with aws-lc-rs, hyper 1 and nothing older are built", violations);
}

/// What builds a package. The lock also names packages that only a feature nobody turns on would need.
fn built_by(name: &str, version: &str) -> Option<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = |targets: &[&str]| {
        let mut command = Command::new(&cargo);
        command.current_dir(root()).args(["tree", "--locked", "--offline", "-e", "normal,build"]).args(targets);
        command.args(["-i", &format!("{name}@{version}")]).output().unwrap()
    };
    // Without a network, other platforms' packages may not be here: then what this platform builds is asked.
    let all = tree(&["--target", "all"]);
    let output = if all.status.success() { all } else { tree(&[]) };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let nothing = out.trim().is_empty() && (output.status.success() || err.contains("did not match any packages"));
    if nothing { None } else { Some(format!("{out}{err}")) }
}

#[test]
fn every_path_of_a_grouped_import_is_seen() {
    assert_eq!(named("model::{A, B};"), ["model"]);
    assert_eq!(named("{model::{A, B}, plan,\n    cli::c::{self},\n};"), ["model", "plan", "cli"]);
}

#[test]
fn the_map_is_read_as_it_is_drawn() {
    let map = "\n```\nimgctl/\n├── src/\n│   ├── main.rs        parse, run\n│   └── model/         NOUNS\n│       ├── digest.rs  checked\n│       └── more/      x.rs y.rs\n└── tests/\n```\n";
    let expected = [
        "src",
        "src/main.rs",
        "src/model",
        "src/model/digest.rs",
        "src/model/more",
        "src/model/more/x.rs",
        "src/model/more/y.rs",
        "tests",
    ];
    assert_eq!(mapped(map), expected.map(str::to_owned).into());
}
