//! Lines that are typed, or come by a pipe, as long as somebody wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

/// Somebody who reads standard input, and leaves it to others once it is told to end: a read that waits could not be.
pub struct Typed {
    over: Arc<AtomicBool>,
    reading: JoinHandle<()>,
}

/// How long it may go on after its end.
const LOOK: Duration = Duration::from_millis(100);

/// The longest line, in octets: that of a terminal is 4096.
const LONGEST: usize = 16 << 10;

impl Typed {
    /// Sends on each line that is not empty.
    pub fn lines_to(to: Sender<String>) -> Typed {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let reading = tokio::task::spawn_blocking(move || read(&to, &told));
        Typed { over, reading }
    }

    pub async fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = (&mut self.reading).await;
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn read(to: &Sender<String>, over: &AtomicBool) {
    let stdin = std::io::stdin();
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(LOOK).ok().as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        // Not by the buffer of the standard library, which would keep for itself what is another's.
        match rustix::io::read(&stdin, &mut piece) {
            Ok(0) | Err(_) => return,
            Ok(length) => read.extend_from_slice(&piece[..length]),
        }
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&read[..end]).trim().to_owned();
            read.drain(..=end);
            if !line.is_empty() && to.blocking_send(line).is_err() {
                return;
            }
        }
        if read.len() > LONGEST {
            read.clear();
        }
    }
}
