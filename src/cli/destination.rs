//! Where mail goes: a destination that is added with an account by `add`, or changed by `edit-destination`.

use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use crate::config::draft::{GmailDraft, HomeDraft, IMAP_PORTS, PeerDraft, Place};
use crate::config::{self, Config};
use crate::message::{DestinationName, NAME_RULE};
use crate::net::Tls;
use crate::setup::{self, Door, NewLogin, NewSignIn, NoWay, OwnHome, Suggestion};

use super::answers::{TlsWord, changed, yes_or_no};
use super::person::{Person, Question};
use super::steps::{
    accepted, ask_server, choose_way, make_sure_of, new_password, password, take_up, tell, warn, without_way,
};
use super::{exit, login, page, plain, print};

/// A destination that is added with the account.
#[derive(Args)]
#[command(next_help_heading = "A new destination, called as --to says [default: home, or gmail]")]
pub struct NewHome {
    /// What it is: an IMAP server, or Gmail by Google's API, with its spam check and its calendar [default: imap]
    #[arg(long, value_name = "KIND", value_enum)]
    to_kind: Option<Kind>,
    /// The IMAP server [default: what is known of the address that --to-user is]
    #[arg(long, value_name = "HOST")]
    to_host: Option<String>,
    /// Its port [default: 993, or 143 with --to-tls starttls]
    #[arg(long, value_name = "PORT")]
    to_port: Option<u16>,
    /// How the connection is encrypted
    #[arg(long, value_name = "TLS", value_enum)]
    to_tls: Option<TlsWord>,
    /// Who logs in there: for Gmail its address
    #[arg(long, value_name = "USER")]
    to_user: Option<String>,
    /// A file with the password there, or - for standard input
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,
    /// Sign in there by OAuth, in the place of a password: by the application [oauth.NAME] of the config. For Gmail by
    /// Google's API there is no other way, and the default is the first application of Google's
    #[arg(long, value_name = "NAME", conflicts_with = "to_password_file")]
    to_oauth: Option<String>,
    /// Gmail: never send it to Spam, whatever Gmail takes it for
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    to_never_mark_spam: Option<bool>,
    /// Gmail: add invitations to the calendar [default: yes]
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    to_process_for_calendar: Option<bool>,
    /// Gmail: where the API is, for who goes through a proxy
    #[arg(long, value_name = "URL")]
    to_url: Option<String>,
}

/// What of a destination is to be another; what is not said stays.
#[derive(Args)]
pub struct HomeChange {
    /// The IMAP server
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Its port [default: 993, or 143 with --tls starttls, where --tls changes it]
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is encrypted
    #[arg(long, value_enum)]
    tls: Option<TlsWord>,
    /// Who logs in
    #[arg(long)]
    user: Option<String>,
    /// A file with the password, or - for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Sign in by OAuth, in the place of a password: by the application [oauth.NAME] of the config
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    oauth: Option<String>,
    /// Gmail: never send it to Spam, whatever Gmail takes it for
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    never_mark_spam: Option<bool>,
    /// Gmail: add invitations to the calendar
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    process_for_calendar: Option<bool>,
    /// Gmail: where the API is, for who goes through a proxy
    #[arg(long)]
    url: Option<String>,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

/// What a destination can be that setup sees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Imap,
    Gmail,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Imap, Kind::Gmail];

    fn of(place: &Place) -> Kind {
        match place {
            Place::Imap(_) => Kind::Imap,
            Place::Gmail(_) => Kind::Gmail,
        }
    }

    /// As the config has it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Imap => "imap",
            Kind::Gmail => "gmail",
        }
    }

    /// What a new one is called.
    fn usual_name(self) -> &'static str {
        match self {
            Kind::Imap => "home",
            Kind::Gmail => "gmail",
        }
    }

    /// As a person chooses it.
    pub fn another(self) -> &'static str {
        match self {
            Kind::Imap => "another IMAP server",
            Kind::Gmail => "Gmail, with its spam check and calendar: you sign in with Google",
        }
    }
}

/// Answers given beforehand.
#[derive(Clone)]
pub struct HomeAnswers {
    pub kind: Kind,
    /// What the options begin with.
    options: &'static str,
    host: Option<String>,
    port: Option<u16>,
    tls: Option<TlsWord>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    oauth: Option<String>,
    never_mark_spam: Option<bool>,
    process_for_calendar: Option<bool>,
    url: Option<String>,
}

