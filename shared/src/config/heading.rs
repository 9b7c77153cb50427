//! Under which heading `--help` shows each setting.

use clap::{Arg, Command};

/// Settings by heading, both in the order in which they are shown. One that is not here stands under "Options", among
/// `--help` and `--version`, and a test of the programs refuses that.
const HEADINGS: &[(&str, &[&str])] = &[
    ("Servers", &["database-url", "nats-url", "redis-url"]),
    ("Listeners", &["listen", "allowed-origins", "management-listen", "worker-management-listen"]),
    (
        "Sessions and tokens",
        &[
            "jwt-secret",
            "jwks-url",
            "jwks-file",
            "jwks-max-age",
            "jwt-audience",
            "jwt-issuer",
            "auto-provision",
            "min-client-version",
            "admin-token",
        ],
    ),
    (
        "Limits",
        &[
            "max-connections",
            "max-frame-bytes",
            "max-outbox-bytes",
            "rate-limit",
            "rate-burst",
            "max-in-flight",
            "request-timeout",
            "ping-interval",
            "max-connection-age",
            "max-concurrency",
        ],
    ),
    ("Events", &["event-retention", "retry-retention", "deprecated-events"]),
    (
        "Invitations of people outside",
        &[
            "public-url",
            "invitation-url",
            "invitation-pause",
            "smtp-url",
            "smtp-from",
            "sms-webhook-url",
            "sms-webhook-secret",
        ],
    ),
    (
        "Operation",
        &[
            "data-dir",
            "namespaces",
            "migrate",
            "pod-name",
            "drain-delay",
            "drain-timeout",
            "log-format",
            "otlp-endpoint",
            "trace-sample-ratio",
        ],
    ),
];

/// A command with fewer arguments is read at a glance.
const MANY: usize = 12;

/// Where a setting stands: its heading's number and its own. Settings without a heading come last.
fn place(arg: &Arg) -> (usize, usize) {
    let name = arg.get_long().unwrap_or_default();
    let places = HEADINGS.iter().enumerate().filter_map(|(heading, (_, settings))| {
        settings.iter().position(|setting| *setting == name).map(|own| (heading, own))
    });
    places.min().unwrap_or((HEADINGS.len(), 0))
}

/// In the order of the table: clap shows a heading where the first of its arguments was added.
pub fn in_order<'a>(args: impl Iterator<Item = &'a Arg>) -> Vec<Arg> {
    let mut args: Vec<Arg> = args.map(|arg| arg.clone().display_order(None)).collect();
    args.sort_by_key(place);
    args
}

/// Puts the settings of a command that has many under their headings.
pub(super) fn with_headings(command: Command) -> Command {
    let has_many = command.get_arguments().count() >= MANY;
    let command = command.mut_subcommands(with_headings);
    if !has_many {
        return command;
    }
    command.mut_args(|arg| match place(&arg) {
        (heading, own) if heading < HEADINGS.len() => arg.help_heading(HEADINGS[heading].0).display_order(own),
        _ => arg,
    })
}
