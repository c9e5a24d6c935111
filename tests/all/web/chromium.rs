//! A real browser without a window, led by its labels and words as a person would be: Chromium through WebDriver
//! (W3C), of which so little is needed that a client of its own is smaller than a library's dependencies.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::client;

/// How an element is named in WebDriver's answers (W3C WebDriver, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Judges what a page is like for people who cannot see it, or not well.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/node/node_modules/axe-core/axe.min.js");

/// How long a page may take to say what it should.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys without a letter.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// Pages are looked at again so soon.
const AGAIN: Duration = Duration::from_millis(50);

/// A window. It closes when dropped.
pub struct Chromium {
    /// `http://127.0.0.1:PORT/session/ID`
    session: String,
    client: Client,
    driver: Child,
    browser: Option<Pid>,
    axe: String,
    _folder: TempDir,
}

impl Chromium {
    /// Opens a window so wide, in CSS pixels, and 900 high.
    pub async fn open(width: u32) -> Chromium {
        let axe = fs::read_to_string(AXE).expect("tests/run --only-install fetches axe-core");
        let folder = tempfile::Builder::new().prefix("chromium.").tempdir().unwrap();
        // Somebody else may take its port before it does, by IPv4 or by IPv6: then it starts with another.
        let started = (0..5).find_map(|_| start_driver());
        let (driver, port) = started.expect("a chromedriver that starts");
        let mut chromium = Chromium {
            session: format!("http://127.0.0.1:{port}/session"),
            client: client(),
            driver,
            browser: None,
            axe,
            _folder: folder,
        };
        chromium.begin(width).await;
        chromium
    }

