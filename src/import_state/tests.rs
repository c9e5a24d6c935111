use proptest::prelude::*;

use super::*;

/// A time of today.
const NOW: i64 = 1_790_000_000;

fn moment(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}

fn read(program: Program, file: &[u8]) -> State {
    program.read(file).unwrap()
}

/// The whole of a file of one mailbox, sorted.
fn one(program: Program, file: &[u8]) -> Vec<(String, Option<DateTime<Utc>>)> {
    match read(program, file).mailboxes {
        Mailboxes::One(seen) => sorted(seen),
        named @ Mailboxes::Named(_) => panic!("{named:?}"),
    }
}

fn named(program: Program, file: &[u8]) -> BTreeMap<Owner, Seen> {
    match read(program, file).mailboxes {
        Mailboxes::Named(named) => named,
        one @ Mailboxes::One(_) => panic!("{one:?}"),
    }
}

fn of(program: Program, file: &[u8], host: &str, user: &str) -> Vec<(String, Option<DateTime<Utc>>)> {
    let owner = Owner::new(host.as_bytes(), user.as_bytes());
    sorted(named(program, file).remove(&owner).unwrap_or_default())
}

fn sorted(seen: Seen) -> Vec<(String, Option<DateTime<Utc>>)> {
    let mut all: Vec<_> = seen.since.into_iter().map(|(uidl, since)| (uidl.to_string(), since)).collect();
    all.sort();
    all
}

fn undated(uidls: &[&str]) -> Vec<(String, Option<DateTime<Utc>>)> {
    uidls.iter().map(|uidl| ((*uidl).to_owned(), None)).collect()
}

fn fault(program: Program, file: &[u8]) -> String {
    program.read(file).unwrap_err().to_string()
}

#[test]
fn fetchmail_splits_where_fetchmail_does() {
    let file = b"joe@pop.example.com u1\n\
        joe@example.com@POP.example.com u2\n\
        Joe@example.com@pop.example.com <20@mail.example.com>\n\
        Ann Lee/Home@notes u3\n  joe@pop.example.com  u4 \r\n\n";
    assert_eq!(of(Program::Fetchmail, file, "pop.example.com", "joe"), undated(&["u1", "u4"]));
    assert_eq!(
        of(Program::Fetchmail, file, "pop.example.com", "joe@example.com"),
        undated(&["<20@mail.example.com>", "u2"]),
        "`@` in the user and in the UIDL, and case that does not matter"
    );
    assert_eq!(of(Program::Fetchmail, file, "notes", "Ann Lee/Home"), undated(&["u3"]));
    assert_eq!(named(Program::Fetchmail, file).len(), 3);
}

#[test]
fn fetchmail_passes_over_what_is_no_row() {
    let file = b"joe@pop u1\n# not a comment\njoe@pop\njoe@ u2\nu3 joe\0pop\njoe@pop u4\n";
    assert_eq!(of(Program::Fetchmail, file, "pop", "joe"), undated(&["u1", "u4"]));
    assert_eq!(read(Program::Fetchmail, file).left_out, LeftOut { lines: 4, first: 2 });
    assert_eq!(
        fault(Program::Fetchmail, b"\nu1\x001790000000\nu2\x001790000000\n"),
        "line 2: not `USER@HOST UIDL`"
    );
}

#[test]
fn getmail_tells_since_when() {
    let file = format!("u1\0{NOW}\nu2\0{}\r\n\n  u3\0{NOW}  \n", NOW - 1);
    let expected =
        [("u1", NOW), ("u2", NOW - 1), ("u3", NOW)].map(|(uidl, at)| (uidl.to_owned(), moment(at)));
    assert_eq!(one(Program::Getmail, file.as_bytes()), expected);
}

