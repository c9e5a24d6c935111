//! `ca_file`: looked at when the config is read, so that a wrong one is a complaint like any other.

use std::path::PathBuf;

use super::fault::Fault;
use super::file;
use super::section::Section;
use crate::net;

/// A PEM file that the config names, not yet looked at.
#[derive(Clone, Debug)]
pub struct CaFile {
    pub path: PathBuf,
    /// Where the config names it, for complaints.
    place: Fault,
}

/// The bundle of a whole system takes about 250 KiB.
const LONGEST: u64 = 4 << 20;

pub fn ca_file(section: &Section<'_>) -> Option<CaFile> {
    section.path("ca_file").map(|path| CaFile { path, place: section.place("ca_file") })
}

impl CaFile {
    /// Makes sure that it can be used.
    ///
    /// # Errors
    /// What is wrong with the file, at the place where the config names it.
    pub async fn check(&self) -> Result<(), Fault> {
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = file::read(&path, LONGEST, None)?;
            net::check_ca_file(&read.bytes)
        });
        let checked = reading.await.unwrap_or_else(|e| Err(format!("cannot be read ({e})")));
        checked.map_err(|reason| {
            let path = self.path.display();
            let next = "put the authority's certificate there in PEM form, or take the key out";
            Fault { text: format!("{path} {reason}; {next}"), ..self.place.clone() }
        })
    }
}
