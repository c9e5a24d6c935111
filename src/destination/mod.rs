pub mod imap_folder;
