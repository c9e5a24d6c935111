//! Who may import whom, and who owns which dependency. The table is the architecture: a change here is a
//! decision, and an import that is not in it is a mistake.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may use of ours beside itself and `printable`, which is a leaf for all.
enum MayUse {
    Only(&'static [&'static str]),
    /// The first list whole; of the second only what configures them (see [`PLAIN`]).
    OrPlain(&'static [&'static str], &'static [&'static str]),
    AllBut(&'static [&'static str]),
}
use MayUse::{AllBut, Only, OrPlain};

const LAYERS: &[(&str, MayUse)] = &[
    ("printable", Only(&[])),
    ("message", Only(&[])),
    ("net", Only(&[])),
    ("schedule", Only(&[])),
    ("import_state", Only(&["message"])),
    ("metrics", Only(&["message"])),
    ("auth", Only(&["net"])),
    ("ledger", Only(&["message", "auth"])),
    ("providers", Only(&["message", "net"])),
    ("pop3", Only(&["message", "net", "auth"])),
    ("imap", Only(&["net", "auth"])),
    ("destination", Only(&["message", "imap", "net", "auth"])),
    ("alerts", Only(&["ledger", "message", "destination", "net"])),
    ("poll", Only(&["pop3", "destination", "ledger", "message", "schedule"])),
    (
        "config",
        OrPlain(
            &["message", "schedule", "providers"],
            &["net", "auth", "pop3", "destination", "poll", "alerts"],
        ),
    ),
    (
        "setup",
        Only(&["message", "auth", "config", "providers", "pop3", "destination", "net", "ledger", "poll"]),
    ),
    ("web", Only(&["message", "auth", "net", "ledger", "setup", "metrics"])),
    ("daemon", AllBut(&["cli", "demo"])),
    ("demo", Only(&["net", "config", "daemon"])),
    ("cli", AllBut(&[])),
];

/// Words of the config file, nothing that acts: `Settings`, the types of its fields, and what bounds and checks them.
const PLAIN: &[&str] = &[
    "Settings",
    "Tls",
    "Pin",
    "Format",
    "Address",
    "Command",
    "To",
    "Credential",
    "Login",
    "Holder",
    "Oversize",
    "LOGIN_FIELD",
    "URL",
    "RECIPIENT_HEADERS",
    "header_name",
    "MAX_SIZE",
    "is_loopback",
    "check_ca_file",
];

/// The modules in which plain words stand.
const PLAIN_HOMES: &[&str] =
    &["net", "auth", "pop3", "destination", "imap_folder", "webhook", "gmail", "notifier", "poll", "alerts"];

/// Each dependency that only its owners may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["ledger"]),
    ("rustls", &["net"]),
    ("tokio_rustls", &["net"]),
    ("rustls_platform_verifier", &["net"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("reqwest", &["destination", "auth", "providers"]),
    ("hickory_resolver", &["providers"]),
    ("roxmltree", &["providers"]),
    ("psl", &["providers"]),
    ("idna", &["providers"]),
];

#[test]
fn modules_import_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() >= 3, "no source found under {}", src.display());

    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        broken.extend(broken_rules(file.strip_prefix(&src).unwrap(), &text));
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Every way to name another module is seen, with its line; comments, strings and tests are not.
#[test]
fn layer_test_sees_what_is_wrong() {
    let bad = r#"//! About [`crate::cli`], which is only a comment.
use crate::{message, ledger::{self, Row}};
use sqlx::SqlitePool;
use crate::message::Uidl;
fn f() { crate::web::serve("crate::demo"); }
fn g() -> super::super::daemon::Task { super::wire::parse() }
mod toml { fn h(rustls: u8) -> u8 { rustls } }
fn i() { ledger::open() }
use crate::Whatever;
#[cfg(test)]
mod tests {
    use crate::cli::Command;
}
"#;
    let found = broken_rules(Path::new("pop3/session.rs"), bad);
    let expected = [
        "src/pop3/session.rs:2: pop3 may not use ledger",
        "src/pop3/session.rs:3: sqlx belongs to ledger",
        "src/pop3/session.rs:5: pop3 may not use web",
        "src/pop3/session.rs:6: pop3 may not use daemon",
        "src/pop3/session.rs:8: pop3 may not use ledger",
        "src/pop3/session.rs:9: pop3 may not use Whatever",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn config_may_name_settings_and_nothing_that_acts() {
    let good =
        "use crate::{net, pop3};\nfn f() -> pop3::Settings { let net = net::Pin::default(); g(net) }\n";
    assert_eq!(broken_rules(Path::new("config/raw.rs"), good), Vec::<String>::new());

    let bad = "use crate::pop3;\nfn f() { pop3::Session::open() }\nuse crate::net::connect;\n";
    let found = broken_rules(Path::new("config/raw.rs"), bad);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("src/config/raw.rs:2: config may use only the plain words of pop3"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("src/config/raw.rs:3: config may use only the plain words of net"),
        "{found:#?}"
    );
}

#[test]
fn a_module_without_a_row_is_refused() {
    let found = broken_rules(Path::new("helpers.rs"), "use crate::message::Uidl;\n");
    assert!(found[0].starts_with("src/helpers.rs:1: helpers has no row in the layer table"), "{found:#?}");
}

/// rustfmt breaks code, and leaves comments as they are.
#[test]
fn comments_are_no_wider_than_a_screen() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root.join(folder), &mut files);
    }
    let mut wide = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let is_wide = |line: &str| {
            line.trim_start().starts_with("//") && !line.contains("://") && line.chars().count() > 125
        };
        let lines = text.lines().zip(1..).filter(|(line, _)| is_wide(line));
        wide.extend(lines.map(|(_, number)| format!("{}:{number}", file.display())));
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let tests = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !tests {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !tests {
            into.push(path);
        }
    }
}

