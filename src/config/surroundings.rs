//! What a config depends on beside its files: the environment, and the time zone of this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::fault::quoted;

/// The environment: the value of a variable, if it is set.
pub type Env<'a> = &'a (dyn Fn(&str) -> Option<OsString> + Sync);

/// Where systemd puts the credentials of its units (systemd.exec(5), `LoadCredential=`).
pub fn credentials_folder(env: Env<'_>) -> Option<PathBuf> {
    env("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Finds the config file: `explicit` (the `-c` of a command), `$MAILFERRY_CONFIG`, `./mailferry.toml`, the
/// user's config folder, `/etc/mailferry/mailferry.toml`. The first two are taken at their word.
///
/// # Errors
/// Where there is none: a sentence that names the places looked at.
pub fn find(explicit: Option<PathBuf>) -> Result<PathBuf, String> {
    find_in(explicit, &|name| std::env::var_os(name))
}

/// Where the config is, or where a first one belongs: as [`find`], and where there is none, the user's config folder, for
/// root `/etc/mailferry`.
pub fn place(explicit: Option<PathBuf>) -> PathBuf {
    let env: Env<'_> = &|name| std::env::var_os(name);
    find_in(explicit, env).unwrap_or_else(|_| match user_folder(env) {
        Some(folder) if !rustix::process::geteuid().is_root() => folder.join(IN_FOLDER),
        _ => SYSTEM.into(),
    })
}

const SYSTEM: &str = "/etc/mailferry/mailferry.toml";
const IN_FOLDER: &str = "mailferry/mailferry.toml";

fn set(env: Env<'_>, name: &str) -> Option<PathBuf> {
    env(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn user_folder(env: Env<'_>) -> Option<PathBuf> {
    set(env, "XDG_CONFIG_HOME").or_else(|| Some(set(env, "HOME")?.join(".config")))
}

pub(super) fn find_in(explicit: Option<PathBuf>, env: Env<'_>) -> Result<PathBuf, String> {
    if let Some(named) = explicit.or_else(|| set(env, "MAILFERRY_CONFIG")) {
        return Ok(named);
    }
    let mut places = vec![PathBuf::from("mailferry.toml")];
    places.extend(user_folder(env).map(|folder| folder.join(IN_FOLDER)));
    places.push(SYSTEM.into());
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return Ok(found.clone());
    }
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(format!(
        "no config file found: looked for {}; write one there, name it with -c FILE or $MAILFERRY_CONFIG, or let `mailferry add` make one",
        places.join(", ")
    ))
}

/// The time zone of this machine: `$TZ`, else the target of `/etc/localtime`, else UTC.
///
/// # Errors
/// Where `$TZ` is set to something that names no zone.
pub fn local_zone(env: Env<'_>) -> Result<Tz, String> {
    if let Some(zone) = env("TZ") {
        let zone = zone.to_string_lossy();
        let name = zone.trim_start_matches(':');
        return if name.is_empty() { Some(Tz::UTC) } else { zone_named(name) }
            .ok_or_else(|| format!("$TZ is {}, which names no time zone", quoted(name)));
    }
    let link = Path::new("/etc/localtime").canonicalize().ok();
    Ok(link.and_then(|target| zone_named(target.to_str()?)).unwrap_or(Tz::UTC))
}

/// A zone by its name, or by the path of its file.
fn zone_named(name: &str) -> Option<Tz> {
    name.rsplit_once("zoneinfo/").map_or(name, |(_, name)| name).parse().ok()
}
