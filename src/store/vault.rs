//! Secrets, sealed at rest.
//!
//! XChaCha20-Poly1305 with a random nonce. The associated data says what a sealed value belongs to, so that one
//! cannot be moved to another place. The key comes from the configuration or from a file beside the store, never
//! from inside it: a copy of the folder alone tells no secret.
//!
//! The sealed form is base64 of: version, key id (8 bytes), nonce (24 bytes), ciphertext and tag. The key id tells
//! "another key" from "damaged".

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{AnswerName, Settings};
use crate::clock::random_bytes;
use crate::model::id::EndpointId;
use crate::model::time::Timestamp;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;

/// A key file holds 44 characters and perhaps a line's end; what is longer is no key.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// As an instant begins: `2026-11-21`.
const DAY_CHARS: usize = 10;

/// So much of a key's id is in the name of the file that keeps it.
const KEPT_ID_BYTES: usize = 4;

/// What a sealed value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An endpoint's URL.
    Url(EndpointId),
    /// A key that signs an endpoint's deliveries.
    SigningKey(EndpointId),
    /// The headers that an endpoint wants in its deliveries.
    Headers(EndpointId),
    /// An answer that is kept for whoever asks again.
    Answer(AnswerName),
    /// The known text that tells whether the key is the store's.
    KeyCheck,
}

impl Purpose {
    fn associated_data(self) -> String {
        match self {
            Self::Url(id) => format!("certhook/endpoint/{id}/url"),
            Self::SigningKey(id) => format!("certhook/endpoint/{id}/signing_key"),
            Self::Headers(id) => format!("certhook/endpoint/{id}/headers"),
            Self::Answer(name) => format!("certhook/answer/{}", hex(&name.0)),
            Self::KeyCheck => "certhook/key_check".into(),
        }
    }
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// It was sealed with another key.
    #[error("it was sealed with the key {sealed}, the key in use is {ours}")]
    OtherKey {
        /// The id of the key that sealed it.
        sealed: String,
        /// The id of ours.
        ours: String,
    },
    /// It is not what was sealed, or not where it belongs.
    #[error("the sealed value is damaged")]
    Damaged,
    /// It was sealed by a newer program.
    #[error("the sealed value has version {0}, this program knows up to {VERSION}; run the newer program")]
    Newer(u8),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The configured one has another length.
    #[error("store.encryption_key has {0} bytes; it must be 32 bytes in base64")]
    Length(usize),
    /// The file holds none.
    #[error("{path} is no key: it must hold 32 bytes in base64")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The store has sealed values, and the file is not there.
    #[error(
        "the store's secrets are sealed, and its key file {path} is missing: put it back, or set store.encryption_key"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read or made.
    #[error("cannot use the key file {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// Seals and opens with one key.
pub(crate) struct Vault {
    cipher: XChaCha20Poly1305,
    key_id: [u8; KEY_ID_BYTES],
}

impl Vault {
    /// A vault with a key of 32 bytes.
    fn with_key(key: &[u8; KEY_BYTES]) -> Self {
        let cipher = XChaCha20Poly1305::new(key.into());
        // The tag of one fixed message under a nonce that is used for nothing else names the key and tells
        // nothing of it.
        let named = Payload { msg: b"", aad: b"certhook/key_id" };
        let tag = cipher.encrypt(&XNonce::default(), named).expect("an empty message can be sealed");
        let mut key_id = [0; KEY_ID_BYTES];
        key_id.copy_from_slice(&tag[..KEY_ID_BYTES]);
        Self { cipher, key_id }
    }

    /// The vault that the configuration names. A key file is made only for a store that has no sealed value yet.
    pub(crate) fn of(settings: &Settings, has_sealed_values: bool) -> Result<Self, KeyError> {
        if let Some(configured) = &settings.encryption_key {
            let bytes = configured.expose_secret();
            let key = bytes.try_into().map_err(|_| KeyError::Length(bytes.len()))?;
            return Ok(Self::with_key(key));
        }
        let path = key_file(&settings.path);
        match Self::in_file(&path)? {
            Some(vault) => Ok(vault),
            None if has_sealed_values => Err(KeyError::Missing { path }),
            None => Self::drawn_into(&path),
        }
    }

    /// The vault of the key in a file; `None` if there is no such file.
    pub(crate) fn in_file(path: &Path) -> Result<Option<Self>, KeyError> {
        let text = match read_key(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeyError::File { path: path.into(), error }),
        };
        Self::of_text(&text).map(Some).ok_or_else(|| KeyError::Malformed { path: path.into() })
    }

    /// The vault of a key as it stands in a file; `None` if that is no key.
    fn of_text(text: &SecretString) -> Option<Self> {
        let bytes = SecretSlice::from(BASE64.decode(text.expose_secret().trim()).ok()?);
        Some(Self::with_key(bytes.expose_secret().try_into().ok()?))
    }

    /// The vault of a new key, which is in the file for good before anything can be sealed with it.
    pub(crate) fn drawn_into(path: &Path) -> Result<Self, KeyError> {
        let key: [u8; KEY_BYTES] = random_bytes();
        write_key(path, &BASE64.encode(key)).map_err(|error| KeyError::File { path: path.into(), error })?;
        tracing::info!(path = %path.display(), "made a key that seals secrets; back it up apart from the store");
        Ok(Self::with_key(&key))
    }

    /// Whether both have the same key.
    pub(crate) fn has_key_of(&self, other: &Self) -> bool {
        self.key_id == other.key_id
    }