#[test]
fn getmail_writes_a_slash_as_a_dash() {
    let file = format!("a-b-c\0{NOW}\nd-e\0{NOW}\n1/INBOX/7\0{NOW}\n");
    let Mailboxes::One(seen) = read(Program::Getmail, file.as_bytes()).mailboxes else { panic!() };
    for known in ["a/b/c", "a-b/c", "a-b-c", "d/e", "1/INBOX/7"] {
        assert!(seen.since(&Uidl::new(known.as_bytes())).is_some(), "{known}");
    }
    for other in ["a/b", "a/b/d", "a.b.c", "1", "1/7"] {
        assert_eq!(seen.since(&Uidl::new(other.as_bytes())), None, "{other}");
    }
    let file = b"joe@pop a-b\n";
    let mut named = named(Program::Fetchmail, file);
    let seen = named.remove(&Owner::new(b"pop", b"joe")).unwrap();
    assert_eq!(seen.since(&Uidl::new(b"a/b")), None, "fetchmail does not");
}

#[test]
fn getmail_passes_over_what_is_no_row() {
    let file = format!("u1\0{NOW}\nu2\0soon\nu3\nu4\0\n\0{NOW}\nu5\0{NOW}\0{NOW}\nu6\0{NOW}\n");
    let state = read(Program::Getmail, file.as_bytes());
    assert_eq!(state.left_out, LeftOut { lines: 5, first: 2 });
    assert_eq!(one(Program::Getmail, file.as_bytes()).len(), 2);
    let text = "line 1: not a UIDL, a NUL and a time in seconds";
    assert_eq!(fault(Program::Getmail, b"joe@pop u1\njoe@pop u2\n"), text);
}

#[test]
fn a_time_that_cannot_be_is_not_known() {
    // The end of a file that was cut short would make a message fifty years old.
    for since in ["-1", "0", "179000000", "9223372036854775807"] {
        let file = format!("u1\0{since}");
        assert_eq!(one(Program::Getmail, file.as_bytes()), undated(&["u1"]), "{since}");
    }
}

#[test]
fn what_is_named_twice_is_as_young_as_it_can_be() {
    let file = format!("u1\0{NOW}\nu1\0{}\nu2\0{NOW}\nu2\0{}\nu3\0{NOW}\nu3\0{}\n", NOW + 9, NOW - 9, 1);
    let expected = [("u1", moment(NOW + 9)), ("u2", moment(NOW)), ("u3", None)];
    assert_eq!(one(Program::Getmail, file.as_bytes()), expected.map(|(uidl, at)| (uidl.to_owned(), at)));
}

#[test]
fn mpop_reads_lists_of_both_versions() {
    let file = format!(
        "# generated\n#\n 3 pop.example.com joe@example.com\n#u1\nu 2 {NOW}\nu3\n\x20\
         2 other.example.com ann\nu1 {NOW}\nu4 {}\n",
        NOW - 1
    );
    let expected = [("#u1", None), ("u 2", moment(NOW)), ("u3", None)];
    assert_eq!(
        of(Program::Mpop, file.as_bytes(), "POP.example.com", "joe@example.com"),
        expected.map(|(uidl, at)| (uidl.to_owned(), at)),
        "no comment behind the first header, and the last blank separates"
    );
    let expected = [("u1", moment(NOW)), ("u4", moment(NOW - 1))];
    assert_eq!(
        of(Program::Mpop, file.as_bytes(), "other.example.com", "ann"),
        expected.map(|(uidl, at)| (uidl.to_owned(), at))
    );
}

#[test]
fn mpop_knows_crlf_and_blank_lines_around_lists() {
    let file = b"# generated\r\n\r\n 1 pop joe\r\nu1\r\n\r\n 1 pop ann\r\nu2\r\n\r\n";
    assert_eq!(of(Program::Mpop, file, "pop", "joe"), undated(&["u1"]));
    assert_eq!(of(Program::Mpop, file, "pop", "ann"), undated(&["u2"]));
}

