use super::*;

/// A program with nothing but the common settings.
#[derive(Parser, Debug)]
#[command(name = "only-common")]
pub(crate) struct OnlyCommon {
    #[command(flatten)]
    pub common: Common,
}

#[derive(Parser, Debug)]
#[command(name = "program")]
struct Program {
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keys: Keys,
    /// Set to a variable that every environment has, and that is no number
    #[arg(long, env = "PATH", default_value_t = 0)]
    number: u16,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Keys {
    /// A secret
    #[arg(long, env = "CONVENE_TEST_SECRET")]
    secret: Option<String>,
    /// Or a file
    #[arg(long, env = "CONVENE_TEST_FILE")]
    file: Option<String>,
}

const GOOD: &[&str] =
    &["program", "--nats-url", "nats://n", "--redis-url", "redis://:hunter2@r", "--secret", "hunter2", "--number", "1"];

fn ending(args: &[&str]) -> Ending {
    read::<Program>(args.iter().copied()).expect_err("these settings make no sense")
}

#[test]
fn settings_are_read_from_flags_with_defaults() {
    let program = read::<Program>(GOOD.iter().copied()).expect("good settings");
    assert_eq!(program.servers.nats_url, "nats://n");
    assert_eq!(program.common.drain_delay, Duration::from_secs(5));
    assert_eq!(program.common.log_format, LogFormat::Text);
    assert_eq!((program.keys.secret.as_deref(), program.keys.file, program.number), (Some("hunter2"), None, 1));
}

#[test]
fn what_is_missing_is_named_as_flag_and_variable_in_one_line() {
    let ending = ending(&["program", "--redis-url", "redis://r", "--number", "1"]);
    assert_eq!(ending.code, 2);
    assert_eq!(
        ending.text,
        "program: missing setting --nats-url (CONVENE_NATS_URL), --secret (CONVENE_TEST_SECRET) or --file \
         (CONVENE_TEST_FILE) (see --help)\n"
    );
}

#[test]
fn what_is_malformed_is_named_without_its_value() {
    let with = |more: &[&'static str]| ending(&[GOOD, more].concat()).text;
    assert_eq!(
        with(&["--drain-delay", "hunter2"]),
        "program: malformed setting --drain-delay (CONVENE_DRAIN_DELAY): not a duration such as 500ms, 30s, 5m, 24h or \
         7d (see --help)\n"
    );
    assert_eq!(
        with(&["--log-format", "hunter2"]),
        "program: malformed setting --log-format (CONVENE_LOG_FORMAT): must be one of text, json (see --help)\n"
    );
    assert_eq!(with(&["--nonsense"]), "program: unknown argument --nonsense (see --help)\n");
    assert_eq!(with(&["--pod-name"]), "program: setting --pod-name (CONVENE_POD_NAME) has no value (see --help)\n");
    let long: &'static str = "n".repeat(MAX_NAME_BYTES + 1).leak();
    assert_eq!(
        with(&["--pod-name", long]),
        "program: malformed setting --pod-name (CONVENE_POD_NAME): must have 1 to 253 bytes (see --help)\n"
    );
}

#[test]
fn a_malformed_variable_is_named_like_a_malformed_flag() {
    let text = ending(&GOOD[..GOOD.len() - 2]).text;
    assert!(text.starts_with("program: malformed setting --number (PATH): "), "{text}");
    assert!(!text.contains('/') && text.lines().count() == 1, "the variable's value is not for the log: {text}");
}

#[test]
fn help_shows_variables_and_defaults_but_no_value() {
    let help = ending(&["program", "--help"]);
    assert_eq!(help.code, 0);
    assert!(help.text.contains("[env: CONVENE_DRAIN_DELAY]"), "{}", help.text);
    assert!(help.text.contains("[default: 5s]"), "{}", help.text);
    assert!(help.text.contains("[env: PATH]"), "{}", help.text);
    assert_eq!(ending(&["program", "--version"]).text, format!("program {}\n", version()));
}

#[test]
fn a_pod_without_a_name_is_called_after_its_host_and_differently_every_time() {
    let mut common = read::<OnlyCommon>(["only-common"]).expect("defaults").common;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = pod_name(&common);
    assert!(name.starts_with(&format!("{host}-")) && name.len() == host.len() + 9, "{name}");
    assert_ne!(pod_name(&common), name);
    common.pod_name = Some("gateway-0".to_owned());
    assert_eq!(pod_name(&common), "gateway-0");
}

#[test]
fn durations_have_a_unit_and_fit() {
    for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000)] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "30", "s", "-1s", "1.5s", "1 s", "1w", "18446744073709551615d"] {
        duration(text).expect_err(text);
    }
}
