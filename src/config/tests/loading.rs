//! Whole loads: files, drop-ins, secrets.

use super::*;

fn password(login: &Login) -> &str {
    match login {
        Login::Password(password) => password.expose_secret(),
        Login::OAuth(sign_in) => panic!("{sign_in:?}"),
    }
}

/// A folder with a config, and an environment.
struct Home {
    folder: TempDir,
    env: Vec<(&'static str, OsString)>,
}

const MAIN: &str = r#"
accounts_dir = "accounts.d"

[destination.home]
kind = "imap"
host = "imap.example.org"
user = "me@example.org"
password = { file = "secrets/home" }

[account.work]
host = "pop.example.com"
user = "me@example.com"
password = { env = "WORK" }
deliver = [{ to = "home", folder = "Work" }]
"#;

const DROP_IN: &str = r#"
host = "pop.example.net"
user = "anna@example.net"
password = { file = "secrets/home" }
every = "30s"
deliver = [{ to = "home" }]
"#;

impl Home {
    fn new(main: &str) -> Home {
        let home = Home { folder: TempDir::new().unwrap(), env: vec![("WORK", "work-secret".into())] };
        home.write("mailferry.toml", main, 0o600);
        fs::create_dir(home.path("secrets")).unwrap();
        fs::create_dir(home.path("accounts.d")).unwrap();
        home.write("secrets/home", "home-secret\n", 0o600);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    async fn load(&self) -> Result<Config, Faults> {
        self.load_with(Secrets::Fetch).await
    }

    async fn load_with(&self, secrets: Secrets) -> Result<Config, Faults> {
        let env = |name: &str| {
            let found = self.env.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.clone())
        };
        load_in(&self.path("mailferry.toml"), &env, secrets).await
    }

