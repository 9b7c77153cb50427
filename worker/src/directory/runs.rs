//! Which lines can be applied together without anybody seeing that they were not applied one after the other.
//!
//! A stretch of lines is sorted by kind when no line of it names what a later one makes, none deletes and nothing is made
//! twice: then every line still finds exactly what the lines before it would have left.

use std::collections::HashSet;

use shared::api::directory::{
    CommunityLine, GroupLine, Line, LineKind, Member, NetworkLine, PropLine, RoomLine, UserLine,
};

/// Lines of one kind with different ids, each with its number, in order.
#[derive(Debug)]
pub(super) enum Run<'a> {
    Networks(Vec<(u64, &'a NetworkLine)>),
    Users(Vec<(u64, &'a UserLine)>),
    Rooms(Vec<(u64, &'a RoomLine)>),
    Props(Vec<(u64, &'a PropLine)>),
    Groups(Vec<(u64, &'a GroupLine)>),
    Communities(Vec<(u64, &'a CommunityLine)>),
    Deleted(LineKind, Vec<&'a str>),
}

/// Divides lines into runs, to be applied in this order.
pub(super) fn runs(lines: &[(u64, Line)]) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut stretch = Stretch::default();
    let mut deleted = HashSet::new();
    for (number, line) in lines {
        if let Line::Deleted { kind, id } = line {
            std::mem::take(&mut stretch).end(&mut runs);
            let is_new = deleted.insert(id);
            match runs.last_mut() {
                Some(Run::Deleted(same, run)) if kind == same && is_new => run.push(id),
                _ => {
                    deleted = HashSet::from([id]);
                    runs.push(Run::Deleted(*kind, vec![id]));
                }
            }
        } else {
            if !stretch.takes(line) {
                std::mem::take(&mut stretch).end(&mut runs);
            }
            stretch.add(*number, line);
        }
    }
    stretch.end(&mut runs);
    runs
}

/// A kind and an id.
type Name<'a> = (LineKind, &'a str);

/// Lines whose order between kinds does not matter.
#[derive(Debug, Default)]
struct Stretch<'a> {
    made: HashSet<Name<'a>>,
    named: HashSet<Name<'a>>,
    networks: Vec<(u64, &'a NetworkLine)>,
    users: Vec<(u64, &'a UserLine)>,
    rooms: Vec<(u64, &'a RoomLine)>,
    props: Vec<(u64, &'a PropLine)>,
    groups: Vec<(u64, &'a GroupLine)>,
    communities: Vec<(u64, &'a CommunityLine)>,
}

impl<'a> Stretch<'a> {
    fn takes(&self, line: &'a Line) -> bool {
        let name = name_of(line);
        !self.made.contains(&name) && !self.named.contains(&name)
    }

    fn add(&mut self, number: u64, line: &'a Line) {
        self.made.insert(name_of(line));
        self.named.extend(named_by(line));
        match line {
            Line::Network(line) => self.networks.push((number, line)),
            Line::User(line) => self.users.push((number, line)),
            Line::Room(line) => self.rooms.push((number, line)),
            Line::Prop(line) => self.props.push((number, line)),
            Line::Group(line) => self.groups.push((number, line)),
            Line::Community(line) => self.communities.push((number, line)),
            Line::Deleted { .. } => {}
        }
    }

    /// What is named comes before what names it.
    fn end(self, runs: &mut Vec<Run<'a>>) {
        let is_empty = |run: &Run<'_>| match run {
            Run::Networks(run) => run.is_empty(),
            Run::Users(run) => run.is_empty(),
            Run::Rooms(run) => run.is_empty(),
            Run::Props(run) => run.is_empty(),
            Run::Groups(run) => run.is_empty(),
            Run::Communities(run) => run.is_empty(),
            Run::Deleted(_, run) => run.is_empty(),
        };
        let all = [
            Run::Networks(self.networks),
            Run::Users(self.users),
            Run::Rooms(self.rooms),
            Run::Props(self.props),
            Run::Groups(self.groups),
            Run::Communities(self.communities),
        ];
        runs.extend(all.into_iter().filter(|run| !is_empty(run)));
    }
}

fn name_of(line: &Line) -> Name<'_> {
    match line {
        Line::Network(line) => (LineKind::Network, &line.id),
        Line::User(line) => (LineKind::User, &line.id),
        Line::Room(line) => (LineKind::Room, &line.id),
        Line::Prop(line) => (LineKind::Prop, &line.id),
        Line::Group(line) => (LineKind::Group, &line.id),
        Line::Community(line) => (LineKind::Community, &line.id),
        Line::Deleted { kind, id } => (*kind, id),
    }
}

fn named_by(line: &Line) -> Vec<Name<'_>> {
    match line {
        Line::Network(line) => names(LineKind::Network, &line.parent_network_id).collect(),
        Line::User(line) => names(LineKind::Network, line.network_ids.iter().flatten()).collect(),
        Line::Room(line) => names(LineKind::Network, &line.network_id)
            .chain(names(LineKind::User, line.owner_id.iter().chain(line.viewers.iter().flatten())))
            .collect(),
        Line::Prop(line) => names(LineKind::Room, &line.room_id).collect(),
        Line::Group(line) => named_by_circle(line.network_id.as_ref(), line.members.as_deref()),
        Line::Community(line) => named_by_circle(line.network_id.as_ref(), line.members.as_deref()),
        Line::Deleted { .. } => Vec::new(),
    }
}

fn named_by_circle<'a>(network: Option<&'a String>, members: Option<&'a [Member]>) -> Vec<Name<'a>> {
    let users = members.unwrap_or_default().iter().map(|member| &member.user_id);
    names(LineKind::Network, network).chain(names(LineKind::User, users)).collect()
}

fn names<'a>(kind: LineKind, ids: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = Name<'a>> {
    ids.into_iter().map(move |id| (kind, id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of the runs, each with the numbers of its lines or, for what is deleted, the ids.
    fn divided(lines: &[&str]) -> Vec<(String, String)> {
        let lines: Vec<(u64, Line)> =
            (1..).zip(lines).map(|(number, line)| (number, Line::read(line).expect(line))).collect();
        let numbers = |numbers: &mut dyn Iterator<Item = u64>| {
            numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
        };
        let run = |run: &Run<'_>| match run {
            Run::Networks(run) => ("networks", numbers(&mut run.iter().map(|(number, _)| *number))),
            Run::Users(run) => ("users", numbers(&mut run.iter().map(|(number, _)| *number))),
            Run::Rooms(run) => ("rooms", numbers(&mut run.iter().map(|(number, _)| *number))),
            Run::Props(run) => ("props", numbers(&mut run.iter().map(|(number, _)| *number))),
            Run::Groups(run) => ("groups", numbers(&mut run.iter().map(|(number, _)| *number))),
            Run::Communities(run) => ("communities", numbers(&mut run.iter().map(|(number, _)| *number))),
            Run::Deleted(kind, ids) => (kind.as_str(), ids.join(" ")),
        };
        runs(&lines).iter().map(run).map(|(kind, what)| (kind.to_owned(), what)).collect()
    }

    fn owned(runs: &[(&str, &str)]) -> Vec<(String, String)> {
        runs.iter().map(|(kind, what)| ((*kind).to_owned(), (*what).to_owned())).collect()
    }

    #[test]
    fn lines_that_cannot_meet_are_sorted_by_kind() {
        let runs = divided(&[
            r#"{"kind":"prop","id":"chair","roomId":"attic"}"#,
            r#"{"kind":"room","id":"lobby","networkId":"demo","ownerId":"alice"}"#,
            r#"{"kind":"prop","id":"table","roomId":"lobby"}"#,
            r#"{"kind":"room","id":"stage","networkId":"demo","viewers":["alice"]}"#,
            r#"{"kind":"prop","id":"screen","roomId":"stage"}"#,
            r#"{"kind":"user","id":"bob"}"#,
        ]);
        assert_eq!(runs, owned(&[("users", "6"), ("rooms", "2 4"), ("props", "1 3 5")]));
    }

    #[test]
    fn no_line_finds_what_a_later_one_makes() {
        for (names, makes, expected) in [
            (r#"{"kind":"prop","id":"table","roomId":"lobby"}"#, r#"{"kind":"room","id":"lobby"}"#, ["props", "rooms"]),
            (r#"{"kind":"room","id":"lobby","ownerId":"a"}"#, r#"{"kind":"user","id":"a"}"#, ["rooms", "users"]),
            (r#"{"kind":"room","id":"lobby","viewers":["a"]}"#, r#"{"kind":"user","id":"a"}"#, ["rooms", "users"]),
            (r#"{"kind":"room","id":"l","networkId":"n"}"#, r#"{"kind":"network","id":"n"}"#, ["rooms", "networks"]),
            (r#"{"kind":"user","id":"a","networkIds":["n"]}"#, r#"{"kind":"network","id":"n"}"#, ["users", "networks"]),
            (
                r#"{"kind":"network","id":"m","parentNetworkId":"n"}"#,
                r#"{"kind":"network","id":"n"}"#,
                ["networks", "networks"],
            ),
            (
                r#"{"kind":"group","id":"g","members":[{"userId":"a"}]}"#,
                r#"{"kind":"user","id":"a"}"#,
                ["groups", "users"],
            ),
            (
                r#"{"kind":"community","id":"c","members":[{"userId":"a"}]}"#,
                r#"{"kind":"user","id":"a"}"#,
                ["communities", "users"],
            ),
        ] {
            assert_eq!(divided(&[names, makes]), owned(&[(expected[0], "1"), (expected[1], "2")]), "{names}");
        }
    }

    #[test]
    fn nothing_is_twice_in_a_run_or_on_both_sides_of_its_deletion() {
        let runs = divided(&[
            r#"{"kind":"user","id":"alice"}"#,
            r#"{"kind":"user","id":"bob"}"#,
            r#"{"kind":"user","id":"alice"}"#,
            r#"{"kind":"user","id":"bob","deleted":true}"#,
            r#"{"kind":"user","id":"carol","deleted":true}"#,
            r#"{"kind":"user","id":"carol","deleted":true}"#,
            r#"{"kind":"room","id":"lobby","deleted":true}"#,
            r#"{"kind":"user","id":"bob"}"#,
        ]);
        let expected = [
            ("users", "1 2"),
            ("users", "3"),
            ("user", "bob carol"),
            ("user", "carol"),
            ("room", "lobby"),
            ("users", "8"),
        ];
        assert_eq!(runs, owned(&expected));
    }
}
