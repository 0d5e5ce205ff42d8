//! Identities: one authority, one server, many devices.
//!
//! The authority's folder, which is also what the server runs from:
//!
//! ```text
//! authority.pem          the authority's certificate, 10 years
//! authority.key          its key: needed to issue, not to serve; keep it offline if you can
//! server.pem             the server's certificate, 397 days
//! server.key
//! revoked                one device id a line; `#` begins a comment
//! devices/cam-7/         the bundle of one device: copy this folder to the board
//!     authority.pem
//!     device.pem         its certificate, 397 days
//!     device.key
//! ```
//!
//! Keys are ECDSA P-256, readable by their owner only. The server serves a
//! device only if the certificate it shows is the one in `devices/`, so that
//! issuing again ends the earlier certificate; `device.key` may be deleted here
//! once the board has it. The folder is read at each handshake: enrolling and
//! revoking need no restart.

use afferent_media::{Code, Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// Days for which a server's or device's certificate is valid.
pub const LEAF_DAYS: i64 = 397;
/// Days for which an authority's certificate is valid: 10 years.
pub const AUTHORITY_DAYS: i64 = 3653;
/// Most bytes of a device id.
pub const MAX_DEVICE_ID: usize = 63;

/// What follows the device id in a certificate's subject alternative name.
const DEVICE_SUFFIX: &str = ".device.afferent";

const AUTHORITY: &str = "authority";
const SERVER: &str = "server";
const DEVICE: &str = "device";
const DEVICES: &str = "devices";
const REVOKED: &str = "revoked";

/// Checks that `id` may name a device: 1 to 63 lower-case letters, digits and
/// hyphens, no hyphen at either end.
///
/// # Errors
/// [`Code::Config`].
pub fn check_device_id(id: &str) -> Result<()> {
    let fits = (1..=MAX_DEVICE_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !id.starts_with('-')
        && !id.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(Error::new(
        Code::Config,
        format!("`{}` cannot be a device id", id.escape_default()),
        "use 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end, for example `cam-7`",
    ))
}

/// The device id that a certificate proves.
///
/// # Errors
/// [`Code::Refused`] if it is no device's certificate.
pub fn device_id_of(certificate: &CertificateDer<'_>) -> Result<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate);
    parsed
        .ok()
        .and_then(|parsed| {
            let id = parsed.valid_dns_names().find_map(|name| name.strip_suffix(DEVICE_SUFFIX))?;
            check_device_id(id).is_ok().then(|| id.to_owned())
        })
        .ok_or_else(|| {
            Error::new(
                Code::Refused,
                "the certificate names no device",
                "use a bundle that the server's authority issued (`afferent enroll`)",
            )
        })
}

/// An authority that issues identities.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority in `folder`, which is made if it does not exist.
    ///
    /// # Errors
    /// [`Code::Config`] if the folder holds an authority already, [`Code::Io`]
    /// if it cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        let key_file = file(folder, AUTHORITY, "key");
        if key_file.exists() {
            return Err(Error::new(
                Code::Config,
                format!("{} exists", key_file.display()),
                "open this authority, or choose another folder",
            ));
        }
        let devices = folder.join(DEVICES);
        fs::create_dir_all(&devices).map_err(|cause| Error::io(format!("making {}", devices.display()), cause))?;
        let key = KeyPair::generate().map_err(unissued)?;
        let params = authority_params(&key);
        let certificate = params.self_signed(&key).map_err(unissued)?;
        write(&file(folder, AUTHORITY, "pem"), &certificate.pem(), Secret::No)?;
        write(&key_file, &key.serialize_pem(), Secret::Yes)?;
        Ok(Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Opens the authority in `folder`.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there is none, [`Code::Corrupt`] if its files are
    /// damaged or do not belong together.
    pub fn open(folder: &Path) -> Result<Self> {
        let key_file = file(folder, AUTHORITY, "key");
        let pem = fs::read_to_string(&key_file)
            .map_err(|cause| Error::io(format!("reading {}", key_file.display()), cause))?;
        let key = KeyPair::from_pem(&pem).map_err(|cause| damaged(&key_file).caused_by(cause))?;
        let certificate_file = file(folder, AUTHORITY, "pem");
        let certificate = read_certificate(&certificate_file)?;
        let public = key.public_key_raw();
        if !certificate.windows(public.len()).any(|window| window == public) {
            return Err(Error::new(
                Code::Corrupt,
                format!("{} and {} do not belong together", certificate_file.display(), key_file.display()),
                "restore both from one backup, or make a new authority in another folder",
            ));
        }
        let params = authority_params(&key);
        Ok(Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Issues the server's identity for these host names and IP addresses, in
    /// place of an earlier one.
    ///
    /// # Errors
    /// [`Code::Config`] for no name or an impossible one, [`Code::Io`] if it
    /// cannot be written.
    pub fn issue_server(&self, names: &[&str]) -> Result<ServerIdentity> {
        if names.is_empty() {
            return Err(Error::new(
                Code::Config,
                "a server's identity needs a name",
                "give the host name or IP address by which devices connect",
            ));
        }
        let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let params = params.map_err(|cause| {
            Error::new(
                Code::Config,
                format!("a server cannot be named {}", names.join(", ")),
                "use host names of ASCII letters, digits, hyphens and dots, or IP addresses",
            )
            .caused_by(cause)
        })?;
        self.issue(&self.folder, SERVER, params, "afferent server", ExtendedKeyUsagePurpose::ServerAuth)?;
        ServerIdentity::open(&self.folder)
    }

    /// Enrolls a device: issues its identity and returns the folder of its bundle.
    ///
    /// # Errors
    /// [`Code::Config`] if the id is impossible, enrolled already or revoked,
    /// [`Code::Io`] if it cannot be written.
    pub fn issue_device(&self, id: &str) -> Result<PathBuf> {
        check_device_id(id)?;
        if file(&self.bundle(id), DEVICE, "pem").exists() {
            return Err(Error::new(
                Code::Config,
                format!("`{id}` is enrolled already"),
                format!(
                    "use its bundle in {}, or renew it, which ends its present identity",
                    self.bundle(id).display()
                ),
            ));
        }
        self.issue_bundle(id)
    }

    /// Issues a device's identity anew: the earlier one is refused from now on.
    ///
    /// # Errors
    /// [`Code::NotFound`] if it was never enrolled, [`Code::Config`] if the id
    /// is impossible or revoked, [`Code::Io`] if it cannot be written.
    pub fn renew_device(&self, id: &str) -> Result<PathBuf> {
        check_device_id(id)?;
        if !self.bundle(id).is_dir() {
            return Err(Error::new(Code::NotFound, format!("`{id}` is not enrolled"), "check the id, or enroll it"));
        }
        self.issue_bundle(id)
    }

    fn issue_bundle(&self, id: &str) -> Result<PathBuf> {
        let revoked = self.folder.join(REVOKED);
        if is_listed(&revoked, id)? {
            return Err(Error::new(
                Code::Config,
                format!("`{id}` is revoked"),
                format!("choose another id, or take it out of {}", revoked.display()),
            ));
        }
        let bundle = self.bundle(id);
        fs::create_dir_all(&bundle).map_err(|cause| Error::io(format!("making {}", bundle.display()), cause))?;
        let authority = file(&self.folder, AUTHORITY, "pem");
        let pem = fs::read_to_string(&authority)
            .map_err(|cause| Error::io(format!("reading {}", authority.display()), cause))?;
        write(&file(&bundle, AUTHORITY, "pem"), &pem, Secret::No)?;
        let params = CertificateParams::new([format!("{id}{DEVICE_SUFFIX}")]).map_err(unissued)?;
        self.issue(&bundle, DEVICE, params, id, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(bundle)
    }

    /// Revokes a device: it is refused from its next connection on.
    ///
    /// # Errors
    /// [`Code::Config`] for an impossible id, [`Code::NotFound`] for one that
    /// was never enrolled, [`Code::Io`] if the list cannot be written.
    pub fn revoke(&self, id: &str) -> Result<()> {
        check_device_id(id)?;
        if !self.bundle(id).is_dir() {
            return Err(Error::new(Code::NotFound, format!("`{id}` is not enrolled"), "check the id"));
        }
        let list = self.folder.join(REVOKED);
        if is_listed(&list, id)? {
            return Ok(());
        }
        let mut text = read_if_any(&list)?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(id);
        text.push('\n');
        write(&list, &text, Secret::No)
    }

    fn bundle(&self, id: &str) -> PathBuf {
        self.folder.join(DEVICES).join(id)
    }

    fn issue(
        &self,
        folder: &Path,
        name: &str,
        mut params: CertificateParams,
        subject: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<()> {
        let key = KeyPair::generate().map_err(unissued)?;
        params.distinguished_name = named(subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_DAYS);
        let certificate = params.signed_by(&key, &self.issuer).map_err(unissued)?;
        write(&file(folder, name, "key"), &key.serialize_pem(), Secret::Yes)?;
        write(&file(folder, name, "pem"), &certificate.pem(), Secret::No)
    }
}

/// What a server needs: its own certificate and key, the authority's
/// certificate, and the roster of devices.
#[derive(Debug)]
pub struct ServerIdentity {
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    roster: Roster,
}

impl ServerIdentity {
    /// Opens it in an authority's folder, or in a copy without `authority.key`.
    ///
    /// # Errors
    /// [`Code::NotFound`] if a file is missing, [`Code::Corrupt`] if one is damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            authority: read_certificate(&file(folder, AUTHORITY, "pem"))?,
            certificate: read_certificate(&file(folder, SERVER, "pem"))?,
            key: read_key(&file(folder, SERVER, "key"))?,
            roster: Roster { folder: folder.to_owned() },
        })
    }

    /// The devices that it serves.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }
}

/// What a device needs: its own certificate and key, and the authority's certificate.
#[derive(Debug)]
pub struct DeviceIdentity {
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    id: String,
}

impl DeviceIdentity {
    /// Opens a device's bundle.
    ///
    /// # Errors
    /// [`Code::NotFound`] if a file is missing, [`Code::Corrupt`] if one is
    /// damaged, [`Code::Refused`] if the certificate names no device.
    pub fn open(bundle: &Path) -> Result<Self> {
        let certificate_file = file(bundle, DEVICE, "pem");
        let certificate = read_certificate(&certificate_file)?;
        let id = device_id_of(&certificate).map_err(|error| error.at(certificate_file.display()))?;
        Ok(Self {
            authority: read_certificate(&file(bundle, AUTHORITY, "pem"))?,
            certificate,
            key: read_key(&file(bundle, DEVICE, "key"))?,
            id,
        })
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The devices that a server serves, read from its folder at each question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    folder: PathBuf,
}

impl Roster {
    /// Whether `device`, which shows `certificate`, is to be served.
    ///
    /// # Errors
    /// [`Code::Refused`] if it was never enrolled, is revoked, or shows another
    /// certificate than the one on file; [`Code::Io`] if the folder cannot be read.
    pub fn check(&self, device: &str, certificate: &CertificateDer<'_>) -> Result<()> {
        check_device_id(device)?;
        if is_listed(&self.folder.join(REVOKED), device)? {
            return Err(Error::new(
                Code::Refused,
                format!("device `{device}` is revoked"),
                "enroll the device under another id, or take it off the server's list of revoked devices",
            ));
        }
        let on_file = match read_certificate(&file(&self.folder.join(DEVICES).join(device), DEVICE, "pem")) {
            Err(error) if error.code() == Code::NotFound => {
                return Err(Error::new(
                    Code::Refused,
                    format!("device `{device}` is not enrolled at this server"),
                    "enroll the device (`afferent enroll`)",
                ));
            }
            other => other?,
        };
        if on_file != *certificate {
            return Err(Error::new(
                Code::Refused,
                format!("device `{device}` shows an identity that was replaced"),
                "copy the device's present bundle to the board",
            ));
        }
        Ok(())
    }

    /// The ids of all devices that would be served, in order.
    ///
    /// # Errors
    /// [`Code::Io`] if the folder cannot be read.
    pub fn devices(&self) -> Result<Vec<String>> {
        let folder = self.folder.join(DEVICES);
        let unreadable = |cause| Error::io(format!("reading {}", folder.display()), cause);
        let revoked = read_if_any(&self.folder.join(REVOKED))?;
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if let Ok(id) = entry.file_name().into_string()
                && check_device_id(&id).is_ok()
                && !lists(&revoked, &id)
                && file(&entry.path(), DEVICE, "pem").exists()
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }
}

/// The authority's parameters follow from its key, so that opening needs no
/// parsing of its certificate. The subject holds a digest of the key, or two
/// authorities could not be told apart.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = params.key_identifier(key);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = named(&format!("afferent authority {digest}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid_for(&mut params, AUTHORITY_DAYS);
    params
}

fn named(subject: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject);
    name
}

fn valid_for(params: &mut CertificateParams, days: i64) {
    // From yesterday: the clocks of boards are often behind.
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = params.not_before + Duration::days(days + 1);
}

fn file(folder: &Path, name: &str, extension: &str) -> PathBuf {
    folder.join(name).with_extension(extension)
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>> {
    let pem = read(path)?;
    CertificateDer::from_pem_slice(&pem).map_err(|cause| damaged(path).caused_by(cause))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = read(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if open {
            log::warn!("{} can be read by others: `chmod 600` it", path.display());
        }
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|cause| damaged(path).caused_by(cause))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|cause| Error::io(format!("reading {}", path.display()), cause))
}

fn read_if_any(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(cause) => Err(Error::io(format!("reading {}", path.display()), cause)),
    }
}

fn is_listed(path: &Path, id: &str) -> Result<bool> {
    Ok(lists(&read_if_any(path)?, id))
}

fn lists(text: &str, id: &str) -> bool {
    text.lines().any(|line| line.split('#').next().unwrap_or_default().trim() == id)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    Yes,
    No,
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &str, secret: Secret) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = || {
        // An earlier attempt's file might be readable by others.
        if temporary.exists() {
            fs::remove_file(&temporary)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(if secret == Secret::Yes { 0o600 } else { 0o644 });
        }
        let mut file = options.open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    written().map_err(|cause| Error::io(format!("writing {}", path.display()), cause))
}

fn damaged(path: &Path) -> Error {
    Error::new(
        Code::Corrupt,
        format!("{} is damaged", path.display()),
        "restore it, or issue the identity again (`afferent enroll`)",
    )
}

fn unissued(cause: rcgen::Error) -> Error {
    Error::new(Code::Internal, "an identity cannot be issued", "report this").caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        for good in ["a", "cam-7", "0", &"x".repeat(63)] {
            check_device_id(good).unwrap();
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "../x", "a b", &"x".repeat(64)] {
            assert_eq!(check_device_id(bad).unwrap_err().code(), Code::Config, "{bad}");
        }
    }

    #[test]
    fn an_authority_issues_renews_and_revokes() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path()).unwrap();
        assert_eq!(Authority::create(folder.path()).unwrap_err().code(), Code::Config);
        let authority = {
            drop(authority);
            Authority::open(folder.path()).unwrap()
        };
        assert_eq!(authority.issue_server(&[]).unwrap_err().code(), Code::Config);
        let server = authority.issue_server(&["localhost", "127.0.0.1"]).unwrap();
        let bundle = authority.issue_device("cam-7").unwrap();
        let device = DeviceIdentity::open(&bundle).unwrap();
        assert_eq!(device.id(), "cam-7");
        assert_eq!(device_id_of(&device.certificate).unwrap(), "cam-7");
        assert_eq!(device_id_of(&server.certificate).unwrap_err().code(), Code::Refused);
        let roster = server.roster();
        roster.check("cam-7", &device.certificate).unwrap();
        assert_eq!(roster.devices().unwrap(), ["cam-7"]);
        assert_eq!(roster.check("cam-8", &device.certificate).unwrap_err().code(), Code::Refused);
        // Issued twice by accident: refused. Renewed: the earlier identity ends.
        assert!(authority.issue_device("cam-7").unwrap_err().what().contains("enrolled already"));
        authority.renew_device("cam-7").unwrap();
        assert!(roster.check("cam-7", &device.certificate).unwrap_err().what().contains("replaced"));
        let device = DeviceIdentity::open(&bundle).unwrap();
        roster.check("cam-7", &device.certificate).unwrap();
        fs::write(folder.path().join(REVOKED), "cam-70 # stolen\n").unwrap();
        roster.check("cam-7", &device.certificate).unwrap();
        authority.revoke("cam-7").unwrap();
        authority.revoke("cam-7").unwrap();
        assert!(roster.check("cam-7", &device.certificate).unwrap_err().what().contains("revoked"));
        assert_eq!(fs::read_to_string(folder.path().join(REVOKED)).unwrap(), "cam-70 # stolen\ncam-7\n");
        assert_eq!(roster.devices().unwrap(), [""; 0]);
        assert_eq!(authority.renew_device("cam-7").unwrap_err().code(), Code::Config);
        assert_eq!(authority.revoke("cam-9").unwrap_err().code(), Code::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_their_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path()).unwrap();
        authority.issue_server(&["localhost"]).unwrap();
        let bundle = authority.issue_device("cam-7").unwrap();
        authority.renew_device("cam-7").unwrap();
        for key in [folder.path().join("authority.key"), folder.path().join("server.key"), bundle.join("device.key")] {
            assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
        }
    }

    #[test]
    fn damaged_and_mixed_files_are_told() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(Authority::open(folder.path()).unwrap_err().code(), Code::NotFound);
        assert_eq!(ServerIdentity::open(folder.path()).unwrap_err().code(), Code::NotFound);
        Authority::create(folder.path()).unwrap();
        Authority::create(other.path()).unwrap();
        fs::copy(other.path().join("authority.pem"), folder.path().join("authority.pem")).unwrap();
        assert!(Authority::open(folder.path()).unwrap_err().what().contains("do not belong together"));
        fs::write(folder.path().join("authority.key"), "nonsense").unwrap();
        assert_eq!(Authority::open(folder.path()).unwrap_err().code(), Code::Corrupt);
        fs::write(folder.path().join("server.pem"), "nonsense").unwrap();
        assert_eq!(ServerIdentity::open(folder.path()).unwrap_err().code(), Code::Corrupt);
    }
}
