//! A private Dovecot on free loopback ports: POP3 and IMAP, in the clear and with TLS.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::ca::Ca;

/// Every user exists, and this is the password of everyone but [`FICKLE`].
pub const PASSWORD: &str = "secret";

/// Whose password changes: see [`Dovecot::change_password`].
pub const FICKLE: &str = "fickle@example.com";

/// A running server. It ends when dropped; its folder stays if the test panicked.
pub struct Dovecot {
    pub pop3: u16,
    pub pop3s: u16,
    pub imap: u16,
    pub imaps: u16,
    /// The certificate is for `localhost` and 127.0.0.1.
    pub ca_file: PathBuf,
    folder: Option<TempDir>,
    server: Child,
    last: AtomicU64,
}

/// A message in a mailbox.
#[derive(Debug)]
pub struct Stored {
    pub uid: u32,
    /// Letters as Maildir writes them: `S` is \Seen.
    pub flags: String,
    pub internal_date: SystemTime,
    /// With CRLF line ends, as IMAP shows it.
    pub bytes: Vec<u8>,
}

impl Dovecot {
    pub fn start() -> Dovecot {
        Dovecot::start_with("")
    }

    /// `extra` is added to the end of the config, where a setting overrides an earlier one.
    pub fn start_with(extra: &str) -> Dovecot {
        let folder = tempfile::Builder::new().prefix("dovecot.").tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let ca = Ca::new(folder.path());
        let (certificate, key) = ca.issue(&["localhost", "127.0.0.1"]);
        // Somebody else may take a port before Dovecot does: then it starts with others.
        let ([pop3, pop3s, imap, imaps], server) = (0..5)
            .find_map(|_| {
                let ports = free_ports();
                let config = config(folder.path(), &certificate, &key, ports) + extra;
                Some((ports, start_server(folder.path(), &config)?))
            })
            .unwrap_or_else(|| {
                let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                panic!("Dovecot did not start: {log}")
            });
        let (ca_file, folder) = (ca.file(), Some(folder));
        Dovecot { pop3, pop3s, imap, imaps, ca_file, folder, server, last: AtomicU64::new(0) }
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().expect("only drop takes it").path()
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// The folder of a user's mailbox; `folder` is in UTF-8 with `/` between the levels.
    pub fn maildir(&self, user: &str, folder: &str) -> PathBuf {
        let maildir = self.path().join("mail").join(user).join("Maildir");
        if folder == "INBOX" { maildir } else { maildir.join(format!(".{}", folder.replace('/', "."))) }
    }

    /// Puts messages into a user's INBOX, in this order, as quickly as the disk allows.
    pub fn put(&self, user: &str, messages: &[impl AsRef<[u8]>]) {
        let maildir = self.maildir(user, "INBOX");
        if !maildir.exists() {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(maildir.join(part)).unwrap();
            }
            for made in [maildir.parent().unwrap(), &maildir] {
                give_to_mail_user(made);
            }
            for part in ["cur", "new", "tmp"] {
                give_to_mail_user(&maildir.join(part));
            }
        }
        for message in messages {
            let n = self.last.fetch_add(1, Ordering::Relaxed);
            // As Maildir wants it: a server at work sees it when it is complete, and in the right hands.
            let name = format!("{}.M{n:06}P1.test", 1_700_000_000 + n);
            let path = maildir.join("tmp").join(&name);
            fs::write(&path, message).unwrap();
            give_to_mail_user(&path);
            fs::rename(&path, maildir.join("new").join(&name)).unwrap();
        }
    }

    /// Puts another message in the place of one in a user's INBOX, under its name: to the server they are one.
    pub fn replace(&self, user: &str, old: &[u8], new: &[u8]) {
        let mut files = message_files(&self.maildir(user, "INBOX")).into_iter();
        let file = files.find(|file| fs::read(file).unwrap() == old).unwrap();
        fs::write(file, new).unwrap();
    }

    /// The messages of a folder by UID, their line ends as CRLF.
    pub fn list(&self, user: &str, folder: &str) -> Vec<Vec<u8>> {
        self.stored(user, folder).into_iter().map(|stored| stored.bytes).collect()
    }