impl NewHome {
    /// What is answered of a new destination, and what that is called; `None` where none is meant.
    pub fn answers(
        self,
        config: &Config,
        to: Option<&DestinationName>,
    ) -> anyhow::Result<Option<(DestinationName, HomeAnswers)>> {
        let is_meant = self.to_kind.is_some();
        let answers = HomeAnswers {
            kind: self.to_kind.unwrap_or(Kind::Imap),
            options: "--to-",
            host: self.to_host,
            port: self.to_port,
            tls: self.to_tls,
            user: self.to_user,
            password_file: self.to_password_file,
            oauth: self.to_oauth,
            never_mark_spam: self.to_never_mark_spam,
            process_for_calendar: self.to_process_for_calendar,
            url: self.to_url,
        };
        if !is_meant && answers.say_nothing() {
            return Ok(None);
        }
        answers.must_fit()?;
        let name = to.cloned().or_else(|| DestinationName::new(answers.kind.usual_name()));
        let name = name.ok_or_else(|| plain(exit::USAGE, "give the new destination a name by --to"))?;
        if config.destinations.iter().any(|known| known.name == name) {
            let text = format!(
                "there is a destination {name} already; give the new one another name by --to, or leave out what begins with \
                 --to-"
            );
            return Err(plain(exit::USAGE, text));
        }
        Ok(Some((name, answers)))
    }
}

impl HomeChange {
    fn answers(&self, kind: Kind) -> HomeAnswers {
        HomeAnswers {
            kind,
            options: "--",
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            oauth: self.oauth.clone(),
            never_mark_spam: self.never_mark_spam,
            process_for_calendar: self.process_for_calendar,
            url: self.url.clone(),
        }
    }
}

impl HomeAnswers {
    /// Nothing is answered beforehand.
    pub fn none(kind: Kind) -> HomeAnswers {
        HomeAnswers {
            kind,
            options: "--to-",
            host: None,
            port: None,
            tls: None,
            user: None,
            password_file: None,
            oauth: None,
            never_mark_spam: None,
            process_for_calendar: None,
            url: None,
        }
    }

    fn is_of_server(&self) -> bool {
        self.host.is_some() || self.port.is_some() || self.tls.is_some() || self.password_file.is_some()
    }

    fn is_of_gmail(&self) -> bool {
        let flags = [self.never_mark_spam, self.process_for_calendar];
        flags.iter().any(Option::is_some) || self.url.is_some()
    }

    fn say_nothing(&self) -> bool {
        self.user.is_none() && self.oauth.is_none() && !self.is_of_server() && !self.is_of_gmail()
    }

    /// Whether all that is answered is for this kind.
    fn must_fit(&self) -> anyhow::Result<()> {
        let option = |name: &str| self.option(name);
        let text = match self.kind {
            Kind::Gmail if self.is_of_server() => format!(
                "{}, {}, {} and {} are for an IMAP server, and this is Gmail by Google's API; leave them out",
                option("host"),
                option("port"),
                option("tls"),
                option("password-file")
            ),
            Kind::Imap if self.is_of_gmail() => format!(
                "{}, {} and {} are for Gmail by Google's API, and this is an IMAP server; leave them out",
                option("never-mark-spam"),
                option("process-for-calendar"),
                option("url")
            ),
            Kind::Gmail | Kind::Imap => return Ok(()),
        };
        Err(plain(exit::USAGE, text))
    }

    /// Whether the config has what leads into Gmail, if that is where the mail goes.
    pub fn way_into_gmail(&self, config: &Config) -> Result<(), NoWay> {
        match (self.kind, &self.oauth) {
            (Kind::Gmail, None) => setup::ways_to(config, &Place::Gmail(GmailDraft::of("")), None).map(drop),
            (Kind::Gmail, Some(_)) | (Kind::Imap, _) => Ok(()),
        }
    }

    fn option(&self, name: &str) -> String {
        format!("{}{name}", self.options)
    }

