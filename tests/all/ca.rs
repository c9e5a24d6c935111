//! A certificate authority for tests.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority that lives in a folder of its test.
pub struct Ca {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Its own certificate is `ca.pem` in `folder`.
    pub fn new(folder: &Path) -> Ca {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "mailferry test CA");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        Ca { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// The file to set as `ca_file`.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Issues a certificate for `names` (host names or addresses): the files of the chain and of the key.
    pub fn issue(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        self.issue_as(names[0], &params_for(names))
    }

    /// As [`Ca::issue`], but the certificate expired long ago.
    pub fn issue_expired(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        let mut params = params_for(names);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.issue_as("expired", &params)
    }

    fn issue_as(&self, name: &str, params: &CertificateParams) -> (PathBuf, PathBuf) {
        let stem = name.replace(['*', '/', ':'], "_");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.folder.join(format!("{stem}.pem")), self.folder.join(format!("{stem}.key")));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn params_for(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
}