/// All broken rules of one file, in the order of its lines. `file` is relative to src/.
fn broken_rules(file: &Path, text: &str) -> Vec<String> {
    let home = module_path(file);
    let tokens = tokens(&without_comments_and_strings(product_code(text)));
    let mut broken = BTreeSet::new();
    for named in named_paths(&tokens, &home) {
        let complaint =
            if named.ours { layer_complaint(&home, &named) } else { owner_complaint(&home, &named) };
        broken.extend(complaint.map(|complaint| (named.line, complaint)));
    }
    broken.iter().map(|(line, complaint)| format!("src/{}:{line}: {complaint}", file.display())).collect()
}

fn layer_complaint(home: &[String], named: &Named) -> Option<String> {
    // lib.rs and main.rs are the crate's root: they start and name everything.
    let from = home.first()?.as_str();
    let to = named.path.first()?.as_str();
    if from == to || to == "printable" {
        return None;
    }
    let Some((_, may_use)) = LAYERS.iter().find(|(module, _)| *module == from) else {
        return Some(format!("{from} has no row in the layer table of tests/all/layers.rs"));
    };
    let allowed = match may_use {
        Only(modules) | OrPlain(modules, _) if modules.contains(&to) => true,
        OrPlain(_, plain) if plain.contains(&to) => {
            let message = format!("config may use only the plain words of {to} ({})", PLAIN.join(", "));
            return (!is_plain(named)).then_some(message);
        }
        Only(_) | OrPlain(..) => false,
        AllBut(modules) => !modules.contains(&to),
    };
    (!allowed).then(|| format!("{from} may not use {to} (the layer table of tests/all/layers.rs)"))
}

fn is_plain(named: &Named) -> bool {
    match named.path.iter().find(|segment| !PLAIN_HOMES.contains(&segment.as_str())) {
        Some(word) => PLAIN.contains(&word.as_str()),
        None => named.import,
    }
}

fn owner_complaint(home: &[String], named: &Named) -> Option<String> {
    let (dependency, owners) = OWNERS.iter().find(|(dependency, _)| *dependency == named.path[0])?;
    let owned = home.first().is_some_and(|module| owners.contains(&module.as_str()));
    (!owned).then(|| format!("{dependency} belongs to {}", owners.join(", ")))
}

/// `pop3/wire.rs` is the module `pop3::wire`; `pop3/mod.rs` and `pop3.rs` are `pop3`; the crate's root is empty.
fn module_path(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let parts = stem.components().map(|part| part.as_os_str().to_str().unwrap().to_owned());
    parts.filter(|part| !["mod", "lib", "main"].contains(&part.as_str())).collect()
}

/// A path as the code names it. Ours start below the crate's root, all others at a dependency's name.
struct Named {
    line: usize,
    path: Vec<String>,
    ours: bool,
    /// From a `use`, not from an expression.
    import: bool,
}

