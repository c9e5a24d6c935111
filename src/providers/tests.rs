use std::collections::HashSet;

use super::*;

fn endpoints() -> impl Iterator<Item = (&'static Provider, &'static Endpoint, bool)> {
    PRESETS.iter().flat_map(|provider| {
        let pop3 = provider.pop3.iter().map(move |endpoint| (provider, endpoint, true));
        pop3.chain(provider.imap.iter().map(move |endpoint| (provider, endpoint, false)))
    })
}

fn steps(provider: &Provider) -> impl Iterator<Item = Step> {
    let making = match provider.login {
        Login::AppPassword(step) => Some(step),
        Login::Password | Login::OAuthOnly(_) => None,
    };
    provider.enable.into_iter().chain(making)
}

/// All that a person may read of a provider.
fn texts(provider: &Provider) -> Vec<&'static str> {
    let mut texts = provider.notes.to_vec();
    texts.extend(provider.no_pop3);
    texts.extend(steps(provider).map(|step| step.text));
    if let Login::OAuthOnly(text) = provider.login {
        texts.push(text);
    }
    texts
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=63).contains(&label.len()) && label.chars().all(inside) && !label.starts_with('-')
    };
    name.contains('.') && name.len() <= 253 && name.split('.').all(is_label)
}

#[test]
fn every_provider_that_was_promised_is_there() {
    let ids: Vec<&str> = PRESETS.iter().map(|provider| provider.id).collect();
    for id in [
        "gmail google-workspace outlook microsoft-365 yahoo aol one-com gmx-net gmx-com web-de t-online ionos strato",
        "libero virgilio tim alice tiscali aruba aruba-pec fastweb email-it orange free sfr laposte ovh gandi",
        "zoho-com zoho-eu zoho-in zoho-jp zoho-au zoho-ca fastmail yandex mail-ru posteo godaddy comcast att bt",
        "icloud proton hey tuta",
    ]
    .iter()
    .flat_map(|line| line.split(' '))
    {
        assert!(ids.contains(&id), "{id}");
    }
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "an id twice");
}

#[test]
fn no_domain_and_no_mx_belongs_to_two() {
    let mut seen = HashSet::new();
    for provider in PRESETS {
        assert!(!provider.domains.is_empty() || !provider.mx.is_empty(), "{} cannot be found", provider.id);
        for domain in provider.domains {
            assert!(is_dns_name(domain), "{domain}");
            assert!(seen.insert(("domain", *domain)), "{domain} twice");
        }
        for mx in provider.mx {
            assert!(is_dns_name(mx), "{mx}");
            assert!(seen.insert(("MX", *mx)), "{mx} twice");
        }
    }
}

#[test]
fn hosts_are_names_and_ports_fit_their_tls() {
    for (provider, endpoint, is_pop3) in endpoints() {
        assert!(is_dns_name(endpoint.host), "{}: {}", provider.id, endpoint.host);
        let port = match (endpoint.tls, is_pop3) {
            (Tls::Implicit, true) => 995,
            (Tls::StartTls, true) => 110,
            (Tls::Implicit, false) => 993,
            (Tls::StartTls, false) => 143,
            (Tls::None, _) => panic!("{} sends secrets in the clear", provider.id),
        };
        assert_eq!(endpoint.port, port, "{}: {}", provider.id, endpoint.host);
    }
}

#[test]
fn a_provider_has_pop3_or_says_why_not() {
    for provider in PRESETS {
        assert_eq!(provider.pop3.is_empty(), provider.no_pop3.is_some(), "{}", provider.id);
    }
}

#[test]
fn texts_are_sentences_and_links_are_safe() {
    for provider in PRESETS {
        assert!(is_dns_name(&format!("{}.x", provider.id)), "{}", provider.id);
        assert!(!provider.name.is_empty(), "{}", provider.id);
        for text in texts(provider) {
            assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", provider.id);
            assert!(!text.contains(char::is_control), "{}: {text}", provider.id);
        }
        for url in steps(provider).filter_map(|step| step.url) {
            let parsed = reqwest::Url::parse(url).unwrap();
            assert_eq!((parsed.scheme(), parsed.as_str()), ("https", url), "{}", provider.id);
        }
    }
}