    async fn begin(&mut self, width: u32) {
        let profile = format!("--user-data-dir={}", self._folder.path().display());
        let options = json!({
            "args": [
                profile, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update",
                "--disable-sync",
            ],
            // A window cannot be as narrow as a telephone.
            "mobileEmulation": {
                "deviceMetrics": { "width": width, "height": 900, "pixelRatio": 1.0, "touch": false, "mobile": false }
            },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let begun = self.ask(Method::POST, "", wanted).await.unwrap();
        let id = begun["sessionId"].as_str().unwrap();
        self.session = format!("{}/{id}", self.session);
        let pid = begun["capabilities"]["goog:processID"].as_i64().unwrap();
        self.browser = Pid::from_raw(i32::try_from(pid).unwrap());
    }

    /// The `value` of WebDriver's answer, or the error that it names.
    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let request = self.client.request(method.clone(), format!("{}{path}", self.session));
        let request = if method == Method::POST { request.body(body.to_string()) } else { request };
        let answer = request.send().await.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    pub async fn visit(&self, address: &str) {
        self.ask(Method::POST, "/url", json!({ "url": address })).await.unwrap();
    }

    /// Runs a script in the page, and returns what it returns.
    pub async fn script(&self, script: &str, arguments: Value) -> Value {
        self.ask(Method::POST, "/execute/sync", json!({ "script": script, "args": arguments })).await.unwrap()
    }

    /// Presses the button or link that says this. With `place`, the one within what has this `id`.
    pub async fn press(&self, place: Option<&str>, words: &str) {
        let within = place.map_or_else(String::new, |id| format!("//*[@id='{id}']"));
        let path = format!("{within}//*[self::a or self::button][normalize-space()='{words}']");
        self.act(&path, "/click", json!({})).await;
    }

    /// Types into the field with this label, in place of what was there.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = format!("//*[@id = //label[normalize-space()='{label}']/@for]");
        self.act(&field, "/clear", json!({})).await;
        self.act(&field, "/value", json!({ "text": text })).await;
    }

    /// Chooses from the list with this label.
    pub async fn choose(&self, label: &str, option: &str) {
        let list = format!("//*[@id = //label[normalize-space()='{label}']/@for]");
        self.act(&format!("{list}/option[starts-with(normalize-space(), '{option}')]"), "/click", json!({}))
            .await;
    }

    /// Ticks or unticks the box with this label.
    pub async fn tick(&self, label: &str) {
        self.act(&format!("//label[normalize-space()='{label}']/input"), "/click", json!({})).await;
    }

    /// Does this to the first element of this XPath, as soon as there is one that can take it.
    async fn act(&self, path: &str, what: &str, body: Value) {
        let since = Instant::now();
        loop {
            let outcome = self.try_to_act(path, what, &body).await;
            match outcome {
                Ok(()) => return,
                // The page may be on its way, or have renewed itself in between.
                Err(_) if since.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
                Err(error) => panic!("{what} {path}: {error}\n{}", self.text().await),
            }
        }
    }

    async fn try_to_act(&self, path: &str, what: &str, body: &Value) -> Result<(), String> {
        let found = self.ask(Method::POST, "/element", json!({ "using": "xpath", "value": path })).await?;
        let element = found[ELEMENT].as_str().unwrap();
        self.ask(Method::POST, &format!("/element/{element}{what}"), body.clone()).await?;
        Ok(())
    }

    /// Presses these keys one after the other, wherever the focus is. Those without a letter have one in WebDriver
    /// (W3C WebDriver, section 17.4.2).
    pub async fn keys(&self, keys: &str) {
        let press = |key: char| {
            let act = |what: &str| json!({ "type": what, "value": key.to_string() });
            [act("keyDown"), act("keyUp")]
        };
        let acts: Vec<Value> = keys.chars().flat_map(press).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": acts });
        self.ask(Method::POST, "/actions", json!({ "actions": [keyboard] })).await.unwrap();
    }

    /// What has the focus, by its label or its words; empty where nothing has. Whoever cannot point must see where they are.
    pub async fn focused(&self) -> String {
        let script = "
            const it = document.activeElement;
            if (!it || it === document.body) return ['', true];
            const style = getComputedStyle(it), place = it.getBoundingClientRect();
            const inside = place.top >= 0 && place.bottom <= innerHeight && place.left >= 0 && place.right <= innerWidth;
            const ringed = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
            return [(it.labels?.[0] ?? it).textContent.trim(), it.matches(':focus-visible') && ringed && inside];";
        let found = self.script(script, json!([])).await;
        let name = found[0].as_str().unwrap().to_owned();
        assert_eq!(found[1], true, "nobody sees that {name:?} has the focus");
        name
    }

    /// Goes on with the Tab key until what bears this name has the focus.
    pub async fn tab_to(&self, name: &str) {
        let mut passed = Vec::new();
        while passed.len() < 60 {
            self.keys(TAB).await;
            let focused = self.focused().await;
            if focused == name {
                return;
            }
            passed.push(focused);
        }
        panic!("no Tab leads to {name:?}, only to {passed:?}");
    }

    /// What can be read on the page.
    pub async fn text(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : '';", json!([])).await;
        text.as_str().unwrap().to_owned()
    }

    /// Waits until the page, or what it becomes by itself, says this.
    pub async fn read(&self, words: &str) -> String {
        let since = Instant::now();
        loop {
            let text = self.text().await;
            // A number and what it counts stand in two lines.
            if text.split_whitespace().collect::<Vec<_>>().join(" ").contains(words) {
                return text;
            }
            assert!(since.elapsed() < PATIENCE, "{words:?} is not on the page:\n{text}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Nothing of the page is beyond its edge, and nothing of it hinders people who see or move otherwise, in the light
    /// or in the dark.
    pub async fn is_fit_for_all(&self) {
        let title = self.script("return document.title;", json!([])).await;
        let beyond = "return document.documentElement.scrollWidth - document.documentElement.clientWidth;";
        assert_eq!(self.script(beyond, json!([])).await, 0, "{title} is wider than the window");
        let cut = "return [...document.querySelectorAll('.wide')].map((it) => it.scrollWidth - it.clientWidth).join();";
        let cut = self.script(cut, json!([])).await;
        assert!(["", "0"].contains(&cut.as_str().unwrap()), "{title} has a table that is cut off: {cut}");
        for scheme in ["light", "dark"] {
            self.wear(scheme).await;
            let judge = format!(
                "{}; const told = arguments[arguments.length - 1]; axe.run().then((found) => told(found.violations.map(
                    (fault) => [fault.id, fault.help, fault.nodes.map((node) => node.html + ': ' + node.failureSummary)])));",
                self.axe
            );
            let faults =
                self.ask(Method::POST, "/execute/async", json!({ "script": judge, "args": [] })).await;
            let faults = faults.unwrap();
            assert_eq!(faults, json!([]), "{title}, {scheme}: {faults:#}");
        }
        self.wear("light").await;
    }

    /// Whether the person likes it light or dark.
    pub async fn wear(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": media });
        self.ask(Method::POST, "/goog/cdp/execute", command).await.unwrap();
    }

    /// The window as a picture (PNG).
    pub async fn picture(&self, file: &Path) {
        let picture = self.ask(Method::GET, "/screenshot", Value::Null).await.unwrap();
        fs::write(file, STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }
}

/// A chromedriver, and its port; `None` where it ends at once.
fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the Debian package chromium-driver is installed");
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines
        .filter_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        })
        .next();
    if port.is_none() {
        driver.wait().unwrap();
    }
    Some((driver, port?))
}

impl Drop for Chromium {
    fn drop(&mut self) {
        for pid in [self.browser, Pid::from_raw(self.driver.id().cast_signed())].into_iter().flatten() {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}
