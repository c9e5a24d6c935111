//! The large providers. Hosts, ports and names of users are facts of the providers' own pages or of the database that
//! mail programs share; what is only said to be so is left out, or worded as such.

use std::time::Duration;

use super::{Endpoint, Login, Provider, Step, User, domains, trials};
use crate::message::Quirks;
use crate::net::Tls;

const fn pop3(host: &'static str) -> Endpoint {
    Endpoint { host, port: 995, tls: Tls::Implicit }
}

const fn pop3_starttls(host: &'static str) -> Endpoint {
    Endpoint { host, port: 110, tls: Tls::StartTls }
}

const fn imap(host: &'static str) -> Endpoint {
    Endpoint { host, port: 993, tls: Tls::Implicit }
}

const fn imap_starttls(host: &'static str) -> Endpoint {
    Endpoint { host, port: 143, tls: Tls::StartTls }
}

const fn step(text: &'static str, url: &'static str) -> Step {
    Step { text, url: Some(url) }
}

/// What most providers have in common: the whole address, the mailbox's own password, nothing to do first.
const PLAIN: Provider = Provider {
    id: "",
    name: "",
    domains: &[],
    mx: &[],
    pop3: &[],
    imap: &[],
    user: User::Address,
    login: Login::Password,
    enable: None,
    enable_imap: None,
    no_pop3: None,
    notes: &[],
    quirks: NO_QUIRKS,
    has_labels: false,
    daily_budget: None,
    ignores_deletion: false,
    identity: None,
    tried: &[],
    checked: "",
};

const NO_QUIRKS: Quirks = Quirks { no_pipelining: false, login_delay: None, hides_retrieved: false };

const GMAIL_POP: &[Endpoint] = &[pop3("pop.gmail.com"), pop3("pop.googlemail.com")];
const GMAIL_IMAP: &[Endpoint] = &[imap("imap.gmail.com"), imap("imap.googlemail.com")];
const GMAIL_SETTINGS: &str = "https://mail.google.com/mail/u/0/#settings/fwdandpop";
const GMAIL_QUIRKS: Quirks = Quirks { hides_retrieved: true, ..NO_QUIRKS };
/// Google's own table for Workspace says 500 MB for what is sent to IMAP, and locks out who sends more.
const GMAIL_BUDGET: u64 = 400_000_000;
const GMAIL_ONCE: &str = "Gmail shows a message to POP3 until it has been retrieved once, about 250 at a time. What \
    becomes of it then is up to the Gmail setting \u{201c}When messages are accessed with POP\u{201d}.";

const MICROSOFT: &[Endpoint] = &[pop3("outlook.office365.com")];
const MICROSOFT_IMAP: &[Endpoint] = &[imap("outlook.office365.com")];
const MICROSOFT_DELETES: &str =
    "What is deleted by POP3 is gone from the inbox everywhere: leave a copy unless you want that.";

const SPAM_STAYS: &str = "POP3 shows the inbox alone: what was taken for spam stays at the provider.";

const ZOHO_ENABLE: Step = step(
    "Switch POP3 on in Zoho Mail, under Mail Accounts, \u{201c}POP Access\u{201d}.",
    "https://www.zoho.com/mail/help/pop-access.html",
);
const ZOHO_PLANS: &str = "The free plan is said to have no POP3.";
const ZOHO_TWO_STEPS: &str = "With two-factor authentication a program needs an app password.";

const GMX_NET_ENABLE: Step = step(
    "Switch POP3 and IMAP on in the mail settings of GMX.",
    "https://hilfe.gmx.net/pop-imap/einschalten.html",
);
const GMX_COM_ENABLE: Step = step(
    "Switch POP3 and IMAP on in the mail settings of GMX.",
    "https://support.gmx.com/pop-imap/toggle.html",
);
const WEB_DE_ENABLE: Step = step(
    "Switch POP3 and IMAP on in the mail settings of WEB.DE.",
    "https://hilfe.web.de/pop-imap/einschalten.html",
);
const COMCAST_ENABLE: Step = step(
    "Allow third-party programs in the settings of Xfinity Email.",
    "https://www.xfinity.com/support/articles/third-party-email-access",
);