    /// `place` as far as it is answered, but for who logs in there.
    fn applied_to(&self, place: Place) -> Place {
        match place {
            Place::Imap(peer) => {
                Place::Imap(changed(peer, &IMAP_PORTS, self.host.as_ref(), self.port, self.tls, None))
            }
            Place::Gmail(gmail) => Place::Gmail(GmailDraft {
                url: self.url.clone().unwrap_or(gmail.url),
                never_mark_spam: self.never_mark_spam.unwrap_or(gmail.never_mark_spam),
                process_for_calendar: self.process_for_calendar.unwrap_or(gmail.process_for_calendar),
                ..gmail
            }),
        }
    }
}

/// What has come of a wish for a new destination.
pub enum Added {
    As(DestinationName),
    /// There is no way to log in there, and why has been said.
    Not,
}

/// Asks for a new destination, logs in there, and adds it to the config. It has a `name` by now where it was answered
/// beforehand.
pub async fn add(
    person: &Person,
    config: &Config,
    name: Option<&DestinationName>,
    answers: &HomeAnswers,
) -> anyhow::Result<Added> {
    let work = Work { person, config, answers, before: None };
    let is_given = name.is_some();
    let name = match name {
        Some(name) => name.clone(),
        None => match answers.way_into_gmail(config) {
            Ok(()) => ask_name(person, config, answers.kind)?,
            Err(no_way) => return Ok(not_added(&no_way)),
        },
    };
    let (place, only_oauth) = work.begin().await?;
    let mut home = HomeDraft { name: name.clone(), place };
    let oauth = match work.ways(&home.place, only_oauth) {
        Ok(ways) => choose_way(person, ways, &answers.option("oauth"))?,
        Err(no_way) if is_given => return Err(without_way(no_way)),
        Err(no_way) => return Ok(not_added(&no_way)),
    };
    let login = work.log_in(&mut home, oauth.as_deref()).await?;
    make_sure_of(&config.file)?;
    if oauth.is_some() {
        page::open_ledger(&config.ledger).await?;
    }
    let saved = setup::add_home(&config.file, home, login).await?;
    print(&format!("Added the destination {name} to {}\n", config.file.display()));
    warn(&saved);
    Ok(Added::As(name))
}

fn ask_name(person: &Person, config: &Config, kind: Kind) -> anyhow::Result<DestinationName> {
    let is_taken = |name: &str| config.destinations.iter().any(|known| known.name.as_str() == name);
    let usual = Some(kind.usual_name()).filter(|name| !is_taken(name));
    loop {
        let name = person.line(Question { text: "A name for it", option: "--to" }, usual)?;
        match DestinationName::new(&name) {
            Some(name) if is_taken(name.as_str()) => {
                print(&format!("There is a destination {name} already.\n"));
            }
            Some(name) => return Ok(name),
            None => print(&format!("A name has {NAME_RULE}.\n")),
        }
    }
}

/// Somebody is there who can choose another one.
fn not_added(no_way: &NoWay) -> Added {
    print(&format!("{}\n\n{}\n", no_way.text, no_way.block));
    Added::Not
}

/// A destination that is being added, or changed.
struct Work<'a> {
    person: &'a Person,
    config: &'a Config,
    answers: &'a HomeAnswers,
    before: Option<&'a OwnHome<'a>>,
}