    /// Seals `secret` for its purpose.
    pub(crate) fn seal(&self, purpose: Purpose, secret: &[u8]) -> String {
        let nonce: [u8; NONCE_BYTES] = random_bytes();
        let associated = purpose.associated_data();
        let payload = Payload { msg: secret, aad: associated.as_bytes() };
        let ciphertext = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("a short text can be sealed");
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&self.key_id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        BASE64.encode(sealed)
    }

    /// Opens what was sealed for that purpose.
    pub(crate) fn open(&self, purpose: Purpose, sealed: &str) -> Result<SecretSlice<u8>, SealError> {
        let bytes = BASE64.decode(sealed).map_err(|_| SealError::Damaged)?;
        let (&version, rest) = bytes.split_first().ok_or(SealError::Damaged)?;
        if version != VERSION {
            return Err(SealError::Newer(version));
        }
        let (key_id, rest) = rest.split_at_checked(KEY_ID_BYTES).ok_or(SealError::Damaged)?;
        if key_id != self.key_id {
            return Err(SealError::OtherKey { sealed: hex(key_id), ours: hex(&self.key_id) });
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_BYTES).ok_or(SealError::Damaged)?;
        let associated = purpose.associated_data();
        let payload = Payload { msg: ciphertext, aad: associated.as_bytes() };
        let opened = self.cipher.decrypt(XNonce::from_slice(nonce), payload);
        opened.map(SecretSlice::from).map_err(|_| SealError::Damaged)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file beside the store's folder: its name and `.key`.
pub(crate) fn key_file(store: &Path) -> PathBuf {
    with_suffix(store, ".key")
}

/// The file of the key that is to take the place of that one.
pub(crate) fn next_key_file(store: &Path) -> PathBuf {
    with_suffix(store, ".key.new")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

/// Puts the next key into the place of the present one, which is kept in a file of its own: backups from before need
/// it. That file's name tells the day until which the key counted, and enough of the key's id that no two keys share a
/// name.
pub(crate) fn take_next_key(store: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let path = key_file(store);
    let text = read_key(&path)?;
    let former = Vault::of_text(&text).ok_or_else(|| io::Error::other(format!("{} is no key", path.display())))?;
    let day = now.to_string()[..DAY_CHARS].to_owned();
    let kept = with_suffix(store, &format!(".key.old-{day}-{}", hex(&former.key_id[..KEPT_ID_BYTES])));
    write_key(&kept, text.expose_secret().trim())?;
    fs::rename(next_key_file(store), &path)?;
    File::open(parent(&path))?.sync_all()?;
    Ok(kept)
}

/// Removes a next key that seals nothing, if there is one.
pub(crate) fn drop_next_key(store: &Path) -> io::Result<()> {
    remove_if_there(&next_key_file(store))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read_key(path: &Path) -> io::Result<SecretString> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others on this machine may read the key file; set its mode to 0600");
    }
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.into())
}

/// Writes the file so that it is whole or not there, and synced before anything is sealed with it. The caller holds
/// the store's lock and has seen that there is none.
fn write_key(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = with_suffix(path, ".unfinished");
    remove_if_there(&unfinished)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(parent(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EndpointNumber;

    fn vault(key: u8) -> Vault {
        Vault::with_key(&[key; KEY_BYTES])
    }

    fn id(number: u32) -> EndpointId {
        EndpointId { number: EndpointNumber(number), random: 1 }
    }

    #[test]
    fn only_the_same_key_opens_a_value_and_only_where_it_belongs() {
        let sealed = vault(1).seal(Purpose::Url(id(1)), b"secret");
        let opened = vault(1).open(Purpose::Url(id(1)), &sealed).expect("what was sealed");
        assert_eq!(opened.expose_secret(), b"secret");
        for elsewhere in [Purpose::Url(id(2)), Purpose::SigningKey(id(1)), Purpose::Headers(id(1)), Purpose::KeyCheck] {
            assert_eq!(vault(1).open(elsewhere, &sealed).map(|_| ()), Err(SealError::Damaged));
        }
        let other = vault(2).open(Purpose::Url(id(1)), &sealed).map(|_| ());
        assert!(matches!(other, Err(SealError::OtherKey { .. })), "{other:?}");
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let seal = || vault(1).seal(Purpose::KeyCheck, b"secret");
        assert_ne!(seal(), seal());
    }

    #[test]
    fn nothing_that_was_changed_opens_or_panics() {
        let sealed = BASE64.decode(vault(1).seal(Purpose::KeyCheck, b"secret")).expect("base64");
        let open = |bytes: &[u8]| vault(1).open(Purpose::KeyCheck, &BASE64.encode(bytes)).map(|_| ());
        assert_eq!(open(&sealed), Ok(()));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed).is_err(), "byte {at}");
            assert!(open(&sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(open(&[2, 0, 0]), Err(SealError::Newer(2)));
        assert!(vault(1).open(Purpose::KeyCheck, "no base64 !").is_err());
    }

    #[test]
    fn the_key_file_is_named_after_the_folder() {
        assert_eq!(key_file(Path::new("/srv/certhook/data")), Path::new("/srv/certhook/data.key"));
        assert_eq!(key_file(Path::new("sandbox-data/")), Path::new("sandbox-data.key"));
        assert_eq!(key_file(Path::new("data.v1")), Path::new("data.v1.key"));
        assert_eq!(next_key_file(Path::new("data.v1")), Path::new("data.v1.key.new"));
    }
}
