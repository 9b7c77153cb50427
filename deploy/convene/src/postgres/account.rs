//! Whom PostgreSQL runs as. It refuses to run as root, so root gives it to somebody who may do nothing else.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// Whom PostgreSQL's programs run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// This process's own user.
    Own,
    /// Another one, because this is root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// For root: who owns the data already, else the system's `postgres`, else `nobody`.
    ///
    /// # Errors
    /// This is root on a system where it is not known how to do without.
    pub fn choose(data: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        ensure!(
            cfg!(target_os = "linux"),
            "PostgreSQL does not run as root: start convene as another user, or set CONVENE_DATABASE_URL"
        );
        if let Ok(metadata) = fs::metadata(data)
            && metadata.uid() != 0
        {
            return Ok(Self::Other { uid: metadata.uid(), gid: metadata.gid() });
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Ok(["postgres", "nobody"]
            .iter()
            .find_map(|name| look_up(&passwd, name))
            .unwrap_or(Self::Other { uid: 65534, gid: 65534 }))
    }

    /// Lets the command run as this account.
    pub fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives it a file or folder.
    ///
    /// # Errors
    /// The system refuses.
    pub fn give(self, path: &Path) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).with_context(|| format!("giving {} away", path.display()))
            }
        }
    }
}

fn look_up(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        let mut ids = fields.skip(1).map(|id| id.parse().ok());
        let (uid, gid) = (ids.next()??, ids.next()??);
        (is_it && uid != 0).then_some(Account::Other { uid, gid })
    })
}

/// The name of this process's user: PostgreSQL asks the system who is at the other end of its socket.
///
/// # Errors
/// The user has none; PostgreSQL would not start for him either.
pub async fn own_name() -> Result<String> {
    let id = Command::new("id").arg("-un").stdin(Stdio::null()).output().await.context("running id -un")?;
    let name = String::from_utf8_lossy(&id.stdout).trim().to_owned();
    ensure!(
        id.status.success() && !name.is_empty(),
        "the user of this process has no name (id -un), which PostgreSQL does not bear: set CONVENE_DATABASE_URL"
    );
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        toor:x:0:0::/root:/bin/sh\n\
        nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
        postgres:x:105:113:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n\
        broken:x\n";

    #[test]
    fn accounts_are_found_by_name_and_never_root() {
        assert_eq!(look_up(PASSWD, "postgres"), Some(Account::Other { uid: 105, gid: 113 }));
        assert_eq!(look_up(PASSWD, "nobody"), Some(Account::Other { uid: 65534, gid: 65533 }));
        for name in ["toor", "broken", "absent", "post"] {
            assert_eq!(look_up(PASSWD, name), None, "{name}");
        }
    }
}