#[test]
fn the_month_of_every_source_is_a_month() {
    for provider in PRESETS {
        let (year, month) = provider.checked.split_once('-').unwrap();
        let (year, month): (u16, u8) = (year.parse().unwrap(), month.parse().unwrap());
        assert!((2010..=2100).contains(&year) && (1..=12).contains(&month), "{}", provider.checked);
        assert_eq!(provider.checked.len(), 7, "{}", provider.checked);
    }
}

#[test]
fn providers_that_share_a_host_share_its_quirks() {
    for (provider, endpoint, _) in endpoints() {
        let named = for_host(endpoint.host).unwrap();
        assert_eq!(named.quirks, provider.quirks, "{} and {}: {}", named.id, provider.id, endpoint.host);
        assert_eq!(named.ignores_deletion, provider.ignores_deletion, "{}", endpoint.host);
    }
}

#[test]
fn an_address_finds_its_provider_by_domain() {
    let id = |domain| for_domain(domain).map(|provider| provider.id);
    assert_eq!(id("gmail.com"), Some("gmail"));
    assert_eq!(id("HotMail.co.uk"), Some("outlook"));
    assert_eq!(id("gmx.it"), Some("gmx-com"));
    assert_eq!(id("mail.gmail.com"), None, "a domain below another is another");
    assert_eq!(id(""), None);
}

#[test]
fn a_domain_finds_its_provider_by_the_host_that_takes_its_mail() {
    let id = |host| for_mx(host).map(|provider| provider.id);
    assert_eq!(id("ASPMX.L.GOOGLE.COM"), Some("google-workspace"));
    assert_eq!(id("example-org.mail.protection.outlook.com"), Some("microsoft-365"));
    assert_eq!(id("eur.olc.protection.outlook.com"), Some("outlook"));
    assert_eq!(id("mx.pec.aruba.it"), Some("aruba-pec"), "and not Aruba, which is further away");
    assert_eq!(id("mx.aruba.it"), Some("aruba"));
    assert_eq!(id("mx.notaruba.it"), None);
    assert_eq!(for_mx("mx2.zoho.in").unwrap().pop3[0].host, "poppro.zoho.in", "the host for organisations");
    assert_eq!(for_domain("zoho.in").unwrap().pop3[0].host, "pop.zoho.in");
    assert_eq!(id("mta5.am0.yahoodns.net"), None, "AOL or Yahoo: it does not tell");
}

#[test]
fn a_host_names_its_provider() {
    assert_eq!(for_host("POP3.web.de").unwrap().quirks.login_delay.unwrap().as_secs(), 15 * 60);
    assert!(for_host("pop.gmail.com").unwrap().quirks.hides_retrieved);
    assert!(for_host("pop.yandex.com").unwrap().ignores_deletion);
    assert!(for_host("pop.example.com").is_none());
}

#[test]
fn a_refused_password_has_its_steps_where_they_are_known() {
    let yahoo = steps_for_password("pop.mail.yahoo.com");
    assert!(yahoo[0].0.starts_with("Yahoo") && yahoo[0].0.contains("needs an app password: "), "{yahoo:?}");
    assert!(yahoo[0].1.is_some_and(|link| link.starts_with("https://")), "{yahoo:?}");
    let gmail = steps_for_password("POP.gmail.com");
    assert!(gmail.len() == 2 && gmail[1].0.contains("Switch POP on"), "{gmail:?}");
    let outlook = steps_for_password("outlook.office365.com");
    assert!(outlook.len() == 1 && outlook[0].0.contains("no password works"), "{outlook:?}");
    assert!(steps_for_password("pop.example.com").is_empty());
}
