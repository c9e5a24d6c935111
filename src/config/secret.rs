//! Passwords and keys: where they are kept, and how they are fetched from there. None is ever shown.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use toml::de::DeValue;

use super::fault::{Fault, quoted};
use super::section::Section;
use super::surroundings::{Env, credentials_folder};
use super::{file, keys, value};
use crate::printable::printable;

/// A secret that the config names, not yet fetched.
#[derive(Clone, Debug)]
pub struct Secret {
    source: Source,
    /// Where commands run.
    folder: PathBuf,
    /// Where the config names it, for complaints.
    place: Fault,
}

#[derive(Clone, Debug)]
enum Source {
    Inline(SecretString),
    File(PathBuf),
    Env(String),
    Command(Vec<String>),
    Credential(String),
}

impl Secret {
    pub fn is_in_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }
}

/// The longest secret, and the longest output of a command: 16 KiB, as OAuth tokens need it.
const LONGEST: u64 = 16 << 10;

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(10);

const FORMS: &str =
    "{ file = \"...\" }, { env = \"...\" }, { command = [\"...\"] } or { credential = \"...\" }";

/// The secret under `key`, which must be there.
pub fn one(section: &Section<'_>, key: &str) -> Option<Secret> {
    let value = section.need(key, "{ file = \"...\" }", Ok)?;
    from_value(section, key, value)
}

/// The secrets under `key`: one, or a list of them.
pub fn several(section: &Section<'_>, key: &str) -> Option<Vec<Secret>> {
    let value = section.need(key, "{ file = \"...\" }", Ok)?;
    let Some(list) = value.as_array() else { return Some(vec![from_value(section, key, value)?]) };
    if list.is_empty() {
        section.fault(key, "is an empty list; name at least one secret");
    }
    let secrets: Vec<Option<Secret>> =
        list.iter().map(|value| from_value(section, key, value.get_ref())).collect();
    secrets.into_iter().collect()
}

fn from_value(section: &Section<'_>, key: &str, value: &DeValue<'_>) -> Option<Secret> {
    let source = match value {
        DeValue::String(text) => inline(section, key, text)?,
        DeValue::Table(table) => elsewhere(&section.inner(key, section.line_of(key), table))?,
        other => {
            section.fault(key, format!("must be one of {FORMS}, not {}", value::kind(other)));
            return None;
        }
    };
    Some(Secret { source, folder: section.folder().to_owned(), place: section.place(key) })
}

fn inline(section: &Section<'_>, key: &str, text: &str) -> Option<Source> {
    refuse_exposure(section, key);
    let secret = checked(text.to_owned());
    secret.map_err(|text| section.fault(key, text)).ok().map(Source::Inline)
}

/// The value of `key` is a secret itself: a fault, unless no other user can read the file.
pub fn refuse_exposure(section: &Section<'_>, key: &str) {
    let Some(mode) = section.document.exposed else { return };
    let file = section.file().display();
    let text = format!(
        "is a secret in a file that is open to other users (mode {mode:04o}); \
         run `chmod 600 {file}`, or keep it elsewhere: {FORMS}"
    );
    section.fault(key, text);
}

fn elsewhere(section: &Section<'_>) -> Option<Source> {
    section.only(&[keys::SECRET]);
    let mut present = keys::SECRET.iter().filter(|key| section.has(key));
    let (Some(source), None) = (present.next(), present.next()) else {
        section.fault("", format!("must be exactly one of {FORMS}"));
        return None;
    };
    match *source {
        "file" => section.path("file").map(Source::File),
        "env" => section.read("env", value::line).map(|name| Source::Env(name.to_owned())),
        "command" => section.read("command", command_line).map(Source::Command),
        _ => section.read("credential", credential_name).map(Source::Credential),
    }
}

/// A program and its arguments, for whoever runs it without a shell.
pub fn command_line(value: &DeValue<'_>) -> value::Read<Vec<String>> {
    let wrong =
        || "must be a list of texts, the program first, like [\"pass\", \"show\", \"home\"]".to_owned();
    let words = value.as_array().ok_or_else(wrong)?;
    let words: Option<Vec<String>> = words.iter().map(|w| w.get_ref().as_str().map(str::to_owned)).collect();
    words.filter(|words| words.first().is_some_and(|program| !program.is_empty())).ok_or_else(wrong)
}

fn credential_name(value: &DeValue<'_>) -> value::Read<String> {
    let name = value::line(value)?;
    if name.contains('/') || name == "." || name == ".." {
        return Err(format!("{} must be the name of a credential, not a path", quoted(name)));
    }
    Ok(name.to_owned())
}