impl Work<'_> {
    /// Where a new one is, as far as that is known or answered, and why no password opens it.
    async fn begin(&self) -> anyhow::Result<(Place, Option<String>)> {
        match self.answers.kind {
            Kind::Gmail => {
                let mut gmail = GmailDraft::of("");
                self.ask_user(&mut gmail.user)?;
                let mut place = self.answers.applied_to(Place::Gmail(gmail));
                self.ask_boxes(&mut place)?;
                Ok((place, None))
            }
            Kind::Imap => {
                let mut user = String::new();
                self.ask_user(&mut user)?;
                let Suggestion { peer, only_oauth, .. } = self.suggestion(&user).await?;
                if peer.user != user {
                    print(&format!("  The user name there is {}.\n", peer.user));
                }
                Ok((self.answers.applied_to(Place::Imap(peer)), only_oauth))
            }
        }
    }

    /// What is known of an address; nobody is asked where the server is given.
    async fn suggestion(&self, user: &str) -> anyhow::Result<Suggestion> {
        let at = |host: &str| {
            let (host, user, tls) = (host.to_owned(), user.to_owned(), Tls::Implicit);
            setup::suggestion_for(PeerDraft { host, port: IMAP_PORTS.of(tls), tls, user })
        };
        if let Some(host) = &self.answers.host {
            return Ok(at(host));
        }
        match setup::suggest_home(user, self.config.lookup.as_ref()).await {
            Ok(suggestion) => {
                tell(&suggestion);
                accepted(self.person, suggestion)
            }
            Err(reason) => {
                print(&format!("  {reason}\n"));
                Ok(at(""))
            }
        }
    }

    fn ask_user(&self, user: &mut String) -> anyhow::Result<()> {
        let text = match self.answers.kind {
            Kind::Imap => "User name there",
            Kind::Gmail => "Gmail address",
        };
        let known = Some(user.as_str()).filter(|user| !user.is_empty()).or(self.answers.user.as_deref());
        *user = self.person.line(Question { text, option: &self.answers.option("user") }, known)?;
        Ok(())
    }

    /// In the words of Gmail's own settings.
    fn ask_boxes(&self, place: &mut Place) -> anyhow::Result<()> {
        let Place::Gmail(gmail) = place else { return Ok(()) };
        if self.answers.never_mark_spam.is_none() {
            let text = "Never send it to Spam, whatever Gmail takes it for?";
            gmail.never_mark_spam = self.person.confirm(text, gmail.never_mark_spam)?;
        }
        if self.answers.process_for_calendar.is_none() {
            let text = "Add invitations to the calendar?";
            gmail.process_for_calendar = self.person.confirm(text, gmail.process_for_calendar)?;
        }
        Ok(())
    }

    /// How one can log in there, as far as it is not answered; what opens it now comes first.
    fn ways(&self, place: &Place, only_oauth: Option<String>) -> Result<Vec<Option<String>>, NoWay> {
        let HomeAnswers { oauth, password_file, .. } = self.answers;
        if oauth.is_some() || password_file.is_some() {
            return Ok(vec![oauth.clone()]);
        }
        let ways = setup::ways_to(self.config, place, only_oauth);
        let Some(now) = self.before.map(|before| before.oauth) else { return ways };
        let mut ways = ways.unwrap_or_default();
        ways.retain(|way| way.as_deref() != now);
        ways.insert(0, now.map(str::to_owned));
        Ok(ways)
    }

    /// Asks until a new one lets us in. Returns what opened it.
    async fn log_in(&self, home: &mut HomeDraft, oauth: Option<&str>) -> anyhow::Result<NewLogin> {
        let mut signed_in = None;
        loop {
            let password = match oauth {
                Some(_) => None,
                None => Some(self.password()?),
            };
            self.ask_server(&mut home.place)?;
            let login: NewLogin = match oauth {
                Some(oauth) => {
                    let new = self.sign_in(home, oauth, signed_in.take()).await?;
                    signed_in.insert(new).clone().into()
                }
                None => password.unwrap_or_default().into(),
            };
            let host = home.place.host();
            print(&format!("Logging in to {host} ...\n"));
            match setup::log_in_home(&home.place, login.login()).await {
                Ok(told) => {
                    print(&format!("Logged in: {told}\n"));
                    return Ok(login);
                }
                Err(reason) if self.person.is_absent() => {
                    return Err(plain(exit::LATER, format!("{host}: {reason}")));
                }
                Err(reason) => {
                    print(&format!("That did not work. {host}: {reason}\n"));
                    // Where it was not the sign-in, nobody has to sign in once more, unless for another server.
                    signed_in = signed_in.filter(|_| !reason.is_of_credentials());
                }
            }
            self.ask_user(home.place.user_mut())?;
        }
    }

    fn password(&self) -> anyhow::Result<SecretString> {
        let option = self.answers.option("password-file");
        match &self.answers.password_file {
            Some(file) => password(self.person, Some(file)),
            None => new_password(self.person, Question { text: "Password there", option: &option }),
        }
    }

    fn ask_server(&self, place: &mut Place) -> anyhow::Result<()> {
        match place {
            Place::Imap(peer) => {
                ask_server(self.person, peer, "IMAP server", &IMAP_PORTS, self.answers.options)
            }
            Place::Gmail(_) => Ok(()),
        }
    }

    async fn sign_in(
        &self,
        home: &HomeDraft,
        oauth: &str,
        known: Option<NewSignIn>,
    ) -> anyhow::Result<NewSignIn> {
        let new = async {
            let new = NewSignIn::for_home(&self.config.file, oauth, home).await?;
            // What the config would refuse is said before anybody signs in.
            setup::check_home(self.config, self.before, home, &new.clone().into())?;
            Ok(new)
        };
        let new = NewSignIn::or_new(known, oauth, &Door::Home(home.place.clone()), new).await?;
        login::of_newcomer(&new).await?;
        Ok(new)
    }
}

