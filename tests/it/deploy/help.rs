//! What `--help` of the three programs shows of their settings.

use std::collections::BTreeSet;

use convene::settings::Settings;

use super::{built, run};

/// The headings, in their order.
const HEADINGS: [&str; 7] =
    ["Servers", "Listeners", "Sessions and tokens", "Limits", "Events", "Invitations of people outside", "Operation"];

/// The name, `--help`, and the help again with every variable that it names set to this.
fn helps(value: &str) -> Vec<(&'static str, String, String)> {
    let pods = ["gateway-pod", "worker-pod"].map(|program| {
        let help = |variables: &BTreeSet<String>| {
            let output = run(built(program).arg("--help").envs(variables.iter().map(|name| (name, value))));
            assert!(output.status.success(), "{program}: {output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        let plain = help(&BTreeSet::new());
        let variables = plain.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next()).map(str::to_owned);
        let with_values = help(&variables.collect());
        (program, plain, with_values)
    });
    let convene = shared::config::read::<Settings>(["convene", "serve", "--help"]).expect_err("help").text;
    pods.into_iter().chain([("convene", convene.clone(), convene)]).collect()
}

/// Heading, setting, and all that is said of it.
fn settings(help: &str) -> Vec<(String, String, String)> {
    let mut heading = "";
    let mut settings: Vec<(String, String, String)> = Vec::new();
    for line in help.lines() {
        let said = line.trim();
        if let Some(name) = line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            heading = name;
        } else if let Some(rest) = said.strip_prefix("--").filter(|_| line.starts_with(' ')) {
            let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).next().unwrap_or_default();
            settings.push((heading.to_owned(), name.to_owned(), String::new()));
        } else if let Some((.., all)) = settings.last_mut() {
            *all += line;
        }
    }
    settings
}

#[test]
fn help_shows_every_setting_under_a_heading_with_its_variable() {
    for (program, help, _) in helps("") {
        let settings = settings(&help);
        let mut headings: Vec<&str> = settings.iter().map(|(heading, ..)| heading.as_str()).collect();
        headings.dedup();
        let known = HEADINGS.into_iter().filter(|heading| headings.contains(heading));
        assert!(
            headings.iter().copied().eq(known),
            "{program}: {headings:?}, and none twice: see shared::config::heading"
        );
        for (_, name, said) in &settings {
            let variable = format!("[env: CONVENE_{}]", name.to_uppercase().replace('-', "_"));
            assert!(said.contains(&variable), "{program}: --{name}: {said}");
        }
        let names: BTreeSet<&str> = settings.iter().map(|(_, name, _)| name.as_str()).collect();
        assert!(names.len() == settings.len() && names.len() > 15, "{program}: {names:?}");
    }
}

#[test]
fn help_shows_no_value_that_is_set() {
    for (program, plain, with_values) in helps("hunter2") {
        assert_eq!(with_values, plain, "{program}");
    }
}
