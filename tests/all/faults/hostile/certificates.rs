//! Certificates that prove nothing, each with what a person is told of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, NameConstraints, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// What a server shows to whoever connects, and what is to be said of it.
pub struct Case {
    pub name: &'static str,
    pub shown: Shown,
    /// Part of the sentence that a person reads.
    pub says: &'static str,
    /// The `host` of the config, and its `server_name` and `pin` where they are set.
    pub host: &'static str,
    pub server_name: Option<&'static str>,
    pub pin: Option<String>,
}

pub enum Shown {
    /// A chain, the server's own certificate first, and the key that it signs with.
    Chain(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    /// `openssl s_server` with these arguments, for what rustls never does.
    OpenSsl(Vec<String>),
}

/// The authorities that `roots.pem` in their folder trusts.
pub struct Authorities {
    folder: PathBuf,
    root: Authority,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, and those above it that are not trusted by themselves.
    chain: Vec<CertificateDer<'static>>,
}

impl Authorities {
    pub fn new(folder: &Path) -> Authorities {
        let root = Authority::root("mailferry test root");
        // OpenSSL signs what rcgen would not; its own authority is trusted like the other.
        openssl(
            folder,
            "req -x509 -newkey rsa:2048 -nodes -keyout rsa-root.key -out rsa-root.pem -subj /CN=rsa-root",
        );
        let rsa_root = CertificateDer::from_pem_file(folder.join("rsa-root.pem")).unwrap();
        fs::write(folder.join("rsa-root.ext"), "subjectAltName = DNS:localhost\n").unwrap();
        fs::write(folder.join("roots.pem"), pem(&root.chain[0]) + &pem(&rsa_root)).unwrap();
        Authorities { folder: folder.to_owned(), root }
    }

    /// What everybody trusts: without it the refusals would show nothing.
    pub fn good(&self) -> Vec<Case> {
        let stranger = Authority::root("localhost");
        let (chain, key) = stranger.leaf(|_| {});
        let pin = format!("sha256:{}", hex(&Sha256::digest(&chain[0])));
        vec![
            case("in order", "", self.root.leaf(|_| {})),
            case("below an intermediate", "", self.root.below(|_| {}).leaf(|_| {})),
            case("RSA", "", self.signed_by_openssl("good", 2048, "-sha256")),
            Case { pin: Some(pin), ..case("the one of the pin", "", (chain, key)) },
        ]
    }

    /// A07, A08, A09.
    pub fn bad(&self) -> Vec<Case> {
        let mut cases = self.of_strangers();
        cases.extend(self.for_other_names());
        cases.extend(self.at_other_times());
        cases.extend(self.for_other_uses());
        cases.extend(self.badly_signed());
        cases.extend(self.of_old_protocols());
        cases
    }

    fn of_strangers(&self) -> Vec<Case> {
        const UNKNOWN: &str = "is from an unknown issuer";
        let stranger = Authority::root("stranger");
        let namesake = Authority::root("mailferry test root");
        let (mut without_intermediate, key) = self.root.below(|_| {}).leaf(|_| {});
        without_intermediate.truncate(1);
        let self_signed = Authority::self_signed(|params| params.is_ca = IsCa::NoCa);
        let (theirs, _) = self.root.leaf(|_| {});
        let (_, another_key) = self.root.leaf(|_| {});
        let pinned = format!("sha256:{}", hex(&Sha256::digest(&theirs[0])));
        vec![
            case("self-signed", UNKNOWN, self_signed),
            case("unknown root", UNKNOWN, stranger.leaf(|_| {})),
            case("another root of the same name", "or it is somebody else's", namesake.leaf(|_| {})),
            case("intermediate left out", UNKNOWN, (without_intermediate, key)),
            Case {
                pin: Some(format!("sha256:{}", "00".repeat(32))),
                ..case("not the one of the pin", "is not the one in `pin`", self.root.leaf(|_| {}))
            },
            Case {
                pin: Some(pinned),
                ..case(
                    "the one of the pin, in other hands",
                    "or it is somebody else's",
                    (theirs.clone(), another_key.clone_key()),
                )
            },
            case("in other hands", "or it is somebody else's", (theirs, another_key)),
        ]
    }