/// Changes a destination, once it has let us in; what is not answered stays, and where nothing is, all of it is asked.
pub async fn edit(file: &Path, name: &DestinationName, change: &HomeChange) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let before = setup::own_home(&config, name.as_str())?;
    let (person, answers) = (Person::new(change.yes), change.answers(Kind::of(&before.home.place)));
    answers.must_fit()?;
    let work = Work { person: &person, config: &config, answers: &answers, before: Some(&before) };
    let mut home = HomeDraft { place: answers.applied_to(before.home.place.clone()), name: name.clone() };
    if let Some(user) = &answers.user {
        user.clone_into(home.place.user_mut());
    }
    let login = match answers.say_nothing() {
        true if person.is_absent() && before.oauth.is_some() => {
            let text = "nothing was said to be changed; mailferry edit-destination --help lists what can be";
            return Err(plain(exit::USAGE, text));
        }
        true if !person.is_absent() => work.ask_changes(&mut home, &before).await?,
        _ => {
            let oauth = work.given_way(&before);
            work.new_login(&home, &before, oauth, false).await?
        }
    };
    if login.is_none() && home == before.home {
        print("Nothing was changed.\n");
        return Ok(exit::OK);
    }
    if matches!(login, Some(NewLogin::SignIn(_))) {
        page::open_ledger(&config.ledger).await?;
    }
    let is_let_in = login.is_some();
    let saved = setup::change_home(file, &before, home, login).await?;
    print(&format!("Changed the destination {name} in {}\n", file.display()));
    warn(&saved);
    let code = take_up(&config).await?;
    // Whoever runs on this ledger, now or later; where there is none, nothing waits.
    if is_let_in && config.ledger.exists() {
        let visitor = page::open_ledger(&config.ledger).await?;
        for request in setup::requests_of(&config, name) {
            visitor.request(&request, Utc::now()).await?;
        }
    }
    Ok(code)
}

impl Work<'_> {
    /// By which application somebody signs in from now on.
    fn given_way(&self, before: &OwnHome<'_>) -> Option<String> {
        match (&self.answers.oauth, &self.answers.password_file) {
            (None, None) => before.oauth.map(str::to_owned),
            (oauth, _) => oauth.clone(),
        }
    }

    /// Asks for all that can be changed. Returns what opens it from now on, where that is something new.
    async fn ask_changes(
        &self,
        home: &mut HomeDraft,
        before: &OwnHome<'_>,
    ) -> anyhow::Result<Option<NewLogin>> {
        self.ask_user(home.place.user_mut())?;
        self.ask_boxes(&mut home.place)?;
        let ways = self.ways(&home.place, None).map_err(without_way)?;
        let oauth = choose_way(self.person, ways, "--oauth")?;
        self.ask_server(&mut home.place)?;
        self.new_login(home, before, oauth, true).await
    }

    /// `None` where what opened it before is good for what it is now. `may_keep`: also a password, if none is typed.
    async fn new_login(
        &self,
        home: &HomeDraft,
        before: &OwnHome<'_>,
        oauth: Option<String>,
        may_keep: bool,
    ) -> anyhow::Result<Option<NewLogin>> {
        let is_good = oauth.as_deref() == before.oauth && home.place.opens_as(&before.home.place);
        match oauth {
            Some(_) if is_good => Ok(None),
            Some(oauth) => Ok(Some(self.sign_in(home, &oauth, None).await?.into())),
            None if is_good && may_keep => {
                let typed =
                    self.person.password_if_new("New password (empty keeps the one that is known)")?;
                Ok(typed.map(NewLogin::from))
            }
            None => Ok(Some(self.password()?.into())),
        }
    }
}
