mod loading;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::account::{Around, RawAccount};
use super::destination::RawKind;
use super::draft::{HomeDraft, LoginKey, PeerDraft, Place};
use super::fault::nearest;
use super::load::{Secrets, load_in};
use super::oauth::Service;
use super::raw::{self, RawConfig};
use super::section::Document;
use super::surroundings::{find_in, local_zone};
use super::{Config, Fault, Faults, Kind, keys};
use crate::auth::{Holder, Login};
use crate::message::{AccountName, DestinationName, Import, LeaveCopy, Quirks};
use crate::net::Tls;
use crate::schedule::Schedule;

const REFERENCE: &str = include_str!("../../config/mailferry.toml");

fn parse(file: &str, text: &str) -> Result<RawConfig, Vec<Fault>> {
    raw::config(&Document::new(Path::new(file), text, Path::new("/etc/mailferry"), None), &Ok(Tz::UTC))
}

fn files_in(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

// Scenario files: each says in its first lines, after `#!`, what is to be complained about, and nothing else may be.

#[test]
fn every_bad_config_gets_the_complaint_it_deserves() {
    let files = files_in("tests/bad-configs");
    assert!(files.len() >= 60, "only {} files", files.len());
    for (name, text) in files {
        let expected: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#! "))
            .map(|complaint| format!("{name}:{complaint}"))
            .collect();
        let faults = parse(&name, &text).expect_err(&name);
        assert!(!expected.is_empty(), "{name} expects nothing; it gets\n{}", Faults(faults));
        assert_eq!(Faults(faults).to_string(), expected.join("\n"));
        assert!(!expected.concat().contains("hunter2"), "{name} shows a secret");
    }
}

// What is known of the provider.

#[test]
fn the_quirks_of_a_provider_come_with_its_host() {
    let account = |rest: &str| {
        let text = format!(
            "[destination.home]\nkind = \"imap\"\nhost = \"imap.example.org\"\nuser = \"me\"\n\
             password = {{ env = \"HOME\" }}\n[account.old]\nuser = \"me\"\npassword = {{ env = \"OLD\" }}\n\
             deliver = [{{ to = \"home\" }}]\n{rest}"
        );
        let config = parse("mailferry.toml", &text).unwrap_or_else(|faults| panic!("{}", Faults(faults)));
        (config.accounts[0].quirks, config.warnings)
    };
    let quarter = Some(Duration::from_secs(15 * 60));
    let (quirks, warnings) = account("host = \"pop3.web.de\"\nevery = \"5m\"\n");
    assert_eq!(quirks.login_delay, quarter);
    assert_eq!(
        warnings,
        [
            "mailferry.toml:11: account.old.every: WEB.DE lets nobody log in more often than every 15 minutes, \
          and is polled that often"
        ]
    );
    for unhurried in ["every = \"15m\"\n", "every = \"auto\"\n", "", "cron = \"0 * * * *\"\n"] {
        let (quirks, warnings) = account(&format!("host = \"POP3.WEB.DE\"\n{unhurried}"));
        assert_eq!((quirks.login_delay, warnings), (quarter, Vec::new()), "{unhurried}");
    }
    let (quirks, warnings) = account("host = \"pop.gmail.com\"\nleave_copy = \"14d\"\n");
    assert!(quirks.hides_retrieved);
    assert!(warnings[0].contains("account.old.leave_copy: Gmail shows a message"), "{warnings:?}");
    for kept in ["leave_copy = false\n", "leave_copy = true\n"] {
        let (_, warnings) = account(&format!("host = \"pop.gmail.com\"\n{kept}"));
        assert_eq!(warnings, [] as [&str; 0], "{kept}");
    }
    let (_, warnings) = account("host = \"pop.gmail.com\"\nleave_copy = false\nimport = \"new\"\n");
    assert!(warnings[0].contains("account.old.import: Gmail shows a message"), "{warnings:?}");
    let (_, warnings) = account("host = \"pop.yandex.com\"\nleave_copy = false\n");
    assert!(warnings[0].contains("account.old.leave_copy: Yandex Mail is known to keep"), "{warnings:?}");
    assert_eq!(account("host = \"pop.example.com\"\nevery = \"5s\"\n"), (Quirks::default(), Vec::new()));
}

#[test]
fn a_day_at_gmail_has_400_mb_unless_the_config_says_otherwise() {
    let budget = |rest: &str| {
        let text = format!(
            "[destination.home]\nkind = \"imap\"\nuser = \"me\"\npassword = {{ env = \"HOME\" }}\n{rest}"
        );
        let config = parse("mailferry.toml", &text).unwrap_or_else(|faults| panic!("{}", Faults(faults)));
        let RawKind::Imap(imap) = &config.destinations[0].kind else { panic!() };
        imap.daily_budget
    };
    assert_eq!(budget("host = \"imap.gmail.com\"\n"), Some(400_000_000));
    assert_eq!(budget("host = \"imap.gmail.com\"\ndaily_budget = \"1 MB\"\n"), Some(1_000_000));
    assert_eq!(budget("host = \"imap.example.org\"\n"), None);
}

/// As Microsoft's and Google's own documentation has it: one wrong letter, and nobody is let in.
#[test]
fn an_identity_provider_is_known_by_its_word() {
    let settings = |provider: &str, service: Service| {
        let text =
            format!("[oauth.test]\nclient_id = \"app\"\nclient_secret = {{ env = \"X\" }}\n{provider}");
        let config = parse("mailferry.toml", &text).unwrap_or_else(|faults| panic!("{}", Faults(faults)));
        let login = config.oauth[0].login(service, Holder::account("work"), "me@example.org", None);
        let Login::OAuth(sign_in) = login else { panic!() };
        sign_in.settings.clone()
    };
    for (tenant, part) in [("", "common"), ("tenant = \"contoso.example\"\n", "contoso.example")] {
        let microsoft = format!("provider = \"microsoft\"\n{tenant}");
        let pop3 = settings(&microsoft, Service::Pop3);
        let at = format!("https://login.microsoftonline.com/{part}/oauth2/v2.0");
        assert_eq!(pop3.authorize_url, format!("{at}/authorize"));
        assert_eq!(pop3.token_url, format!("{at}/token"));
        assert_eq!(pop3.device_url, Some(format!("{at}/devicecode")));
        assert_eq!(pop3.scopes, ["https://outlook.office.com/POP.AccessAsUser.All", "offline_access"]);
        let imap = settings(&microsoft, Service::Imap);
        assert_eq!(imap.scopes, ["https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"]);
    }
    for (service, scopes) in [
        (Service::Pop3, &["https://mail.google.com/"][..]),
        (Service::Imap, &["https://mail.google.com/"]),
        (
            Service::Gmail,
            &["https://www.googleapis.com/auth/gmail.insert", "https://www.googleapis.com/auth/gmail.labels"],
        ),
    ] {
        let google = settings("provider = \"google\"\n", service);
        assert_eq!(google.authorize_url, "https://accounts.google.com/o/oauth2/v2/auth");
        assert_eq!(google.token_url, "https://oauth2.googleapis.com/token");
        assert_eq!(google.device_url, None);
        assert_eq!(google.scopes, scopes);
        let parameters = [("access_type", "offline"), ("prompt", "consent")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(google.parameters, parameters);
    }
}

// The reference and the examples.

/// The reference with its optional keys uncommented: those that show their default, or all but `every`.
fn uncommented(with_examples: bool) -> String {
    let is_key = |rest: &str| {
        rest.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let uncomment = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if is_key(rest) && (with_examples || !rest.contains("# example")) => {
            if with_examples && rest.starts_with("every = ") { line } else { rest }
        }
        _ => line,
    };
    REFERENCE.lines().map(|line| format!("{}\n", uncomment(line))).collect()
}

/// The account of the reference that shows most.
fn work(config: &RawConfig) -> &RawAccount {
    config.accounts.iter().find(|account| account.name.as_str() == "work").unwrap()
}

#[test]
fn the_reference_shows_every_key() {
    // Not all can go together.
    let peer: Vec<&str> = keys::PEER.iter().copied().filter(|key| *key != "oauth").collect();
    let others = ["fields", "bearer"];
    let of_app = keys::WEBHOOK.iter().copied().filter(|key| !others.contains(key)).collect();
    let of_desk = ["kind", "url", "format", "secret", "max_bytes"].into_iter().chain(others).collect();
    let sections = [
        ("", keys::TOP[..3].to_vec()),
        ("[web]", keys::WEB.to_vec()),
        ("[log]", keys::LOG.to_vec()),
        ("[alerts]", keys::ALERTS.to_vec()),
        ("[lookup]", keys::LOOKUP.to_vec()),
        ("[oauth.microsoft]", keys::OAUTH.to_vec()),
        ("[oauth.google]", vec!["client_id", "client_secret"]),
        ("[destination.home]", [keys::IMAP, peer.as_slice()].concat()),
        ("[destination.app]", of_app),
        ("[destination.gmail]", keys::GMAIL.to_vec()),
        ("[destination.desk]", of_desk),
        ("[account.work]", [peer.as_slice(), keys::ACCOUNT].concat()),
        ("[account.hotmail]", vec!["host", "user", "oauth", "deliver"]),
    ];
    for (header, known) in sections {
        let from = REFERENCE.find(&format!("\n{header}")).unwrap() + 1 + header.len();
        let text = &REFERENCE[from..];
        let text = &text[..text.find("\n[").unwrap_or(text.len())];
        let shown: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| Some(line.trim_start_matches('#').split_once(" = ")?.0))
            .filter(|key| !key.contains(' '))
            .collect();
        assert_eq!(shown, known.into_iter().collect(), "in {header}");
    }
    for key in [keys::DELIVER, keys::SECRET].concat() {
        assert!(REFERENCE.contains(&format!("{key} = ")), "{key}");
    }
}

/// All that a file says, to be compared; the settings of a webhook do not show themselves.
fn shown(config: &RawConfig) -> String {
    let webhooks = config.destinations.iter().filter_map(|destination| match &destination.kind {
        RawKind::Webhook(raw) => Some(&raw.settings),
        RawKind::Imap(_) | RawKind::Gmail(_) => None,
    });
    let webhooks: Vec<_> = webhooks
        .map(|hook| {
            let limits = (hook.max_bytes, hook.max_in_flight, hook.connect_timeout, hook.timeout);
            let kind = (hook.format, hook.oversize, hook.follow_redirects, &hook.recipient_headers);
            (&hook.url, kind, limits, &hook.ca_file, hook.pin, hook.allow_plaintext)
        })
        .collect();
    format!("{config:#?}\n{webhooks:#?}")
}

#[test]
fn the_reference_shows_the_defaults() {
    let shipped = shown(&parse("mailferry.toml", REFERENCE).unwrap());
    assert_ne!(uncommented(false), REFERENCE);
    assert_eq!(shown(&parse("mailferry.toml", &uncommented(false)).unwrap()), shipped);
    let deliver =
        r#"deliver = [{ to = "home", folder = "INBOX", mark_read = false, junk = false }, { to = "app" }]"#;
    let spelt_out = REFERENCE.replace(r#"deliver = [{ to = "home" }, { to = "app" }]"#, deliver);
    assert_ne!(spelt_out, REFERENCE);
    assert_eq!(shown(&parse("mailferry.toml", &spelt_out).unwrap()), shipped);
    // The ports that go with the other kinds of TLS, which the comments promise.
    let plain = REFERENCE.replace("#tls = \"implicit\"", "tls = \"starttls\"");
    let plain = parse("mailferry.toml", &plain).unwrap();
    assert_eq!(work(&plain).peer.net.port, 110);
    assert!(format!("{:?}", plain.destinations).contains("port: 143"));
}

#[test]
fn the_examples_of_the_reference_are_right() {
    let config = parse("mailferry.toml", &uncommented(true)).map_err(Faults).unwrap();
    assert!(matches!(work(&config).schedule, Schedule::Cron { zone: Tz::Europe__Berlin, .. }));
    assert_eq!(config.accounts_dir.unwrap().path, Path::new("/etc/mailferry/accounts.d"));
}

#[test]
fn every_example_is_right() {
    let examples = files_in("config/examples");
    assert!(examples.len() >= 3);
    for (name, text) in examples {
        let config = parse(&name, &text).map_err(Faults).expect(&name);
        assert_eq!(config.warnings, [] as [&str; 0], "{name}");
        let drop_in: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("#   "))
            .map(|line| format!("{line}\n"))
            .collect();
        if config.accounts_dir.is_some() {
            let document = Document::new(Path::new("anna.toml"), &drop_in, Path::new("/etc"), None);
            let known: Vec<_> = config.destinations.iter().map(super::load::known).collect();
            let name = AccountName::new("anna").unwrap();
            let around = Around { known: &known, oauth: &config.oauth, zone: &Ok(Tz::UTC) };
            raw::drop_in(&document, &name, &around).map_err(Faults).unwrap();
        }
    }
}

// Surroundings and single values.

#[test]
fn a_config_is_found_where_it_is_said_to_be() {
    let folder = TempDir::new().unwrap();
    let user = folder.path().join("mailferry/mailferry.toml");
    let env = |name: &str| (name == "XDG_CONFIG_HOME").then(|| folder.path().into());
    let complaint = find_in(None, &env).unwrap_err();
    for place in ["mailferry.toml", user.to_str().unwrap(), "/etc/mailferry/mailferry.toml"] {
        assert!(complaint.contains(place), "{complaint}");
    }
    fs::create_dir(folder.path().join("mailferry")).unwrap();
    fs::write(&user, "").unwrap();
    assert_eq!(find_in(None, &env).unwrap(), user);
    let named = |name: &str| (name == "MAILFERRY_CONFIG").then(|| "/absent/a.toml".into());
    assert_eq!(find_in(None, &named).unwrap(), Path::new("/absent/a.toml"), "what is named is not replaced");
    assert_eq!(find_in(Some("b.toml".into()), &named).unwrap(), Path::new("b.toml"));
}

#[test]
fn the_time_zone_is_the_one_of_the_machine() {
    let zone = |tz: &'static str| local_zone(&move |name: &str| (name == "TZ").then(|| tz.into()));
    assert_eq!(zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
    assert_eq!(zone(":America/New_York"), Ok(Tz::America__New_York));
    assert_eq!(zone("/usr/share/zoneinfo/Asia/Tokyo"), Ok(Tz::Asia__Tokyo));
    assert_eq!(zone(""), Ok(Tz::UTC));
    assert_eq!(zone("CET-1CEST"), Err("$TZ is \"CET-1CEST\", which names no time zone".into()));
    local_zone(&|_| None).unwrap();
    // A zone that is not known matters only to a cron line that relies on it.
    let text = REFERENCE.replace("#every = \"auto\"", "cron = \"0 * * * *\"");
    let read = |text: &str| {
        let document = Document::new(Path::new("mailferry.toml"), text, Path::new("/"), None);
        raw::config(&document, &Err("$TZ is odd".into())).map_err(|faults| Faults(faults).to_string())
    };
    read(REFERENCE).unwrap();
    let complaint = read(&text).unwrap_err();
    assert!(
        complaint.contains("account.work.cron: needs a time zone: $TZ is odd; set time_zone = "),
        "{complaint}"
    );
}

/// The account of the reference with one line more.
fn work_with(line: &str) -> Result<RawAccount, String> {
    let text = format!("{REFERENCE}\n{line}\n");
    let config = parse("mailferry.toml", &text).map_err(|faults| Faults(faults).to_string())?;
    Ok(config.accounts.into_iter().find(|account| account.name.as_str() == "work").unwrap())
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    for (written, seconds) in
        [("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h 30m", 5400), ("14d", 1_209_600), ("2w", 1_209_600)]
    {
        let account = work_with(&format!("leave_copy = {written:?}")).unwrap();
        assert_eq!(account.poll.leave_copy, LeaveCopy::For(Duration::from_secs(seconds)), "{written}");
    }
    assert_eq!(work_with("leave_copy = false").unwrap().poll.leave_copy, LeaveCopy::For(Duration::ZERO));
    for (written, octets) in [
        ("\"25 MiB\"", 25 << 20),
        ("\"150M\"", 150 << 20),
        ("\"1 GB\"", 1_000_000_000),
        ("4096", 4096),
        ("0x1000", 4096),
    ] {
        assert_eq!(work_with(&format!("max_size = {written}")).unwrap().max_size, octets, "{written}");
    }
    for written in ["", "m", "5", "5x", "-5m", "5m5m", "1.5h", "5\u{a0}m", "18446744073709551615w"] {
        assert!(work_with(&format!("every = {written:?}")).is_err(), "{written}");
    }
}

#[test]
fn peers_are_read_as_people_write_them() {
    let host = |host: &str| {
        let text = REFERENCE.replace("pop.example.com", host);
        parse("mailferry.toml", &text).map(|config| work(&config).peer.net.host.clone())
    };
    assert_eq!(host("[::1]").unwrap(), "::1");
    assert_eq!(host("::1").unwrap(), "::1");
    assert_eq!(host("192.0.2.1").unwrap(), "192.0.2.1");
    assert_eq!(host("m\u{fc}ller.example").unwrap(), "m\u{fc}ller.example");
    assert!(host("pop example.com").is_err());
    let colons = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    let pinned = work_with(&format!("pin = \"sha256:{colons}\"")).unwrap().peer.net.pin.unwrap();
    assert_eq!(pinned.0.to_vec(), (0..32).collect::<Vec<u8>>());
    let loopback = REFERENCE
        .replace("pop.example.com", "127.0.0.1")
        .replace("https://app.example.org", "http://[::1]:8080");
    let config = parse("mailferry.toml", &(loopback + "\ntls = \"none\"\n")).map_err(Faults).unwrap();
    assert_eq!(work(&config).peer.net.port, 110);
    assert_eq!(config.warnings, [] as [&str; 0], "nobody else can listen on loopback");
    for url in [
        "http://localhost@evil.example/",
        "http://127.0.0.1.example.org/",
        "http://localhost.example.org/",
        "http://evil.example/?http://localhost/",
        "ftp://localhost/",
        "https://",
        "https:///x",
    ] {
        assert!(
            parse("mailferry.toml", &REFERENCE.replace("https://app.example.org/inbound", url)).is_err(),
            "{url}"
        );
    }
}

#[test]
fn the_comments_of_what_opens_a_destination_stay_whatever_opens_it() {
    let text = |key: &str| {
        format!("[destination.home]\nkind = \"imap\"\nhost = \"h\"\nuser = \"u\"\n# Mine.\n{key} # Yes.\n")
    };
    let (by_password, by_oauth) = (text("password = { file = \"secrets/home\" }"), text("oauth = \"test\""));
    let peer = PeerDraft { host: "h".into(), port: 993, tls: Tls::Implicit, user: "u".into() };
    let home = HomeDraft { name: DestinationName::new("home").unwrap(), place: Place::Imap(peer) };
    let rewritten = |text: &str, key| home.rewrite(text, &home, Some(key)).unwrap();
    let (password, oauth) = (LoginKey::PasswordIn(Path::new("secrets/home")), LoginKey::OAuth("test"));
    assert_eq!(rewritten(&by_password, oauth), by_oauth);
    assert_eq!(rewritten(&by_oauth, password), by_password);
    let other = rewritten(&by_oauth, LoginKey::OAuth("other"));
    assert_eq!(other, by_oauth.replace("test", "other"));
}

#[test]
fn a_misspelling_is_told_from_another_word() {
    let keys = [keys::PEER, keys::ACCOUNT].concat();
    for (written, meant) in [
        ("evry", "every"),
        ("evrey", "every"),
        ("Host", "host"),
        ("leave-copy", "leave_copy"),
        ("passwort", "password"),
    ] {
        assert_eq!(nearest(written, &keys), Some(meant));
    }
    for written in ["colour", "smtp_relay", "", &"x".repeat(10_000)] {
        assert_eq!(nearest(written, &keys), None, "{written}");
    }
}

// Whatever the bytes, there is an answer and no panic.

/// Reads `text` as a main file and as a drop-in; a complaint must have a place within the text.
fn survive(text: &str) {
    let lines = text.split('\n').count();
    let name = AccountName::new("work").unwrap();
    let document = Document::new(Path::new("work.toml"), text, Path::new("/"), Some(0o644));
    let around = Around { known: &[], oauth: &[], zone: &Ok(Tz::UTC) };
    let drop_in = raw::drop_in(&document, &name, &around).err();
    for fault in parse("mailferry.toml", text).err().into_iter().chain(drop_in).flatten() {
        assert!(fault.line.is_some_and(|line| (1..=lines).contains(&line)), "{fault}");
        assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_mutilated_reference_is_survived(
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, ".{0,6}"), 1..12),
    ) {
        let mut text: Vec<char> = uncommented(false).chars().collect();
        for (at, cut, put) in mutations {
            let at = at.index(text.len());
            text.splice(at..(at + cut).min(text.len()), put.chars());
        }
        survive(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_value_is_survived(key in prop::sample::select([keys::PEER, keys::ACCOUNT].concat()), value in any_value()) {
        let lines = REFERENCE.lines().filter(|line| !line.starts_with(&format!("{key} = ")));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        survive(&format!("{text}{key} = {value}\n"));
    }
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| format!("{:?}", text.replace(char::is_control, ""))),
        "[0-9*/,@LW# -]{1,20}".prop_map(|text| format!("{text:?}")),
        "[0-9]{1,30}[wdhms]?([0-9]{1,3}[wdhms])?".prop_map(|text| format!("{text:?}")),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|flag| flag.to_string()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[[1], { to = 5 }, \"x\"]".to_owned()),
        Just("{ file = [1], env = 2 }".to_owned()),
        Just("{ command = [] }".to_owned()),
    ]
}
