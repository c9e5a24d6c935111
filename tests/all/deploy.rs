//! What stands in deploy/ is tried as far as it can be without a service manager or a container engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mailferry::config::{self, Kind};
use mailferry::destination::webhook::Format;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy(name)).unwrap()
}

/// None only where systemd is unknown; where apt could install it, a missing tool is a failure.
fn systemd_analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Ok(output) => Some(output),
        Err(_) if !Path::new("/usr/bin/apt-get").exists() => {
            eprintln!("skipped: there is no systemd on this system");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}; tests/run installs it"),
    }
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The threshold is in tenths: an exposure above 1.5 fails.
const SECURITY: [&str; 4] = ["security", "--offline=true", "--threshold=15", "--no-pager"];

#[test]
fn unit_exposes_little() {
    if let Some(output) = systemd_analyze(&SECURITY, &deploy("mailferry.service")) {
        assert!(output.status.success(), "{}", printed(&output));
    }
}

/// The threshold is one that can fail: the same unit with a single protection less is above it.
#[test]
fn unit_with_less_protection_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let weaker = folder.path().join("mailferry.service");
    fs::write(&weaker, read("mailferry.service").replace("CapabilityBoundingSet=\n", "")).unwrap();
    if let Some(output) = systemd_analyze(&SECURITY, &weaker) {
        assert!(!output.status.success(), "{}", printed(&output));
    }
}

/// A key that systemd does not know is only a warning there, and a protection that does not protect.
#[test]
fn unit_has_no_key_unknown_to_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("mailferry.service");
    let installed =
        read("mailferry.service").replace("/usr/local/bin/mailferry", env!("CARGO_BIN_EXE_mailferry"));
    fs::write(&unit, installed).unwrap();
    if let Some(output) = systemd_analyze(&["verify"], &unit) {
        let printed = printed(&output);
        let about_unit: Vec<_> = printed.lines().filter(|line| line.contains("mailferry")).collect();
        assert!(output.status.success() && about_unit.is_empty(), "{printed}");
    }
}

#[test]
fn unit_says_why_for_each_group_of_keys() {
    let unit = read("mailferry.service");
    let service = unit.split("[Service]\n").nth(1).unwrap().split("[Install]").next().unwrap();
    for paragraph in service.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        assert!(paragraph.trim_start().starts_with("# "), "no reason given for: {paragraph}");
    }
    for key in [
        "DynamicUser=yes",
        "StateDirectory=mailferry mailferry/accounts",
        "ConfigurationDirectory=mailferry",
        "Type=notify",
    ] {
        assert!(service.lines().any(|line| line == key), "{key}");
    }
    assert!(service.contains("\nExecReload=kill -HUP $MAINPID\n") && service.contains("\nWatchdogSec="));
}

#[test]
fn image_is_built_from_what_exists_and_does_not_run_as_root() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = read("Dockerfile.dockerignore");
    let let_in: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &let_in {
        assert!(root.join(path).exists(), "{path} is let into the image but does not exist");
    }
    for path in ["Cargo.toml", "Cargo.lock", "askama.toml", "build.rs", "src", "migrations"] {
        assert!(let_in.contains(&path), "the build reads {path}, which is not let into the image");
    }

    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    let user = last_stage.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    let (uid, _gid) = user.split_once(':').unwrap();
    assert!(uid.parse::<u32>().unwrap() >= 10_000, "{user}");
    assert!(last_stage.contains(&format!("--chown={user} /state /var/lib/mailferry")), "the ledger's owner");
    assert!(!dockerfile.contains("curl"), "nothing is downloaded past the package managers");
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "built with Rust {version}");
}

#[test]
fn compose_runs_it_without_rights_and_keeps_the_ledger() {
    let compose = read("compose.yaml");
    for line in
        ["read_only: true", "cap_drop: [ALL]", "- ledger:/var/lib/mailferry", "dockerfile: deploy/Dockerfile"]
    {
        assert!(compose.lines().any(|there| there.trim() == line), "{line}");
    }
    assert!(compose.contains("no-new-privileges:true"));
    assert!(compose.contains("\nvolumes:\n  ledger:\n"), "the volume outlives the container");
}

/// Elsewhere the file system is read-only, and `accounts_dir` names a folder that must be there.
#[test]
fn accounts_can_be_saved_where_the_ledger_is() {
    let place = "accounts_dir = \"/var/lib/mailferry/accounts\"";
    for file in ["mailferry.service", "compose.yaml"] {
        assert!(read(file).contains(place), "{file}");
    }
    assert!(read("Dockerfile").contains("install -d -m 0700 /state /state/accounts\n"));
}

// The pages of the webhook formats.

/// The blocks of TOML in a page.
fn configs(page: &str) -> Vec<String> {
    let blocks = page.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_format_has_a_page_with_a_config_that_works() {
    let index = read("webhooks/README.md");
    for format in Format::all() {
        let page = read(&format!("webhooks/{}.md", format.name));
        assert!(page.starts_with(&format!("# {}\n", format.name)));
        let row = index.lines().find(|line| line.starts_with(&format!("| [`{}`]", format.name))).unwrap();
        assert!(row.ends_with(&format!("| {} MiB |", format.max_bytes >> 20)), "{row}");
        let configs = configs(&page);
        assert!(!configs.is_empty(), "{}", format.name);
        for config in configs {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("mailferry.toml");
            let names =
                config.lines().filter_map(|line| line.strip_prefix("[destination.")?.strip_suffix("]"));
            let routes: Vec<String> = names.map(|name| format!("{{ to = \"{name}\" }}")).collect();
            let account = format!(
                "\n[account.work]\nhost = \"pop.example.com\"\nuser = \"me\"\npassword = {{ env = \"P\" }}\n\
                 deliver = [{}]\n",
                routes.join(", ")
            );
            fs::write(&file, config + &account).unwrap();
            let read = config::load_without_secrets(&file).await.unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!((read.destinations.len(), read.broken.len()), (routes.len(), 0));
            let is_it = |hook: &config::Destination| {
                let Kind::Webhook(settings) = hook.kind.as_ref().unwrap() else { return false };
                settings.format.name == format.name
            };
            assert!(read.destinations.iter().all(is_it), "{}", format.name);
        }
    }
}

/// Links within the repository lead somewhere.
#[test]
fn no_page_links_to_what_is_not_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(deploy("webhooks")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|end| end == "md"));
    for page in pages.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let is_ours = !link.is_empty() && !link.contains("://");
            assert!(!is_ours || page.parent().unwrap().join(link).exists(), "{}: {link}", page.display());
        }
    }
}