    /// The outcome of fetching the password of the account `work`, written as `source`.
    async fn fetch(&self, source: &str) -> Result<String, String> {
        let source = MAIN.replace(r#"{ env = "WORK" }"#, source);
        self.write("mailferry.toml", &source, 0o600);
        let config = self.load().await.map_err(|faults| faults.to_string())?;
        match config.broken.first() {
            Some(broken) => Err(broken.reason.clone()),
            None => Ok(password(&config.accounts[0].pop3.login).to_owned()),
        }
    }
}

#[tokio::test]
async fn a_config_is_loaded_with_its_drop_ins_and_secrets() {
    let home = Home::new(MAIN);
    home.write("accounts.d/anna.toml", DROP_IN, 0o644);
    home.write("accounts.d/anna.toml~", "a backup of an editor", 0o644);
    home.write("accounts.d/.anna.toml", "a swap file", 0o644);
    let config = home.load().await.unwrap();
    assert_eq!(config.broken, []);
    assert_eq!(config.warnings, [] as [&str; 0]);
    assert_eq!(config.ledger, home.path("mailferry.db"));
    let [work, anna] = &config.accounts[..] else { panic!("{:?}", config.accounts) };
    assert_eq!((work.name.as_str(), work.poll.routes[0].folder.as_str()), ("work", "Work"));
    assert_eq!(password(&work.pop3.login), "work-secret");
    assert!(matches!(work.schedule, Schedule::Auto));
    assert_eq!((work.poll.leave_copy, work.poll.import), (LeaveCopy::Forever, Import::All));
    assert_eq!((work.pop3.peer.port, work.pop3.peer.tls), (995, Tls::Implicit));
    assert_eq!((anna.name.as_str(), anna.poll.routes[0].folder.as_str()), ("anna", "INBOX"));
    assert_eq!(password(&anna.pop3.login), "home-secret");
    assert!(matches!(anna.schedule, Schedule::Every(every) if every == Duration::from_secs(30)));
    let Ok(Kind::Imap(settings)) = &config.destinations[0].kind else { panic!() };
    assert_eq!(password(&settings.login), "home-secret");
    let debug = format!("{config:?}");
    assert!(!debug.contains("-secret"), "{debug}");
}

#[tokio::test]
async fn a_faulty_drop_in_stops_its_account_alone() {
    let home = Home::new(MAIN);
    home.write("accounts.d/anna.toml", DROP_IN, 0o600);
    home.write("accounts.d/bert.toml", "host = \"pop.example.net\"\nevrey = \"5m\"", 0o600);
    home.write("accounts.d/carl.toml", "host = ", 0o600);
    home.write("accounts.d/dora.toml", &DROP_IN.replace("\"home\" }]", "\"hoem\" }]"), 0o600);
    home.write("accounts.d/work.toml", DROP_IN, 0o600);
    fs::write(home.path("accounts.d/eve.toml"), b"user = \"\xff\"").unwrap();
    home.write("accounts.d/not a name.toml", DROP_IN, 0o600);
    let config = home.load().await.unwrap();
    let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["work", "anna"]);
    assert_eq!(config.accounts[0].pop3.user, "me@example.com", "the main file's account stays");
    let broken: Vec<(&str, &str)> =
        config.broken.iter().map(|broken| (broken.name.as_str(), broken.reason.as_str())).collect();
    let [bert, carl, dora, eve, work] = &broken[..] else { panic!("{broken:?}") };
    assert!(bert.1.contains("bert.toml:2: evrey: is not a key; did you mean `every`?"), "{bert:?}");
    assert!(bert.1.contains("user: is missing"), "all its faults: {bert:?}");
    assert!(carl.1.contains("carl.toml:1: is not TOML"), "{carl:?}");
    assert!(
        dora.1.contains("dora.toml:6: deliver.to: \"hoem\" names no destination; did you mean `home`?"),
        "{dora:?}"
    );
    assert!(eve.1.contains("is not UTF-8 text in line 1"), "{eve:?}");
    assert!(
        work.1.contains("the account work is in ") && work.1.contains("mailferry.toml:10 already"),
        "{work:?}"
    );
    assert!(config.warnings[0].contains("not a name.toml: is left out"), "{:?}", config.warnings);
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_costs_only_what_it_is_for() {
    let mut home = Home::new(MAIN);
    home.write("accounts.d/anna.toml", &DROP_IN.replace("secrets/home", "secrets/anna"), 0o600);
    home.write("secrets/anna", "anna-secret", 0o600);
    home.env.clear();
    fs::remove_file(home.path("secrets/home")).unwrap();
    let config = home.load().await.unwrap();
    assert_eq!(config.accounts.len(), 1);
    assert_eq!(config.accounts[0].name.as_str(), "anna");
    assert_eq!(config.broken[0].name.as_str(), "work");
    let main = home.path("mailferry.toml");
    let expected =
        format!("{}:13: account.work.password: the environment variable $WORK is not set", main.display());
    assert_eq!(config.broken[0].reason, expected);
    assert_eq!(config.destinations[0].word, "imap");
    let reason = config.destinations[0].kind.as_ref().unwrap_err();
    assert!(
        reason.contains("destination.home.password:")
            && reason.ends_with(
                "secrets/home does not exist; write the secret there, for its owner's eyes only (chmod 600)"
            ),
        "{reason}"
    );
}

#[tokio::test]
async fn a_ca_file_that_is_none_costs_only_what_it_is_for() {
    let ca_file = |table: &str| MAIN.replace(table, &format!("{table}\nca_file = \"ca.pem\""));
    let home = Home::new(&ca_file("[account.work]"));
    home.write("accounts.d/anna.toml", DROP_IN, 0o600);
    let place = format!("{}:11: account.work.ca_file: ", home.path("mailferry.toml").display());
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, complaint) in [
        (
            None,
            "ca.pem does not exist; put the authority's certificate there in PEM form, or take the key out",
        ),
        (Some(""), "ca.pem holds no certificate in PEM form; put"),
        (Some(damaged), "ca.pem holds a certificate that is damaged"),
    ] {
        if let Some(text) = text {
            home.write("ca.pem", text, 0o644);
        }
        let config = home.load().await.unwrap();
        let [broken] = &config.broken[..] else { panic!("{:?}", config.broken) };
        assert!(broken.reason.starts_with(&place) && broken.reason.contains(complaint), "{broken:?}");
        assert_eq!(config.accounts[0].name.as_str(), "anna");
    }
    home.write("mailferry.toml", &ca_file("[destination.home]"), 0o600);
    let config = home.load().await.unwrap();
    assert_eq!(config.broken, []);
    let reason = config.destinations[0].kind.as_ref().unwrap_err();
    assert!(reason.contains("destination.home.ca_file: "), "{reason}");
}

#[tokio::test]
async fn what_stops_the_start_says_so() {
    let home = Home::new(MAIN);
    fs::remove_dir(home.path("accounts.d")).unwrap();
    let faults = home.load().await.unwrap_err();
    assert_eq!(faults.0.len(), 1);
    assert!(faults.to_string().contains(":2: accounts_dir: "), "{faults}");
    assert!(
        faults.to_string().ends_with("accounts.d does not exist; make that folder, or take the key out"),
        "{faults}"
    );
    fs::remove_file(home.path("mailferry.toml")).unwrap();
    let faults = home.load().await.unwrap_err();
    assert!(
        faults
            .to_string()
            .ends_with("mailferry.toml: does not exist; write it there, or name another with -c FILE"),
        "{faults}"
    );
    fs::create_dir(home.path("mailferry.toml")).unwrap();
    let faults = home.load().await.unwrap_err();
    assert!(faults.to_string().ends_with("mailferry.toml: is not a regular file"), "{faults}");
}

#[tokio::test]
async fn what_is_unwise_is_a_warning() {
    let twin = MAIN.replace("accounts_dir = \"accounts.d\"", "")
        + "[account.twin]\nhost = \"pop.example.com\"\nuser = \"me@example.com\"\npassword = { env = \"WORK\" }\n\
           tls = \"none\"\nport = 995\nallow_plaintext = true\ndeliver = [{ to = \"home\" }]\n";
    let config = Home::new(&twin).load().await.unwrap();
    assert_eq!(config.accounts.len(), 2);
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(
        config.warnings[0].contains("account.twin.tls: secrets and mail go to pop.example.com unencrypted")
    );
    assert!(config.warnings[1].contains("poll the same mailbox"), "{:?}", config.warnings);
    let empty = Home::new("").load().await.unwrap();
    assert!(empty.warnings[0].contains("there is no account"), "{:?}", empty.warnings);
}

// Secrets.

#[tokio::test]
async fn an_inline_secret_must_be_for_no_other_eyes() {
    let main = MAIN.replace(r#"{ env = "WORK" }"#, "\"hunter2\"");
    let home = Home::new(&main);
    assert_eq!(password(&home.load().await.unwrap().accounts[0].pop3.login), "hunter2");
    for mode in [0o644, 0o640, 0o604] {
        home.write("mailferry.toml", &main, mode);
        let faults = home.load().await.unwrap_err().to_string();
        let expected = format!(
            "account.work.password: is a secret in a file that is open to other users (mode {mode:04o}); run `chmod 600 "
        );
        assert!(faults.contains(&expected), "{faults}");
        assert!(!faults.contains("hunter2"), "{faults}");
    }
    home.write("mailferry.toml", MAIN, 0o644);
    home.write("accounts.d/anna.toml", &DROP_IN.replace("{ file = \"secrets/home\" }", "\"hunter2\""), 0o644);
    let config = home.load().await.unwrap();
    assert_eq!(config.accounts.len(), 1);
    assert!(config.broken[0].reason.contains("open to other users"), "{:?}", config.broken);
}

#[test]
fn a_login_in_a_url_is_a_secret_too() {
    let text = REFERENCE.replace("https://app", "https://me:hunter2@app");
    let read = |exposed| {
        let document = Document::new(Path::new("mailferry.toml"), &text, Path::new("/"), exposed);
        raw::config(&document, &Ok(Tz::UTC)).map_err(|faults| Faults(faults).to_string())
    };
    read(None).unwrap();
    let complaint = read(Some(0o644)).unwrap_err();
    assert!(complaint.contains("destination.app.url: is a secret in a file that is open"), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
}

#[tokio::test]
async fn a_secret_file_must_be_for_no_other_eyes() {
    let mut home = Home::new(MAIN);
    let source = "{ file = \"secrets/work\" }";
    home.write("secrets/work", "work-secret\r\n", 0o600);
    assert_eq!(home.fetch(source).await.unwrap(), "work-secret");
    home.write("secrets/work", "work-secret", 0o640);
    let refusal = home.fetch(source).await.unwrap_err();
    assert!(
        refusal.contains("secrets/work is open to other users (mode 0640); run `chmod 600 "),
        "{refusal}"
    );
    // A link does not hide what it points to, neither into the folder of credentials nor out of it.
    fs::create_dir(home.path("credentials")).unwrap();
    home.env.push(("CREDENTIALS_DIRECTORY", home.path("credentials").into()));
    symlink(home.path("secrets/work"), home.path("credentials/work")).unwrap();
    let refusal = home.fetch("{ credential = \"work\" }").await.unwrap_err();
    assert!(refusal.contains("open to other users"), "{refusal}");
    home.write("credentials/kept", "kept-secret", 0o444);
    assert_eq!(home.fetch("{ credential = \"kept\" }").await.unwrap(), "kept-secret");
    symlink(home.path("credentials/kept"), home.path("secrets/link")).unwrap();
    assert_eq!(home.fetch("{ file = \"secrets/link\" }").await.unwrap(), "kept-secret");
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused() {
    let home = Home::new(MAIN);
    let source = "{ file = \"secrets/work\" }";
    for (text, complaint) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("one\ntwo\n", "has more than one line"),
        ("pass\u{0}word", "holds a control character"),
        (&"x".repeat(16385), "is larger than 16384 bytes"),
    ] {
        home.write("secrets/work", text, 0o600);
        let refusal = home.fetch(source).await.unwrap_err();
        assert!(refusal.contains(complaint), "{refusal}");
        assert!(!refusal.contains("one\n") && !refusal.contains("word "), "{refusal}");
    }
    fs::remove_file(home.path("secrets/work")).unwrap();
    let made = std::process::Command::new("mkfifo").arg("-m600").arg(home.path("secrets/work")).status();
    assert!(made.unwrap().success());
    let refusal = home.fetch(source).await.unwrap_err();
    assert!(refusal.ends_with("is not a regular file"), "a FIFO must not be waited for: {refusal}");
    let refusal = home.fetch("{ credential = \"work\" }").await.unwrap_err();
    assert!(refusal.contains("there is no $CREDENTIALS_DIRECTORY; put LoadCredential=work:"), "{refusal}");
}

#[tokio::test]
async fn a_command_prints_a_secret_in_its_first_line() {
    let home = Home::new(MAIN);
    home.write("secret.sh", "#!/bin/sh\nprintf '%s\\nlogin: me\\n' \"$1\"", 0o700);
    let secret = home.fetch(r#"{ command = ["./secret.sh", "a b; $HOME"] }"#).await.unwrap();
    assert_eq!(secret, "a b; $HOME", "no shell may touch it");
    let refusals = [
        (
            r#"["sh", "-c", "echo hunter2; echo no such entry >&2; exit 3"]"#,
            "failed (exit status: 3): no such entry",
        ),
        (r#"["sh", "-c", "printf '\\33[31mred' >&2; exit 1"]"#, "\\x1B[31mred"),
        (r#"["sh", "-c", "head -c 20000 /dev/zero"]"#, "printed more than 16384 bytes"),
        (r#"["sh", "-c", "yes hunter2"]"#, "printed more than 16384 bytes"),
        (r#"["true"]"#, "printed what is empty"),
        (r#"["./absent.sh"]"#, "the command \"./absent.sh\" cannot be started"),
    ];
    for (command, complaint) in refusals {
        let refusal = home.fetch(&format!("{{ command = {command} }}")).await.unwrap_err();
        assert!(refusal.contains(complaint), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}

#[tokio::test]
async fn who_logs_in_nowhere_asks_for_no_secret() {
    let asked = r#"{ command = ["sh", "-c", "touch asked; echo secret"] }"#;
    let hook = "[destination.app]\nkind = \"webhook\"\nurl = \"https://app.example.org/\"\nsecret = { env = \"ABSENT\" }\n";
    let home = Home::new(&(MAIN.replace(r#"{ env = "WORK" }"#, asked) + hook));
    fs::remove_file(home.path("secrets/home")).unwrap();
    let config = home.load_with(Secrets::Leave).await.unwrap();
    assert_eq!(config.broken, []);
    assert_eq!(config.accounts.len(), 1);
    assert!(config.destinations.iter().all(|destination| destination.kind.is_ok()), "{config:?}");
    assert!(!home.path("asked").exists());
    home.load().await.unwrap();
    assert!(home.path("asked").exists());
}

#[tokio::test]
async fn a_webhook_may_have_several_secrets() {
    let hook = "[destination.app]\nkind = \"webhook\"\nurl = \"https://app.example.org/\"\n\
                secret = [{ env = \"WORK\" }, { file = \"secrets/home\" }]\n";
    let config = Home::new(hook).load().await.unwrap();
    let Ok(Kind::Webhook(settings)) = &config.destinations[0].kind else { panic!() };
    let secrets: Vec<&str> = settings.secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["work-secret", "home-secret"]);
    let config = Home::new(&hook.replace("WORK", "ABSENT")).load().await.unwrap();
    assert!(
        config.destinations[0].kind.as_ref().unwrap_err().contains("$ABSENT"),
        "half of them will not do"
    );
    let mut home = Home::new(hook);
    home.env[0].1 = "whsec_zz!!".into();
    let config = home.load().await.unwrap();
    let reason = config.destinations[0].kind.as_ref().unwrap_err();
    assert!(reason.contains(":4: destination.app.secret: ") && reason.contains("is not base64"), "{reason}");
    assert!(!reason.contains("zz!!"), "{reason}");
}