#[test]
fn mpop_refuses_what_mpop_refuses() {
    for (file, text) in [
        ("u1\nu2\n", "line 1: not ` COUNT HOST USER`"),
        ("#\n 0 pop joe\n", "line 2: not ` COUNT HOST USER`"),
        (" 1 pop joe smith\nu1\n", "line 1: not ` COUNT HOST USER`"),
        (" 1 pop\nu1\n", "line 1: not ` COUNT HOST USER`"),
        (" 99999999999999999999 pop joe\nu1\n", "line 1: not ` COUNT HOST USER`"),
        (" 1 pop joe\nu1\nu2\n", "line 3: not ` COUNT HOST USER`"),
        (" 2 pop joe\nu1\n\n", "line 3: not a UIDL, or a UIDL and a time in seconds"),
        (" 2 pop joe\nu1 today\n", "line 2: not a UIDL, or a UIDL and a time in seconds"),
        (" 2 pop joe\nu1\n 1 pop ann\nu2\n", "line 3: not a UIDL, or a UIDL and a time in seconds"),
        (" 18446744073709551615 pop joe\nu1\nu2\n", "line 3: the file ends before its last list does"),
        (" 1 pop joe", "line 1: the file ends before its last list does"),
    ] {
        assert_eq!(fault(Program::Mpop, file.as_bytes()), text, "{file:?}");
    }
}

#[test]
fn fdm_goes_by_the_length() {
    let file = b"2 u1\n7 u 2\nu 3\n1 7\r\n4 u\xfc 4\n";
    assert_eq!(one(Program::Fdm, file), undated(&["7", "u 2\\x0Au 3", "u1", "u\\xFC 4"]));
    assert_eq!(one(Program::Fdm, b"2 u1"), undated(&["u1"]));
}

#[test]
fn fdm_refuses_what_is_no_record() {
    let text = "not the length of a UIDL, a blank and a UIDL of that length";
    for (file, line) in [
        (&b"u1\n"[..], 1),
        (b"2 u1\n4 u2\n", 2),
        (b"2 u1\n1 u2\n", 2),
        (b"2 u1\n2u2\n", 2),
        (b"2 u1\n0 \n", 2),
        (b"2 u1\n\n-1 u2\n", 3),
        (b"99999999999999999999 u1\n", 1),
        (b"18446744073709551615 u1\n", 1),
        (b"2 u1\n9 u", 2),
    ] {
        assert_eq!(fault(Program::Fdm, file), format!("line {line}: {text}"), "{:?}", printable(file));
    }
}

#[test]
fn an_empty_file_is_of_nobody() {
    for program in Program::ALL {
        for file in [&b""[..], b"\n", b"\r\n\n"] {
            let of_nobody = match read(program, file).mailboxes {
                Mailboxes::One(seen) => seen.is_empty(),
                Mailboxes::Named(named) => named.is_empty(),
            };
            assert!(of_nobody, "{program:?} {file:?}");
        }
    }
    assert!(named(Program::Mpop, b"# generated\n#\n").is_empty());
}

#[test]
fn what_has_no_bound_ends() {
    let huge = "u".repeat(3 << 20);
    assert_eq!(
        fault(Program::Fetchmail, format!("joe@pop {huge}").as_bytes()),
        "line 1: not `USER@HOST UIDL`"
    );
    assert!(fault(Program::Getmail, format!("{huge}\0{NOW}").as_bytes()).starts_with("line 1: "));
    assert!(fault(Program::Mpop, format!(" 1 pop joe\n{huge}\n").as_bytes()).starts_with("line 2: "));
    assert!(fault(Program::Fdm, format!("{} {huge}\n", huge.len()).as_bytes()).starts_with("line 1: "));
    for program in Program::ALL {
        let endless = "1 a\n".repeat(LINES + 1);
        assert_eq!(program.read(endless.as_bytes()).unwrap_err().line, LINES + 1);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..9),
                "[0-9]{1,3} ?[@a-c #/-]{0,9}\r?\n".prop_map(String::into_bytes),
                "[a ]{0,3}(@[a-c ]{0,3}){0,3}\n".prop_map(String::into_bytes),
                " [0-3] [ab]{0,2} [ab]{0,2}\n".prop_map(String::into_bytes),
                "[a/-]{0,4}\0-?[0-9]{0,20}\n".prop_map(String::into_bytes),
            ],
            0..12,
        ),
    ) {
        let file = pieces.concat();
        for program in Program::ALL {
            if let Err(fault) = program.read(&file) {
                prop_assert!(fault.line <= file.split(|&byte| byte == b'\n').count(), "{fault}");
            }
        }
    }
}
