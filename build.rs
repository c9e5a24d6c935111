//! `sqlx::migrate!` embeds the migrations, but cargo does not know that a new one has come.
#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