    /// The messages of a folder by UID, with what the server keeps beside them; those without a UID come last.
    pub fn stored(&self, user: &str, folder: &str) -> Vec<Stored> {
        let maildir = self.maildir(user, folder);
        let uids = fs::read_to_string(maildir.join("dovecot-uidlist")).unwrap_or_default();
        // "4711 :1700000000.M000000P1.test"
        let rows = uids.lines().filter_map(|row| Some((row.rsplit(':').next()?, row.split(' ').next()?)));
        let uids: HashMap<&str, u32> =
            rows.filter_map(|(name, uid)| Some((name, uid.parse().ok()?))).collect();
        // A server at work moves files from new to cur: then it is looked again.
        let read = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            let (base, flags) = name.split_once(":2,").unwrap_or((name, ""));
            let internal_date = path.metadata().ok()?.modified().ok()?;
            let bytes = with_crlf(&fs::read(path).ok()?);
            let uid = uids.get(base).copied().unwrap_or(u32::MAX);
            Some(Stored { uid, flags: flags.to_owned(), internal_date, bytes })
        };
        let all = || message_files(&maildir).iter().map(read).collect::<Option<Vec<Stored>>>();
        let mut stored = (0..100).find_map(|_| all()).expect("the files stay where they are");
        stored.sort_by_key(|stored| stored.uid);
        stored
    }

    /// Takes a user's mailbox off the disk.
    pub fn forget(&self, user: &str) {
        // A session that is about to end may still write to it.
        let _ = fs::remove_dir_all(self.path().join("mail").join(user));
    }

    /// Gives [`FICKLE`] another password, of another length than the one before. At first there is none.
    pub fn change_password(&self, password: &str) {
        fs::write(self.path().join("passwords"), format!("{FICKLE}:{password}\n")).unwrap();
    }

    /// How many messages a folder holds.
    pub fn count(&self, user: &str, folder: &str) -> usize {
        message_files(&self.maildir(user, folder)).len()
    }

    /// The folders a user is subscribed to, as the server writes them to its file.
    pub fn subscribed(&self, user: &str) -> Vec<String> {
        let file = self.maildir(user, "INBOX").join("subscriptions");
        let text = fs::read_to_string(file).unwrap_or_default();
        let rows = text.lines().filter(|row| !row.is_empty() && !row.starts_with('V'));
        rows.map(|row| row.replace('\t', "/")).collect()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.server.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.server.wait();
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            eprintln!("Dovecot's config, log and mail are in {}", kept.display());
        }
    }
}

fn message_files(maildir: &Path) -> Vec<PathBuf> {
    // In this order nothing that moves from new to cur meanwhile is missed.
    let rows = ["new", "cur"].into_iter().filter_map(|part| fs::read_dir(maildir.join(part)).ok());
    rows.flatten().map(|row| row.unwrap().path()).collect()
}

pub fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match line {
            [text @ .., b'\n'] if text.last() != Some(&b'\r') => {
                whole.extend_from_slice(text);
                whole.extend_from_slice(b"\r\n");
            }
            line => whole.extend_from_slice(line),
        }
    }
    whole
}

/// Dovecot and others refuse to touch mail as root, so root's tests leave it to nobody.
pub const NOBODY: u32 = 65534;

pub fn give_to_mail_user(path: &Path) {
    if getuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Starts the server and waits for it to say that it listens; `None` where it ends instead.
fn start_server(folder: &Path, config: &str) -> Option<Child> {
    let file = folder.join("dovecot.conf");
    fs::write(&file, config).unwrap();
    fs::write(folder.join("passwords"), "").unwrap();
    fs::create_dir_all(folder.join("mail")).unwrap();
    give_to_mail_user(&folder.join("mail"));
    let mut server = Command::new("/usr/sbin/dovecot")
        .args(["-F", "-c"])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the Debian packages dovecot-imapd and dovecot-pop3d are installed");
    let lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut log = fs::File::create(folder.join("log")).unwrap();
    let (started, starting) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
            if line.contains("starting up for") {
                let _ = started.send(());
            }
        }
    });
    if starting.recv_timeout(Duration::from_secs(20)).is_ok() {
        return Some(server);
    }
    let _ = server.kill();
    let _ = server.wait();
    None
}

fn config(folder: &Path, certificate: &Path, key: &Path, ports: [u16; 4]) -> String {
    let folder = folder.display();
    let (certificate, key) = (certificate.display(), key.display());
    let [pop3, pop3s, imap, imaps] = ports;
    let (uid, gid) = if getuid().is_root() {
        (NOBODY, NOBODY)
    } else {
        (getuid().as_raw(), rustix::process::getgid().as_raw())
    };
    format!(
        r#"
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_max_userip_connections = 1000
mail_location = maildir:~/Maildir:UTF-8
first_valid_uid = 1
mail_fsync = never
pop3_uidl_format = %08Xu%08Xv
passdb {{
  driver = static
  mechanisms = plain login
  args = password={PASSWORD}
  username_filter = !{FICKLE}
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=plain username_format=%u {folder}/passwords
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
{}"#,
        run_as(),
    )
}

/// Without root nothing can change its user: everything runs as whoever started the test.
fn run_as() -> String {
    if getuid().is_root() {
        return String::new();
    }
    let uid = getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let row = passwd.lines().find(|row| row.split(':').nth(2) == Some(&uid));
    let user = row.and_then(|row| row.split(':').next()).expect("this user is in /etc/passwd");
    format!("default_internal_user = {user}\ndefault_login_user = {user}\n")
}

#[test]
fn what_is_put_is_listed_in_order() {
    let dovecot = Dovecot::start();
    dovecot.put("ann", &[b"Subject: 1\r\n\r\none\r\n".as_slice(), b"Subject: 2\n\ntwo\n"]);
    let mut pop = BufReader::new(std::net::TcpStream::connect(("127.0.0.1", dovecot.pop3)).unwrap());
    pop.get_mut().write_all(format!("USER ann\r\nPASS {PASSWORD}\r\nRETR 2\r\nQUIT\r\n").as_bytes()).unwrap();
    let answers: Vec<String> = pop.lines().map(Result::unwrap).collect();
    assert!(answers.contains(&"two".into()), "{answers:?}\n{}", dovecot.log());
    assert_eq!(dovecot.list("ann", "INBOX")[1], b"Subject: 2\r\n\r\ntwo\r\n");
}