impl Secret {
    /// Fetches it.
    ///
    /// # Errors
    /// What stood in the way, at the place where the config names the secret.
    pub async fn fetch(&self, env: Env<'_>) -> Result<SecretString, Fault> {
        let fetched = match &self.source {
            Source::Inline(secret) => Ok(secret.clone()),
            Source::File(path) => from_file(path.clone(), env).await,
            Source::Env(name) => from_env(name, env),
            Source::Command(words) => self.run(words).await,
            Source::Credential(name) => from_credential(name, env).await,
        };
        fetched.map_err(|text| Fault { text, ..self.place.clone() })
    }

    /// Runs `words`, without a shell, in the folder of the config. The first line of its output is the secret.
    async fn run(&self, words: &[String]) -> Result<SecretString, String> {
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let shown = quoted(program);
        let mut command = Command::new(self::program(&self.folder, program));
        command.args(arguments).current_dir(&self.folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match tokio::time::timeout(COMMAND_TIME, output(command)).await {
            Ok(output) => output.map_err(|reason| format!("the command {shown} {reason}")),
            Err(_) => Err(format!("the command {shown} took longer than {} s", COMMAND_TIME.as_secs())),
        }
    }
}

/// A path is relative to the folder of the config; a bare name is looked up in $PATH.
pub fn program(folder: &Path, program: &str) -> PathBuf {
    if program.contains('/') { folder.join(program) } else { program.into() }
}

async fn output(mut command: Command) -> Result<SecretString, String> {
    let mut child = command.spawn().map_err(|e| format!("cannot be started ({e})"))?;
    let (output, complaint) = tokio::try_join!(bounded(child.stdout.take()), bounded(child.stderr.take()))?;
    let status = child.wait().await.map_err(|e| format!("was lost ({e})"))?;
    if !status.success() {
        let complaint = complaint.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let complaint = printable(&complaint[..complaint.len().min(200)]);
        return Err(format!("failed ({status}): {complaint}"));
    }
    let line = output.split(|byte| *byte == b'\n').next().unwrap_or_default();
    text(line.to_vec()).map_err(|reason| format!("printed what {reason}"))
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let read = stream.take(LONGEST + 1).read_to_end(&mut bytes).await;
        read.map_err(|e| format!("cannot be read from ({e})"))?;
    }
    if bytes.len() as u64 > LONGEST {
        return Err(format!("printed more than {LONGEST} bytes"));
    }
    Ok(bytes)
}

async fn from_file(path: PathBuf, env: Env<'_>) -> Result<SecretString, String> {
    let credentials = credentials_folder(env);
    let reading = tokio::task::spawn_blocking(move || read_file(&path, credentials.as_deref()));
    reading.await.map_err(|e| e.to_string())?
}

/// The secret in a file.
///
/// # Errors
/// What is wrong with it: a sentence that begins with its name.
pub fn in_file(path: &Path) -> Result<SecretString, String> {
    read_file(path, None)
}

fn read_file(path: &Path, credentials: Option<&Path>) -> Result<SecretString, String> {
    let shown = path.display().to_string();
    let read = file::read(path, LONGEST, credentials).map_err(|reason| {
        let next = "write the secret there, for its owner's eyes only (chmod 600)";
        if reason == file::ABSENT { format!("{shown} {reason}; {next}") } else { format!("{shown} {reason}") }
    })?;
    if let Some(mode) = read.exposed {
        return Err(format!("{shown} is open to other users (mode {mode:04o}); run `chmod 600 {shown}`"));
    }
    text(read.bytes).map_err(|reason| format!("{shown} {reason}"))
}

fn from_env(name: &str, env: Env<'_>) -> Result<SecretString, String> {
    let value = env(name).ok_or_else(|| format!("the environment variable ${name} is not set"))?;
    text(value.into_encoded_bytes()).map_err(|reason| format!("the environment variable ${name} {reason}"))
}

async fn from_credential(name: &str, env: Env<'_>) -> Result<SecretString, String> {
    let Some(folder) = credentials_folder(env) else {
        return Err(format!(
            "there is no $CREDENTIALS_DIRECTORY; put LoadCredential={name}:/path/of/the/secret into the unit"
        ));
    };
    from_file(folder.join(name), env).await
}

/// A secret from the bytes that were found, less the end of their line.
pub fn text(bytes: Vec<u8>) -> Result<SecretString, String> {
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    checked(text)
}

/// No secret holds a control character: a line break would end the command that carries it.
fn checked(text: String) -> Result<SecretString, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.contains('\n') {
        return Err("has more than one line; leave only the secret".into());
    }
    if text.contains(char::is_control) {
        return Err("holds a control character, which no secret can".into());
    }
    Ok(text.into())
}
