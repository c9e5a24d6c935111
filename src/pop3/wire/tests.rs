use proptest::prelude::*;

use super::*;

fn refused(line: &[u8]) -> (Option<Code>, String) {
    match Reply::parse(line) {
        Some(Reply::Err { code, text }) => (code, text),
        other => panic!("{:?} is {other:?}", line.escape_ascii()),
    }
}

#[test]
fn knows_a_reply_whatever_its_case() {
    for (line, text) in
        [("+OK", ""), ("+ok", ""), ("+Ok  hello there", "hello there"), ("+OK\tx", "x"), ("+OK.", ".")]
    {
        assert_eq!(Reply::parse(line.as_bytes()), Some(Reply::Ok(text.into())), "{line:?}");
    }
    assert_eq!(refused(b"-err no"), (None, "no".into()));
    assert_eq!(Reply::parse(b"+ "), Some(Reply::Challenge(Vec::new())));
    assert_eq!(Reply::parse(b"+ eyJ9 "), Some(Reply::Challenge(b"eyJ9".into())));
}

#[test]
fn what_is_no_reply_is_none() {
    for line in ["", " ", "+", "OK", "+OKAY", "+O", "-ERROR", " +OK", "* OK", "a +OK", "250 OK", "+x"] {
        let is_challenge = line == "+";
        assert_eq!(
            Reply::parse(line.as_bytes()),
            is_challenge.then_some(Reply::Challenge(Vec::new())),
            "{line:?}"
        );
    }
}

#[test]
fn knows_response_codes_where_they_belong() {
    assert_eq!(refused(b"-ERR [IN-USE] busy"), (Some(Code::InUse), "busy".into()));
    assert_eq!(refused(b"-ERR [sys/Temp]"), (Some(Code::SysTemp), String::new()));
    assert_eq!(refused(b"-ERR [SYS/PERM] x").0, Some(Code::SysPerm));
    assert_eq!(refused(b"-ERR [LOGIN-DELAY] x").0, Some(Code::LoginDelay));
    assert_eq!(refused(b"-ERR [AUTH] x").0, Some(Code::Auth));
    assert_eq!(refused(b"-ERR x [AUTH]"), (None, "x [AUTH]".into()));
    assert_eq!(refused(b"-ERR [AUTHX] x").0, None);
    assert_eq!(refused(b"-ERR [AUTH").0, None);
}

#[test]
fn a_refusal_cannot_write_on_a_terminal() {
    assert_eq!(refused(b"-ERR \x1b[2J\xff").1, "\\x1B[2J\\xFF");
}

#[test]
fn stat_is_a_count_and_a_hint() {
    let stat = |text: &str| Stat::parse(text.as_bytes()).map(|stat| (stat.count, stat.octets));
    assert_eq!(stat("2 320"), Some((2, 320)));
    assert_eq!(stat("2"), Some((2, 0)));
    assert_eq!(stat("2 -1"), Some((2, 0)));
    assert_eq!(stat("2 99999999999999999999"), Some((2, 0)));
    assert_eq!(stat("4294967295 18446744073709551615 octets"), Some((u32::MAX, u64::MAX)));
    for text in ["", "x", "-1 5", "+1 5", "4294967296 5", "two messages"] {
        assert_eq!(stat(text), None, "{text:?}");
    }
}

#[test]
fn a_lying_stat_buys_no_endless_listing() {
    assert_eq!(Stat { count: 0, octets: 0 }.most_rows(), 1_000);
    assert_eq!(Stat { count: u32::MAX, octets: 0 }.most_rows(), 800_000);
}

#[test]
fn uidls_are_taken_to_the_byte() {
    let row = |row: &[u8]| uidl_row(row).map(|(number, uidl)| (number, uidl.to_vec()));
    assert_eq!(row(b"1 whqtswO00WBw418f9t5JxYwZ"), Some((1, b"whqtswO00WBw418f9t5JxYwZ".to_vec())));
    assert_eq!(row(b"1   a b\t"), Some((1, b"a b\t".to_vec())));
    assert_eq!(row(b"7 ../\xff\0"), Some((7, b"../\xff\0".to_vec())));
    assert_eq!(row(b"3"), Some((3, Vec::new())));
    assert_eq!(row(b"3 "), Some((3, Vec::new())));
    assert_eq!(row(&[b"3 ", &[b'u'; UIDL][..]].concat()), Some((3, vec![b'u'; UIDL])));
    assert_eq!(row(&[b"3 ", &[b'u'; UIDL + 1][..]].concat()), None);
    for nonsense in ["", " ", "a", "0 a", "-1 a", "1a", "4294967296 a", " 1 a", "+OK"] {
        assert_eq!(row(nonsense.as_bytes()), None, "{nonsense:?}");
    }
}

#[test]
fn sizes_are_hints() {
    assert_eq!(list_row(b"1 120"), Some((1, Some(120))));
    assert_eq!(list_row(b"1 120 and more"), Some((1, Some(120))));
    for vague in ["1", "1 ", "1 -1", "1 abc", "1 18446744073709551616", "1 12k"] {
        assert_eq!(list_row(vague.as_bytes()), Some((1, None)), "{vague:?}");
    }
    for nonsense in ["", "x 1", "0 1", "1x 1"] {
        assert_eq!(list_row(nonsense.as_bytes()), None, "{nonsense:?}");
    }
}

fn announced(lines: &[&str]) -> Capabilities {
    let mut capabilities = Capabilities::default();
    lines.iter().for_each(|line| capabilities.learn(line.as_bytes()));
    capabilities
}

#[test]
fn capabilities_have_no_case_and_no_fixed_blanks() {
    let capabilities = announced(&[
        "top",
        "Pipelining ",
        "UIDL\t",
        "SASL plain  XOAUTH2 ",
        "resp-codes",
        "USER",
        "X-NEW thing",
        "",
    ]);
    assert!(capabilities.top && capabilities.pipelining && capabilities.uidl && capabilities.resp_codes);
    assert!(capabilities.user && !capabilities.per_user);
    assert_eq!(capabilities.sasl, ["PLAIN", "XOAUTH2"]);
    assert!(!announced(&["NOT-PIPELINING", "XTOP", "SASL PLAINER"]).has_mechanism("PLAIN"));
}

#[test]
fn expire_0_means_that_mail_does_not_stay() {
    assert!(announced(&["EXPIRE 0"]).retrieved_is_gone());
    for other in ["EXPIRE NEVER", "EXPIRE 30", "EXPIRE", "EXPIRE never 0", "EXPIRE 00x"] {
        assert!(!announced(&[other]).retrieved_is_gone(), "{other}");
    }
    assert!(announced(&["EXPIRE 0 USER"]).per_user);
    let delay = announced(&["LOGIN-DELAY 900 user"]);
    assert_eq!((delay.login_delay, delay.per_user), (Some(Duration::from_secs(900)), true));
}

#[test]
fn a_flood_of_mechanisms_is_not_remembered() {
    let line = format!("SASL {}", "X ".repeat(4000));
    let capabilities = announced(&vec![line.as_str(); CAPABILITY_LINES]);
    assert!(capabilities.sasl.len() <= MECHANISMS);
    assert!(announced(&[&format!("SASL {}", "Y".repeat(8000))]).sasl.is_empty());
}

proptest! {
    /// No bytes make any of them panic, and what they make of them is safe to show.
    #[test]
    fn bears_any_bytes(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(Reply::Err { text, .. }) = Reply::parse(&line) {
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        let _ = (Stat::parse(&line), uidl_row(&line), list_row(&line));
        Capabilities::default().learn(&line);
    }
}