/// All of them. Where several could be meant, the first is.
pub const PRESETS: &[Provider] = &[
    Provider {
        id: "gmail",
        name: "Gmail",
        domains: &["gmail.com", "googlemail.com"],
        pop3: GMAIL_POP,
        imap: GMAIL_IMAP,
        login: Login::AppPassword(step(
            "Turn on 2-Step Verification in your Google account, then make an app password.",
            "https://myaccount.google.com/apppasswords",
        )),
        enable: Some(step(
            "Switch POP on in Gmail, under Settings, \u{201c}Forwarding and POP/IMAP\u{201d}.",
            GMAIL_SETTINGS,
        )),
        notes: &[GMAIL_ONCE],
        quirks: GMAIL_QUIRKS,
        has_labels: true,
        daily_budget: Some(GMAIL_BUDGET),
        identity: Some("google"),
        tried: trials::GMAIL,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "google-workspace",
        name: "Google Workspace",
        mx: &["google.com", "googlemail.com"],
        pop3: GMAIL_POP,
        imap: GMAIL_IMAP,
        login: Login::AppPassword(step(
            "Turn on 2-Step Verification in your Google account, then make an app password, if your organisation \
             allows it.",
            "https://myaccount.google.com/apppasswords",
        )),
        enable: Some(step(
            "Switch POP on in Gmail, under Settings, \u{201c}Forwarding and POP/IMAP\u{201d}. Your administrator has to \
             allow it.",
            GMAIL_SETTINGS,
        )),
        notes: &[GMAIL_ONCE, "The password of the Google account itself has not been accepted since 2025."],
        quirks: GMAIL_QUIRKS,
        has_labels: true,
        daily_budget: Some(GMAIL_BUDGET),
        identity: Some("google"),
        tried: trials::GMAIL,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "outlook",
        name: "Outlook.com and Hotmail",
        domains: domains::OUTLOOK,
        mx: &["olc.protection.outlook.com"],
        pop3: MICROSOFT,
        imap: MICROSOFT_IMAP,
        login: Login::OAuthOnly(
            "Outlook.com lets programs in by OAuth 2 alone since September 2024: no password works, and no app \
             password either.",
        ),
        enable: Some(step(
            "Switch POP on in Outlook.com, under Settings, Mail, \u{201c}Forwarding and IMAP\u{201d}.",
            "https://support.microsoft.com/office/pop-imap-and-smtp-settings-for-outlook-com-\
             d088b986-291d-42b8-9564-9c414e2aa040",
        )),
        notes: &[MICROSOFT_DELETES],
        identity: Some("microsoft"),
        tried: trials::MICROSOFT,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "microsoft-365",
        name: "Microsoft 365",
        domains: &["office365.com"],
        mx: &["mail.protection.outlook.com"],
        pop3: MICROSOFT,
        imap: MICROSOFT_IMAP,
        login: Login::OAuthOnly(
            "Microsoft 365 lets programs in by OAuth 2 alone since the end of 2022: no password works, and no app \
             password either.",
        ),
        enable: Some(Step { text: "Your administrator has to leave POP on for the mailbox.", url: None }),
        notes: &[MICROSOFT_DELETES],
        identity: Some("microsoft"),
        tried: trials::MICROSOFT,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "yahoo",
        name: "Yahoo Mail",
        domains: domains::YAHOO,
        pop3: &[pop3("pop.mail.yahoo.com")],
        imap: &[imap("imap.mail.yahoo.com"), imap("export.imap.mail.yahoo.com")],
        login: Login::AppPassword(step(
            "Make an app password on the security page of your Yahoo account.",
            "https://login.yahoo.com/account/security",
        )),
        tried: trials::YAHOO,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "aol",
        name: "AOL Mail",
        domains: domains::AOL,
        pop3: &[pop3("pop.aol.com")],
        imap: &[imap("imap.aol.com")],
        login: Login::AppPassword(step(
            "Make an app password on the security page of your AOL account.",
            "https://login.aol.com/account/security",
        )),
        tried: trials::AOL,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "icloud",
        name: "iCloud Mail",
        domains: &["icloud.com", "me.com", "mac.com"],
        imap: &[imap("imap.mail.me.com")],
        user: User::LocalPart,
        login: Login::AppPassword(step(
            "Make an app-specific password in your Apple account.",
            "https://support.apple.com/en-us/HT202304",
        )),
        no_pop3: Some(
            "iCloud Mail has no POP3, so it cannot be polled. As a destination it works: it has IMAP. To bring its \
             mail elsewhere, set up forwarding in iCloud's mail settings.",
        ),
        checked: "2024-10",
        ..PLAIN
    },
    Provider {
        id: "proton",
        name: "Proton Mail",
        domains: &["proton.me", "protonmail.com", "protonmail.ch", "pm.me"],
        no_pop3: Some(
            "Proton Mail has no POP3, so it cannot be polled. Its Bridge program, for paying customers, offers IMAP \
             on the machine where it runs.",
        ),
        tried: trials::PROTON,
        checked: "2026-06",
        ..PLAIN
    },
    Provider {
        id: "hey",
        name: "HEY",
        domains: &["hey.com"],
        no_pop3: Some("HEY has neither POP3 nor IMAP, so no other program can retrieve its mail."),
        checked: "2020-06",
        ..PLAIN
    },
    Provider {
        id: "tuta",
        name: "Tuta Mail",
        domains: &["tuta.com", "tutanota.com", "tutanota.de", "tutamail.com", "tuta.io", "keemail.me"],
        no_pop3: Some("Tuta Mail has neither POP3 nor IMAP, so no other program can retrieve its mail."),
        checked: "2021-06",
        ..PLAIN
    },
    Provider {
        id: "gmx-net",
        name: "GMX",
        domains: domains::GMX_NET,
        pop3: &[pop3("pop.gmx.net"), pop3_starttls("pop.gmx.net")],
        imap: &[imap("imap.gmx.net"), imap_starttls("imap.gmx.net")],
        enable: Some(GMX_NET_ENABLE),
        enable_imap: Some(GMX_NET_ENABLE),
        notes: &[SPAM_STAYS],
        tried: trials::GMX,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "gmx-com",
        name: "GMX (gmx.com)",
        domains: domains::GMX_COM,
        pop3: &[pop3("pop.gmx.com"), pop3_starttls("pop.gmx.com")],
        imap: &[imap("imap.gmx.com"), imap_starttls("imap.gmx.com")],
        enable: Some(GMX_COM_ENABLE),
        enable_imap: Some(GMX_COM_ENABLE),
        notes: &[SPAM_STAYS],
        tried: trials::GMX,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "web-de",
        name: "WEB.DE",
        domains: &["web.de"],
        pop3: &[pop3("pop3.web.de"), pop3_starttls("pop3.web.de")],
        imap: &[imap("imap.web.de"), imap_starttls("imap.web.de")],
        user: User::LocalPart,
        enable: Some(WEB_DE_ENABLE),
        enable_imap: Some(WEB_DE_ENABLE),
        notes: &["WEB.DE refuses a second login within 15 minutes."],
        quirks: Quirks { login_delay: Some(Duration::from_secs(15 * 60)), ..NO_QUIRKS },
        tried: trials::WEB_DE,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "t-online",
        name: "T-Online and Magenta",
        domains: &["t-online.de", "magenta.de"],
        pop3: &[pop3("securepop.t-online.de")],
        imap: &[imap("secureimap.t-online.de")],
        login: Login::AppPassword(step(
            "Set an e-mail password at Telekom: the password of the website does not work in programs.",
            "https://www.telekom.de/hilfe/apps-dienste/e-mail/programme/passwort-verwalten",
        )),
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "ionos",
        name: "IONOS (1&1)",
        domains: domains::IONOS,
        mx: &["kundenserver.de", "schlund.de"],
        pop3: &[
            pop3("pop.ionos.de"),
            pop3("pop.ionos.com"),
            pop3("pop.ionos.fr"),
            pop3("pop.ionos.it"),
            pop3("pop.1und1.de"),
        ],
        imap: &[
            imap("imap.ionos.de"),
            imap("imap.ionos.com"),
            imap("imap.ionos.fr"),
            imap("imap.ionos.it"),
            imap("imap.1und1.de"),
        ],
        notes: &["IONOS names its servers after its countries: take that of the country of your contract."],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "strato",
        name: "STRATO",
        domains: &["strato.de"],
        mx: &["rzone.de"],
        pop3: &[pop3("pop3.strato.de")],
        imap: &[imap("imap.strato.de")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "posteo",
        name: "Posteo",
        domains: domains::POSTEO,
        pop3: &[pop3("posteo.de"), pop3_starttls("posteo.de")],
        imap: &[imap("posteo.de"), imap_starttls("posteo.de")],
        login: Login::AppPassword(step(
            "Make an app password at Posteo.",
            "https://posteo.de/en/help/app-passwords",
        )),
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "libero",
        name: "Libero Mail",
        domains: &["libero.it", "iol.it", "blu.it", "inwind.it", "giallo.it"],
        pop3: &[pop3("popmail.libero.it")],
        imap: &[imap("imapmail.libero.it")],
        notes: &[SPAM_STAYS],
        checked: "2021-12",
        ..PLAIN
    },
    Provider {
        id: "virgilio",
        name: "Virgilio Mail",
        domains: &["virgilio.it"],
        pop3: &[pop3("in.virgilio.it")],
        imap: &[imap("in.virgilio.it")],
        checked: "2025-12",
        ..PLAIN
    },
    Provider {
        id: "tim",
        name: "TIM Mail",
        domains: &["tim.it"],
        pop3: &[pop3_starttls("pop.tim.it")],
        imap: &[imap_starttls("imap.tim.it")],
        checked: "2025-12",
        ..PLAIN
    },
    Provider {
        id: "alice",
        name: "Alice Mail",
        domains: &["alice.it"],
        pop3: &[pop3_starttls("in.alice.it")],
        imap: &[imap_starttls("in.alice.it")],
        checked: "2025-12",
        ..PLAIN
    },
    Provider {
        id: "tiscali",
        name: "Tiscali Mail",
        domains: &["tiscali.it"],
        pop3: &[pop3("pop.tiscali.it")],
        imap: &[imap("imap.tiscali.it")],
        tried: trials::ENCRYPTED_PASSWORD,
        checked: "2025-12",
        ..PLAIN
    },
    Provider {
        id: "aruba",
        name: "Aruba",
        mx: &["aruba.it"],
        pop3: &[pop3("pop3s.aruba.it")],
        imap: &[imap("imaps.aruba.it")],
        checked: "2026-09",
        ..PLAIN
    },
    Provider {
        id: "aruba-pec",
        name: "Aruba PEC",
        domains: &["pec.it", "arubapec.it", "mypec.eu", "gigapec.it", "ingpec.eu"],
        mx: &["pec.aruba.it"],
        pop3: &[pop3("pop3s.pec.aruba.it")],
        imap: &[imap("imaps.pec.aruba.it")],
        notes: &[
            "POP3 is on from the start, and can be switched off in the settings of WebMail PEC.",
            "With two-step verification a program needs a dedicated password.",
        ],
        checked: "2026-09",
        ..PLAIN
    },
    Provider {
        id: "fastweb",
        name: "Fastweb",
        domains: &["fastwebnet.it"],
        pop3: &[pop3("pop.fastwebnet.it")],
        imap: &[imap("imap.fastwebnet.it")],
        tried: trials::ENCRYPTED_PASSWORD,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "email-it",
        name: "email.it",
        domains: &["email.it"],
        pop3: &[pop3("pop.email.it")],
        imap: &[imap("in.email.it")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "orange",
        name: "Orange",
        domains: &["orange.fr", "wanadoo.fr"],
        pop3: &[pop3("pop.orange.fr")],
        imap: &[imap("imap.orange.fr")],
        checked: "2025-12",
        ..PLAIN
    },
    Provider {
        id: "free",
        name: "Free",
        domains: &["free.fr"],
        pop3: &[pop3("pop.free.fr")],
        imap: &[imap("imap.free.fr")],
        user: User::LocalPart,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "sfr",
        name: "SFR",
        domains: &["sfr.fr", "neuf.fr", "club-internet.fr"],
        pop3: &[pop3("pop.sfr.fr")],
        imap: &[imap("imap.sfr.fr")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "laposte",
        name: "La Poste",
        domains: &["laposte.net"],
        pop3: &[pop3("pop.laposte.net")],
        imap: &[imap("imap.laposte.net")],
        user: User::LocalPart,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "ovh",
        name: "OVH",
        mx: &["ovh.net"],
        pop3: &[pop3("ssl0.ovh.net")],
        imap: &[imap("ssl0.ovh.net")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "gandi",
        name: "Gandi",
        mx: &["gandi.net"],
        domains: &["gandi.net"],
        pop3: &[pop3("mail.gandi.net"), pop3_starttls("mail.gandi.net")],
        imap: &[imap("mail.gandi.net"), imap_starttls("mail.gandi.net")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "one-com",
        name: "one.com",
        domains: &["one.com"],
        mx: &["one.com"],
        pop3: &[pop3("pop.one.com")],
        imap: &[imap("imap.one.com")],
        notes: &["one.com recommends IMAP; that it still has POP3 was last confirmed in 2015."],
        checked: "2015-02",
        ..PLAIN
    },
    Provider {
        id: "zoho-com",
        name: "Zoho Mail (zoho.com)",
        domains: &["zoho.com", "zohomail.com"],
        pop3: &[pop3("pop.zoho.com")],
        imap: &[imap("imap.zoho.com")],
        enable: Some(ZOHO_ENABLE),
        notes: &[ZOHO_TWO_STEPS, ZOHO_PLANS],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "zoho-com-organisations",
        name: "Zoho Mail (zoho.com, for organisations)",
        mx: &["zoho.com"],
        pop3: &[pop3("poppro.zoho.com"), pop3("pop.zoho.com")],
        imap: &[imap("imap.zoho.com")],
        enable: Some(ZOHO_ENABLE),
        notes: &[ZOHO_TWO_STEPS, ZOHO_PLANS],
        checked: "2022-12",
        ..PLAIN
    },
    Provider {
        id: "zoho-eu",
        name: "Zoho Mail (zoho.eu)",
        domains: &["zoho.eu", "zohomail.eu"],
        mx: &["zoho.eu"],
        pop3: &[pop3("pop.zoho.eu")],
        imap: &[imap("imap.zoho.eu")],
        enable: Some(ZOHO_ENABLE),
        notes: &[
            "For an address at a domain of your own the server may be poppro.zoho.eu.",
            ZOHO_TWO_STEPS,
            ZOHO_PLANS,
        ],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "zoho-in",
        name: "Zoho Mail (zoho.in)",
        domains: &["zoho.in", "zohomail.in"],
        pop3: &[pop3("pop.zoho.in")],
        imap: &[imap("imap.zoho.in")],
        enable: Some(ZOHO_ENABLE),
        notes: &[ZOHO_TWO_STEPS, ZOHO_PLANS],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "zoho-in-organisations",
        name: "Zoho Mail (zoho.in, for organisations)",
        mx: &["zoho.in"],
        pop3: &[pop3("poppro.zoho.in"), pop3("pop.zoho.in")],
        imap: &[imap("imap.zoho.in")],
        enable: Some(ZOHO_ENABLE),
        notes: &[ZOHO_TWO_STEPS, ZOHO_PLANS],
        checked: "2022-12",
        ..PLAIN
    },
    Provider {
        id: "zoho-jp",
        name: "Zoho Mail (zoho.jp)",
        domains: &["zoho.jp", "zohomail.jp"],
        mx: &["zoho.jp"],
        pop3: &[pop3("pop.zoho.jp")],
        imap: &[imap("imap.zoho.jp")],
        enable: Some(ZOHO_ENABLE),
        notes: &[
            "For an address at a domain of your own the server may be poppro.zoho.jp.",
            ZOHO_TWO_STEPS,
            ZOHO_PLANS,
        ],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "zoho-au",
        name: "Zoho Mail (zoho.com.au)",
        domains: &["zoho.com.au", "zohomail.com.au"],
        mx: &["zoho.com.au"],
        pop3: &[pop3("pop.zoho.com.au")],
        imap: &[imap("imap.zoho.com.au")],
        enable: Some(ZOHO_ENABLE),
        notes: &[
            "For an address at a domain of your own the server may be poppro.zoho.com.au.",
            ZOHO_TWO_STEPS,
            ZOHO_PLANS,
        ],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "zoho-ca",
        name: "Zoho Mail (zohocloud.ca)",
        domains: &["zohocloud.ca", "zohomailcloud.ca"],
        mx: &["zohocloud.ca"],
        pop3: &[pop3("pop.zohocloud.ca")],
        imap: &[imap("imap.zohocloud.ca")],
        enable: Some(ZOHO_ENABLE),
        notes: &[
            "For an address at a domain of your own the server may be poppro.zohocloud.ca.",
            ZOHO_TWO_STEPS,
            ZOHO_PLANS,
        ],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "fastmail",
        name: "Fastmail",
        domains: domains::FASTMAIL,
        mx: &["messagingengine.com"],
        pop3: &[pop3("pop.fastmail.com")],
        imap: &[imap("imap.fastmail.com")],
        login: Login::AppPassword(Step {
            text: "Make an app password in Fastmail's settings, with access to mail by IMAP, POP and SMTP. Not every \
                   plan has it.",
            url: None,
        }),
        notes: &["With several addresses the user is the one that you log in with at Fastmail."],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "yandex",
        name: "Yandex Mail",
        domains: domains::YANDEX,
        pop3: &[pop3("pop.yandex.com")],
        imap: &[imap("imap.yandex.com")],
        login: Login::AppPassword(step(
            "Make an app password in your Yandex account.",
            "https://yandex.com/support/passport/authorization/app-passwords.html",
        )),
        enable: Some(step(
            "Switch POP3 on in Yandex Mail, under Settings, \u{201c}Email clients\u{201d}.",
            "https://yandex.com/support/mail/mail-clients/others.html",
        )),
        notes: &["Yandex Mail keeps on its server what a program deletes by POP3."],
        ignores_deletion: true,
        tried: trials::YANDEX,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "mail-ru",
        name: "Mail.ru",
        domains: &["mail.ru", "inbox.ru", "list.ru", "bk.ru", "internet.ru", "corp.mail.ru"],
        pop3: &[pop3("pop.mail.ru")],
        imap: &[imap("imap.mail.ru"), imap_starttls("imap.mail.ru")],
        login: Login::AppPassword(step(
            "Make a password for external apps in your Mail.ru account.",
            "https://help.mail.ru/mail/security/protection/external",
        )),
        checked: "2026-04",
        ..PLAIN
    },
    Provider {
        id: "godaddy",
        name: "GoDaddy",
        mx: &["secureserver.net"],
        pop3: &[pop3("pop.secureserver.net")],
        imap: &[imap("imap.secureserver.net")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "comcast",
        name: "Comcast Xfinity",
        domains: &["comcast.net"],
        pop3: &[pop3("mail.comcast.net"), pop3_starttls("mail.comcast.net")],
        imap: &[imap("imap.comcast.net"), imap_starttls("imap.comcast.net")],
        enable: Some(COMCAST_ENABLE),
        enable_imap: Some(COMCAST_ENABLE),
        tried: trials::COMCAST,
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "att",
        name: "AT&T",
        domains: domains::ATT,
        pop3: &[pop3("inbound.att.net")],
        imap: &[imap("imap.mail.att.net")],
        checked: "2026-03",
        ..PLAIN
    },
    Provider {
        id: "bt",
        name: "BT",
        domains: &["btinternet.com", "btopenworld.com", "talk21.com"],
        pop3: &[pop3("mail.btinternet.com")],
        imap: &[imap("mail.btinternet.com")],
        checked: "2026-03",
        ..PLAIN
    },
];
