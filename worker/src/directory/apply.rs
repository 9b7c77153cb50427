//! `internal.directory.apply`: lines of the directory, one after the other, a bad one skipping only itself.
//!
//! Lines that cannot meet each other are applied together, see [`super::runs`]. Each run is checked first; a line that is
//! found bad is applied alone at its place among the others, so that what it is judged by is what the lines before it have
//! left. What another transaction has done between check and write breaks a constraint: then all is
//! undone and done again line by line.

use std::future::Future;

use shared::{
    api::directory::{Line, LineKind},
    internal::{AppliedLines, ApplyLines, LineError},
};

use crate::{
    context::{Change, Gateway},
    directory::{
        circles, networks, places,
        runs::{Run, runs},
        users,
    },
    error::Error,
};

/// A request's transaction.
pub(super) type Work = Change<Gateway>;

/// How lines of one kind are applied.
pub(super) trait Upsert: Sync + Sized {
    /// Says of each line what is wrong with it as things stand; `None`: nothing. Lines found good can be written together.
    /// Locks what it has looked at and what is about to be written.
    fn check(work: &mut Work, lines: &[&Self]) -> impl Future<Output = Result<Vec<Option<String>>, Error>> + Send;

    /// Writes lines that were found good, and what follows from them.
    fn write(work: &mut Work, lines: &[&Self]) -> impl Future<Output = Result<(), Error>> + Send;
}

pub(crate) async fn handle(work: &mut Work, request: ApplyLines) -> Result<AppliedLines, Error> {
    let mut lines = Vec::with_capacity(request.lines.len());
    let mut unreadable = Vec::new();
    for (number, text) in (1..).zip(&request.lines) {
        match Line::read(text) {
            Ok(line) => lines.push((number, line)),
            Err(error) => unreadable.push(LineError { line: number, message: error.to_string() }),
        }
    }

    let mut report = AppliedLines::default();
    let all = work.savepoint().await?;
    match apply(work, &lines, &mut report).await {
        Ok(()) => work.release(all).await?,
        Err(error) if is_overtaken(&error) => {
            work.roll_back_to(all).await?;
            report = AppliedLines::default();
            for line in &lines {
                let alone = work.savepoint().await?;
                match apply(work, std::slice::from_ref(line), &mut report).await {
                    Ok(()) => work.release(alone).await?,
                    Err(error) if is_overtaken(&error) => {
                        work.roll_back_to(alone).await?;
                        let message = "contradicts what was written at the same time: send it again".to_owned();
                        report.errors.push(LineError { line: line.0, message });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error) => return Err(error),
    }
    report.errors.extend(unreadable);
    report.errors.sort_by_key(|error| error.line);
    Ok(report)
}

/// Whether a check was good when it was made and no longer when its lines were written.
fn is_overtaken(error: &Error) -> bool {
    match error {
        Error::Database(sqlx::Error::Database(error)) => {
            error.is_unique_violation() || error.is_foreign_key_violation()
        }
        Error::Database(sqlx::Error::RowNotFound) => true,
        _ => false,
    }
}

async fn apply(work: &mut Work, lines: &[(u64, Line)], report: &mut AppliedLines) -> Result<(), Error> {
    for run in runs(lines) {
        match run {
            Run::Networks(run) => upsert(work, &run, report).await?,
            Run::Users(run) => upsert(work, &run, report).await?,
            Run::Rooms(run) => upsert(work, &run, report).await?,
            Run::Props(run) => upsert(work, &run, report).await?,
            Run::Groups(run) => upsert(work, &run, report).await?,
            Run::Communities(run) => upsert(work, &run, report).await?,
            Run::Deleted(kind, ids) => {
                match kind {
                    LineKind::Network => networks::delete(work, &ids).await?,
                    LineKind::User => users::delete(work, &ids).await?,
                    LineKind::Room => places::delete_rooms(work, &ids).await?,
                    LineKind::Prop => places::delete_props(work, &ids).await?,
                    LineKind::Group => circles::delete_groups(work, &ids).await?,
                    LineKind::Community => circles::delete_communities(work, &ids).await?,
                }
                report.applied += ids.len() as u64;
            }
        }
    }
    Ok(())
}

async fn upsert<L: Upsert>(work: &mut Work, run: &[(u64, &L)], report: &mut AppliedLines) -> Result<(), Error> {
    let lines: Vec<&L> = run.iter().map(|(_, line)| *line).collect();
    let found = L::check(work, &lines).await?;
    let mut start = 0;
    for (index, message) in found.into_iter().enumerate() {
        let Some(mut message) = message else { continue };
        if start < index {
            write(work, &lines[start..index], report).await?;
        }
        start = index + 1;
        let alone = &lines[index..=index];
        if lines.len() > 1 {
            match L::check(work, alone).await?.pop().flatten() {
                Some(still) => message = still,
                None => {
                    write(work, alone, report).await?;
                    continue;
                }
            }
        }
        report.errors.push(LineError { line: run[index].0, message });
    }
    if start < lines.len() {
        write(work, &lines[start..], report).await?;
    }
    Ok(())
}

async fn write<L: Upsert>(work: &mut Work, lines: &[&L], report: &mut AppliedLines) -> Result<(), Error> {
    L::write(work, lines).await?;
    report.applied += lines.len() as u64;
    Ok(())
}
