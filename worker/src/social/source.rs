//! Where an event comes from (S1), and what the caller is to it.

use crate::{context::Change, error::Error};
use shared::internal::Session;
use sqlx::PgConnection;

/// Whose event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The network's own.
    Network { network: String },
    /// A community's.
    Community { network: String, community: String },
}

/// What a caller is to a source that he may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Creates, changes, publishes and deletes its events (V3).
    Manages,
    /// Knows it.
    Knows,
}

impl Source {
    /// Reads `source`.
    ///
    /// # Errors
    /// 400 when it is malformed.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["network", network] if !network.is_empty() => Ok(Self::Network { network: network.to_owned() }),
            ["community", network, community] if !network.is_empty() && !community.is_empty() => {
                Ok(Self::Community { network: network.to_owned(), community: community.to_owned() })
            }
            _ => {
                let what = "expected network:{networkId} or community:{networkId}:{communityId}";
                Err(Error::bad_request("data.source", what))
            }
        }
    }

    /// As the column `community_id` keeps it.
    pub(crate) fn of_column(network: &str, community: String) -> Self {
        let network = network.to_owned();
        if community.is_empty() { Self::Network { network } } else { Self::Community { network, community } }
    }

    /// The value of the column `community_id`.
    pub(crate) fn community(&self) -> &str {
        match self {
            Self::Network { .. } => "",
            Self::Community { community, .. } => community,
        }
    }

    /// `sourceType`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Network { .. } => "network",
            Self::Community { .. } => "community",
        }
    }

    /// `sourcePk`.
    pub(crate) fn pk(&self) -> &str {
        match self {
            Self::Network { network } => network,
            Self::Community { community, .. } => community,
        }
    }

    /// What the caller is to it.
    ///
    /// # Errors
    /// 404 when there is none that he may know: of his network, and of communities those that are open for all, that he is
    /// a member of, or whose network he manages (V2).
    pub(crate) async fn standing(&self, session: &Session, connection: &mut PgConnection) -> Result<Standing, Error> {
        let (Self::Network { network } | Self::Community { network, .. }) = self;
        let standing: Option<(bool, bool)> = sqlx::query_as(
            "SELECT m.is_manager OR coalesce(cm.role = 'Admin', false),
                    $3 = '' OR c.id IS NOT NULL AND (m.is_manager OR c.join_policy = 'OpenForAll' OR cm.user_id IS NOT NULL)
             FROM members m
             LEFT JOIN communities c ON c.network_id = m.network_id AND c.id = $3 AND c.deleted_at IS NULL
             LEFT JOIN community_members cm
                 ON cm.network_id = c.network_id AND cm.community_id = c.id AND cm.user_id = m.user_id
             WHERE m.network_id = $1 AND m.user_id = $2",
        )
        .bind(&session.network)
        .bind(&session.user)
        .bind(self.community())
        .fetch_optional(connection)
        .await?;
        match standing {
            Some((manages, true)) if *network == session.network => {
                Ok(if manages { Standing::Manages } else { Standing::Knows })
            }
            _ => Err(Error::not_found("source")),
        }
    }

    /// Lets its managers pass.
    ///
    /// # Errors
    /// As [`Source::standing`]; 403 for others who know it.
    pub(crate) async fn managers_only(&self, change: &mut Change) -> Result<(), Error> {
        let session = change.session().clone();
        match self.standing(&session, change.connection()).await? {
            Standing::Manages => Ok(()),
            Standing::Knows => Err(Error::forbidden("only managers of the source may do this")),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network { network } => write!(f, "network:{network}"),
            Self::Community { network, community } => write!(f, "community:{network}:{community}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_as_s1_says() {
        for (text, kind, pk) in [("network:demo", "network", "demo"), ("community:demo:garden", "community", "garden")]
        {
            let source = Source::parse(text).expect("a source");
            assert_eq!((source.kind(), source.pk(), source.to_string().as_str()), (kind, pk, text));
            assert_eq!(Source::of_column("demo", source.community().to_owned()), source);
        }
    }

    #[test]
    fn a_malformed_source_is_400_and_names_the_field() {
        for text in [
            "",
            "network",
            "network:",
            "network:a:b",
            "Network:demo",
            "community:demo",
            "community:demo:",
            "community::x",
            "community:a:b:c",
            "room:lobby",
            ":",
            "demo",
        ] {
            let error = Source::parse(text).expect_err("malformed").to_string();
            assert!(error.starts_with("400 data.source: "), "{text}: {error}");
        }
    }
}