fn named_paths(tokens: &[Token], home: &[String]) -> Vec<Named> {
    let mut named = Vec::new();
    let mut imported: HashMap<String, Vec<String>> = HashMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let line = tokens[at].line;
        if tokens[at].text == "use" {
            let mut leaves = Vec::new();
            at = use_tree(tokens, at + 1, &[], &mut leaves);
            for (line, path, alias) in leaves {
                named.extend(resolve(line, &path, home, true));
                imported.insert(alias, path);
            }
        } else if tokens[at].is_name() && (at == 0 || tokens[at - 1].text != "::") {
            let (mut path, end) = inline_path(tokens, at);
            at = end;
            // A name alone is a variable, or was judged where it was imported.
            if path.len() > 1 {
                if let Some(full) = imported.get(&path[0]) {
                    path.splice(..1, full.iter().cloned());
                }
                named.extend(resolve(line, &path, home, false));
            }
        } else {
            at += 1;
        }
    }
    named
}

/// What follows `use`, up to the token after it; `leaves` gets the line, whole path and name in scope of each.
fn use_tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    leaves: &mut Vec<(usize, Vec<String>, String)>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| token.text != "}") {
                at = if tokens[at].text == "," { at + 1 } else { use_tree(tokens, at, &path, leaves) };
            }
            return at + 1;
        }
        if token.is_name() || token.text == "*" {
            let at_itself = token.text == "self" && path.len() == prefix.len() && !prefix.is_empty();
            if !at_itself {
                path.push(token.text.clone());
            }
        } else if token.text != "::" {
            break;
        }
        at += 1;
        if tokens.get(at).is_some_and(|token| token.text == "as") {
            leaves.push((token.line, path, tokens[at + 1].text.clone()));
            return at + 2;
        }
    }
    if let Some(last) = path.last().cloned() {
        leaves.push((tokens[at - 1].line, path, last));
    }
    // `use<'a>` of a return type is no import: never stand still.
    if at < tokens.len() && !["}", ","].contains(&tokens[at].text.as_str()) { at + 1 } else { at }
}

fn inline_path(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let mut path = vec![tokens[at].text.clone()];
    while tokens.get(at + 1).is_some_and(|token| token.text == "::")
        && tokens.get(at + 2).is_some_and(Token::is_name)
    {
        path.push(tokens[at + 2].text.clone());
        at += 2;
    }
    (path, at + 1)
}

fn resolve(line: usize, path: &[String], home: &[String], import: bool) -> Option<Named> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let (ours, path) = match path[0].as_str() {
        "crate" | "mailferry" => (true, path[1..].to_vec()),
        "super" if supers >= home.len() => (true, path[supers..].to_vec()),
        "super" | "self" => return None,
        _ => (false, path.to_vec()),
    };
    (!path.is_empty()).then_some(Named { line, path, ours, import })
}

struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_') && self.text != "as"
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = match name {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                name => name,
            };
            tokens.push(Token { line: number + 1, text: rest[..length].to_owned() });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Tests stand last in a file and may use what they like.
fn product_code(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |tests| &text[..tests])
}

/// Blanks comments, strings and characters out; every line keeps its number.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match opaque_length(rest, code.chars().last()) {
            Some(length) => {
                code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                length
            }
            None => {
                code.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// The length in bytes of the comment, string or character that starts here, if one does.
fn opaque_length(rest: &str, before: Option<char>) -> Option<usize> {
    let to_end_of =
        |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(to_end_of("*/", 2));
    }
    if let Some(string) = rest.strip_prefix('"') {
        return Some(1 + quoted_length(string, '"'));
    }
    if rest.starts_with('r') && !before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') {
        let hashes = rest[1..].find(|c| c != '#').unwrap_or(0);
        return rest[1 + hashes..].starts_with('"').then(|| {
            let end = format!("\"{}", "#".repeat(hashes));
            to_end_of(&end, hashes + 2)
        });
    }
    let character = rest.strip_prefix('\'')?;
    // A quote opens a character or a lifetime: only a character is closed after one, or is escaped.
    let closed = character.starts_with('\\') || character.chars().nth(1) == Some('\'');
    closed.then(|| 1 + quoted_length(character, '\''))
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}