    fn for_other_names(&self) -> Vec<Case> {
        const OTHER: &str = "is not for `localhost`";
        let named = |names: &[SanType]| {
            let names = names.to_vec();
            self.root.leaf(move |params| params.subject_alt_names = names)
        };
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let numbers = [SanType::IpAddress([127, 0, 0, 2].into()), dns("127.0.0.1"), dns("localhost")];
        let limited = self.root.below(|params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
                excluded_subtrees: Vec::new(),
            });
        });
        vec![
            case("another host", OTHER, named(&[dns("mail.example.org")])),
            case("a NUL in the name", OTHER, named(&[dns("localhost\0.example.org")])),
            case("only a common name", OTHER, named(&[])),
            case("a wildcard alone", OTHER, named(&[dns("*"), dns("*.")])),
            case("part of a label", OTHER, named(&[dns("local*"), dns("l*t")])),
            Case {
                server_name: Some("pop.mail.example.org"),
                // A webhook has no `server_name`: its wildcard covers one label too many.
                ..case(
                    "a wildcard for two labels",
                    "is not for `",
                    named(&[dns("*.example.org"), dns("*.localhost")]),
                )
            },
            Case { host: "127.0.0.1", ..case("another address", "is not for `127.0.0.1`", named(&numbers)) },
            case("beyond its authority's names", "which its issuer may not vouch for", limited.leaf(|_| {})),
        ]
    }

    fn at_other_times(&self) -> Vec<Case> {
        let past = |params: &mut CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        };
        let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
        vec![
            case("expired", "has expired", self.root.leaf(past)),
            case("not yet valid", "is not valid yet", self.root.leaf(future)),
            case("below one that has expired", "has expired", self.root.below(past).leaf(|_| {})),
        ]
    }

    fn for_other_uses(&self) -> Vec<Case> {
        let for_clients = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        };
        let authority = |params: &mut CertificateParams| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        };
        let no_authority = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
        let unknown = |params: &mut CertificateParams| {
            // 1.3.6.1.4.1.32473 is for examples (RFC 5612).
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
        };
        vec![
            case("for clients only", "refused (", self.root.leaf(for_clients)),
            case("an authority's own", "is its own issuer", self.root.leaf(authority)),
            case("signed by no authority", "refused (", self.root.below(no_authority).leaf(|_| {})),
            case("an unknown critical extension", "refused (", self.root.leaf(unknown)),
        ]
    }

    fn badly_signed(&self) -> Vec<Case> {
        vec![
            case("signed with SHA-1", "refused (", self.signed_by_openssl("sha1", 2048, "-sha1")),
            case("signed with MD5", "refused (", self.signed_by_openssl("md5", 2048, "-md5")),
            self.shown_by_openssl("a key of 1024 bits", "or it is somebody else's", 1024, &["-tls1_2"]),
        ]
    }

    fn of_old_protocols(&self) -> Vec<Case> {
        const OLD: &str = "TLS failed (";
        vec![
            self.shown_by_openssl("TLS 1.0", OLD, 2048, &["-tls1"]),
            self.shown_by_openssl("TLS 1.1", OLD, 2048, &["-tls1_1"]),
            self.shown_by_openssl("no certificate at all", OLD, 2048, &["-tls1_2", "-nocert"]),
            self.shown_by_openssl("no encryption", OLD, 2048, &["-tls1_2", "-cipher", "eNULL@SECLEVEL=0"]),
        ]
    }

    fn signed_by_openssl(&self, name: &str, bits: u32, digest: &str) -> Leaf {
        let folder = &self.folder;
        openssl(
            folder,
            &format!("req -newkey rsa:{bits} -nodes -keyout {name}.key -out {name}.csr -subj /CN=x"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA rsa-root.pem -CAkey rsa-root.key -CAcreateserial {digest} \
                 -extfile rsa-root.ext -out {name}.pem"
            ),
        );
        let chain = CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap();
        (vec![chain], PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap())
    }

    fn shown_by_openssl(&self, name: &'static str, says: &'static str, bits: u32, how: &[&str]) -> Case {
        let stem = name.replace(' ', "-");
        let leaf = self.signed_by_openssl(&stem, bits, "-sha256");
        let file = |end: &str| self.folder.join(format!("{stem}.{end}")).display().to_string();
        let mut arguments: Vec<String> = how.iter().map(|&argument| argument.to_owned()).collect();
        if !how.contains(&"-nocert") {
            arguments.extend(["-cert".to_owned(), file("pem"), "-key".to_owned(), file("key")]);
        }
        if !how.contains(&"-cipher") {
            arguments.extend(["-cipher".to_owned(), "ALL:aNULL:@SECLEVEL=0".to_owned()]);
        }
        Case { shown: Shown::OpenSsl(arguments), ..case(name, says, leaf) }
    }
}

type Leaf = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn case(name: &'static str, says: &'static str, (chain, key): Leaf) -> Case {
    let shown = Shown::Chain(chain, key);
    Case { name, shown, says, host: "localhost", server_name: None, pin: None }
}

impl Authority {
    fn root(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let certificate = params.self_signed(&key).unwrap();
        Authority { issuer: Issuer::new(params, key), chain: vec![certificate.der().clone()] }
    }

    fn self_signed(edit: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let (key, mut params) = (KeyPair::generate().unwrap(), leaf_params());
        edit(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// One that this one vouches for.
    fn below(&self, edit: impl FnOnce(&mut CertificateParams)) -> Authority {
        let (key, mut params) = (KeyPair::generate().unwrap(), authority_params("intermediate"));
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Authority { issuer: Issuer::new(params, key), chain: vec![certificate.der().clone()] }
    }

    /// A server's certificate, for localhost unless `edit` says otherwise. A root is left out of its chain.
    fn leaf(&self, edit: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let (key, mut params) = (KeyPair::generate().unwrap(), leaf_params());
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = [&[certificate.der().clone()], self.chain.as_slice()].concat();
        (chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    // Nobody is to go by it.
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params
}

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let ran = command.current_dir(folder).args(arguments.split_whitespace()).output();
    let ran = ran.expect("the Debian package openssl is installed");
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
