//! The calendar files of sessions, read by programs that others have written: rule I4.
//!
//! Each program reads all files of a folder and prints what it understands, as JSON (`tests/ics`). What it prints must be
//! what was meant: every text, person and instant, and the first 160 occurrences of a series. Each file of a series is read
//! a second time with a zone name that nobody knows, so that the program must believe the VTIMEZONE. Every zone of the zone
//! data has a series of its own.
//!
//! Where a program does not read what RFC 5545 says, that is stated below, and tested: a newer version that does will fail.

mod cases;
mod habits;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value};

use cases::{Case, File, encoded};
use habits::{AFTER, Habits, Side, T4};

/// Where `deploy/test` puts the programs.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("calendars")
}

fn libical() -> [PathBuf; 1] {
    [programs().join("libical/read_libical")]
}

fn vobject() -> [PathBuf; 2] {
    [programs().join("python/bin/python"), script("read_vobject.py")]
}

fn icalendar() -> [PathBuf; 2] {
    [programs().join("python/bin/python"), script("read_icalendar.py")]
}

fn ical_js() -> [PathBuf; 3] {
    ["node".into(), script("read_ical.mjs"), programs().join("node")]
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ics").join(name)
}

/// Has a program read all files, in a folder that stays there to be looked at. `differ` is given each case, file, what was
/// meant and what was read, and changes these where the program is known to read something else.
fn check(name: &str, program: &[PathBuf], cases: &[Case], differ: impl Fn(&Case, &File, &mut Value, &mut Value)) {
    for part in program.iter().filter(|part| part.starts_with(programs())) {
        assert!(part.exists(), "{} is missing: run deploy/test, which installs what reads calendars", part.display());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ics").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let mut files: Vec<_> =
        cases.iter().flat_map(|case| case.files().into_iter().map(move |file| (case, file))).collect();
    // Many zones differ in nothing but their names.
    let mut known = HashSet::new();
    files.retain(|(case, file)| file.is_zone_known || known.insert(file.text.replace(&format!("Z-{}", case.name), "")));
    for (_, file) in &files {
        fs::write(folder.join(&file.name), &file.text).expect("a file");
    }

    let (command, arguments) = program.split_first().expect("a program");
    let mut command = Command::new(command);
    // Python's zone data is that which came with it, whatever the machine has installed.
    let output = command.args(arguments).arg(&folder).env("PYTHONTZPATH", "").output();
    let output = output.unwrap_or_else(|error| panic!("{name} does not start, run deploy/test: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{errors}", output.status);
    let mut read: Map<String, Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(read.len(), files.len(), "every file is read");

    let mut differences = String::new();
    for (case, file) in &files {
        let (mut meant, read) = (case.reading(), &mut read[&file.name]);
        differ(case, file, &mut meant, read);
        fs::write(folder.join(&file.name).with_extension("json"), format!("{meant:#}")).expect("a file");
        for (field, meant) in meant.as_object().expect("an object") {
            if read[field] != *meant {
                differences += &difference(&format!("{}: {field}", file.name), meant, &read[field]);
            }
        }
    }
    assert!(differences.is_empty(), "{name}, in {}:\n{differences}", folder.display());
}

/// Of lists only the first elements that are not the same.
fn difference(what: &str, meant: &Value, read: &Value) -> String {
    if let (Value::Array(meant), Value::Array(read)) = (meant, read) {
        let same = meant.iter().zip(read).take_while(|(meant, read)| meant == read).count();
        let (lengths, [meant, read]) = ((meant.len(), read.len()), [meant, read].map(|list| list.get(same)));
        return format!("{what} {same} of {lengths:?}: meant {meant:?}, read {read:?}\n");
    }
    format!("{what}: meant {meant}, read {read}\n")
}

/// Names of people as a program sees them that reads parameters in another way.
fn names(meant: &mut Value, read_as: impl Fn(&str) -> String) {
    for person in ["organizer", "attendee"] {
        if let Some(name) = meant[person]["name"].as_str().map(&read_as) {
            meant[person]["name"] = name.into();
        }
    }
}

/// As if parameters were TEXT.
fn unescaped(name: &str) -> String {
    name.replace("\\\\", "\\").replace("\\,", ",").replace("\\;", ";")
}

/// The system's libical, of any version: it reads an hour that is skipped or comes twice in one way or the other. Where it
/// knows a zone, ICU counts its weeks, with zone data of its own, and is late after what was skipped.
#[test]
fn i4_libical_accepts_all_files_and_agrees() {
    check("libical", &libical(), &cases::all(), |case, file, meant, read| {
        let (right, wrong) = (case.occurrences(T4), case.occurrences(AFTER));
        let is_new_to_icu = ["Casablanca", "Apia"].iter().any(|zone| case.name.contains(zone));
        if file.is_zone_known && (right != wrong || is_new_to_icu) {
            meant["occurrences"] = read["occurrences"].clone();
            return;
        }
        for number in (0..right.len()).filter(|number| right[*number] != wrong[*number]) {
            meant["occurrences"][number] = read["occurrences"][number].clone();
        }
    });
}

/// It knows no RFC 6868. A zone that shows UTC from 2000 to 2020 as far as the file says is UTC to it.
#[test]
fn i4_vobject_accepts_all_files_and_agrees() {
    check("vobject", &vobject(), &cases::all(), |case, _, meant, read| {
        meant["occurrences"] = case.spans(Habits { skipped: Side::After, ..T4 }).into();
        if case.name.contains("Casablanca") {
            for field in ["start", "end", "occurrences"] {
                meant[field] = read[field].clone();
            }
        }
        names(meant, encoded);
    });
}

/// With the zone data that it brings, it reads as RFC 5545 says.
#[test]
fn i4_icalendar_accepts_all_files_and_agrees() {
    check("icalendar", &icalendar(), &cases::all(), |case, file, meant, _| {
        if !file.is_zone_known {
            meant["occurrences"] = case.spans(Habits { skipped: Side::After, ..T4 }).into();
        }
        names(meant, unescaped);
    });
}

#[test]
fn i4_ical_js_accepts_all_files_and_agrees() {
    check("ical.js", &ical_js(), &cases::all(), |case, _, meant, _| {
        meant["occurrences"] = case.spans(AFTER).into();
        names(meant, |name| unescaped(&name.replace(" \\n", " \n")));
    });
}

#[test]
fn i4_libical_agrees_on_every_zone() {
    check("libical-zones", &libical(), &cases::zones(), |_, _, _, _| {});
}

/// Of dates before a file's first change dateutil knows but the first STANDARD, which in these two zones shows UTC: so vobject
/// takes the zone of the file for UTC, and where it knows the name asks pytz, whose zones it uses wrongly.
#[test]
fn i4_vobject_agrees_on_every_zone() {
    check("vobject-zones", &vobject(), &cases::zones(), |case, _, meant, read| {
        if ["Africa-Casablanca", "Africa-El_Aaiun"].contains(&case.name.as_str()) {
            assert_ne!(meant["occurrences"], read["occurrences"], "{} is read rightly now", case.name);
            for field in ["start", "end", "occurrences"] {
                meant[field] = read[field].clone();
            }
        }
    });
}

#[test]
fn i4_icalendar_agrees_on_every_zone() {
    check("icalendar-zones", &icalendar(), &cases::zones(), |_, _, _, _| {});
}

#[test]
fn i4_ical_js_agrees_on_every_zone() {
    check("ical.js-zones", &ical_js(), &cases::zones(), |_, _, _, _| {});
}
