//! The data folder, `.convene` unless set otherwise.
//!
//! | file | holds |
//! | --- | --- |
//! | `lock` | the process that has the folder |
//! | `jwt-secret`, `admin-token` | made at the first start, for their owner only |
//! | `postgres/`, `postgres.log` | the private PostgreSQL's data and log |
//! | `programs/` | a downloaded PostgreSQL |

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result, bail};
use gateway::config::MIN_SIGNING_SECRET_BYTES;
use rand::RngCore as _;

/// The data folder of this process alone, until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// A secret in the data folder.
#[derive(Clone, Copy, Debug)]
pub enum Secret {
    /// What session tokens are signed with.
    Jwt,
    /// What opens the administration.
    Admin,
}

impl Secret {
    fn file(self) -> &'static str {
        match self {
            Self::Jwt => "jwt-secret",
            Self::Admin => "admin-token",
        }
    }
}

impl Folder {
    /// Opens the folder, and creates it where there is none.
    ///
    /// # Errors
    /// It can not be written, or another process has it.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| format!("data folder {shown}"))?;
        let path = path.canonicalize().with_context(|| format!("data folder {shown}"))?;
        let shown = path.display();
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("data folder {shown}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to name it: the lock itself says that there is one.
                let _ = lock.read_to_string(&mut holder);
                bail!(
                    "another convene (process {}) runs with the data folder {shown}; stop it, or set --data-dir",
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("data folder {shown}")),
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", process::id())?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is: absolute, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret, made now where there is none yet.
    ///
    /// # Errors
    /// It can not be read or written, or is empty.
    pub fn secret(&self, secret: Secret) -> Result<String> {
        let path = self.path.join(secret.file());
        if path.exists() {
            return read_secret(&self.path, secret);
        }
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Complete or not there, whenever this process dies.
        let unfinished = path.with_extension("new");
        let write = || -> io::Result<()> {
            let _ = fs::remove_file(&unfinished);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        };
        write().with_context(|| format!("writing {}", path.display()))?;
        Ok(text)
    }
}

/// A secret that `serve` has made in this data folder, for other commands.
///
/// # Errors
/// There is none, it can not be read, or it is empty or too short.
pub fn read_secret(folder: &Path, secret: Secret) -> Result<String> {
    let path = folder.join(secret.file());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    match text.trim() {
        "" => bail!("{} is empty; remove it to have a new one made", path.display()),
        text if matches!(secret, Secret::Jwt) && text.len() < MIN_SIGNING_SECRET_BYTES => {
            bail!(
                "{} has fewer than {MIN_SIGNING_SECRET_BYTES} bytes; remove it to have a new one made",
                path.display()
            )
        }
        text => Ok(text.to_owned()),
    }
}

/// As [`read_secret`]; where the file holds two with a comma between, the first.
///
/// # Errors
/// As [`read_secret`].
pub fn read_first_secret(folder: &Path, secret: Secret) -> Result<String> {
    let text = read_secret(folder, secret)?;
    Ok(text.split_once(',').map_or(text.as_str(), |(first, _)| first).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn temporary() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_folder_has_one_process_at_a_time_and_says_which() {
        let parent = temporary();
        let path = parent.path().join("a b");
        let first = Folder::open(&path).expect("nobody has it");
        let refused = format!("{:#}", Folder::open(&path).expect_err("it is taken"));
        let named =
            format!("another convene (process {}) runs with the data folder {}", process::id(), first.path.display());
        assert!(refused.starts_with(&named), "{refused}");
        drop(first);
        Folder::open(&path).expect("nobody has it any more");
    }

    #[test]
    fn a_secret_is_made_once_and_is_its_owners_alone() {
        let parent = temporary();
        let folder = Folder::open(parent.path()).expect("a folder");
        let secret = folder.secret(Secret::Jwt).expect("a new one");
        assert_eq!(secret.len(), 64);
        assert_eq!(folder.secret(Secret::Jwt).expect("the same"), secret);
        assert_ne!(folder.secret(Secret::Admin).expect("another"), secret);
        assert_eq!(read_secret(folder.path(), Secret::Jwt).expect("the same"), secret);
        let mode = fs::metadata(folder.path().join("jwt-secret")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_empty_secret_is_no_secret() {
        let parent = temporary();
        let folder = Folder::open(parent.path()).expect("a folder");
        fs::write(folder.path().join("jwt-secret"), "\n").expect("an empty file");
        let refused = format!("{:#}", folder.secret(Secret::Jwt).expect_err("empty"));
        assert!(refused.ends_with("jwt-secret is empty; remove it to have a new one made"), "{refused}");
        fs::write(folder.path().join("jwt-secret"), "too short for HS256, by one .. \n").expect("31 bytes");
        let refused = format!("{:#}", folder.secret(Secret::Jwt).expect_err("too short"));
        assert!(refused.ends_with("jwt-secret has fewer than 32 bytes; remove it to have a new one made"), "{refused}");
    }

    #[test]
    fn of_two_secrets_in_the_file_the_first_is_used() {
        let parent = temporary();
        let folder = Folder::open(parent.path()).expect("a folder");
        for (text, first) in
            [("one of thirty-two bytes or more ..,two\n", "one of thirty-two bytes or more .."), ("x\n", "x")]
        {
            fs::write(folder.path().join("admin-token"), text).expect("written");
            assert_eq!(read_first_secret(folder.path(), Secret::Admin).expect("a secret"), first);
            assert_eq!(folder.secret(Secret::Admin).expect("both"), text.trim());
        }
    }

    #[test]
    fn a_file_in_the_folders_place_is_said() {
        let parent = temporary();
        let path = parent.path().join("file");
        fs::write(&path, "").expect("a file");
        let refused = format!("{:#}", Folder::open(&path).expect_err("no folder"));
        assert!(refused.starts_with(&format!("data folder {}", path.display())), "{refused}");
    }
}
