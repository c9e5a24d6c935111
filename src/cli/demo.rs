//! `mailferry demo`: nothing to set up, mail to watch.

use crate::{config, daemon, demo};

use super::{exit, log, stop_on_signal};

pub async fn demo(once: bool, log: &log::Wish) -> anyhow::Result<u8> {
    log.start_demo();
    let bridge =
        |file: std::path::PathBuf, stop| async move { daemon::run(config::load(&file).await?, stop).await };
    demo::demo(once, &mut std::io::stdout(), stop_on_signal(), bridge).await?;
    Ok(exit::OK)
}
