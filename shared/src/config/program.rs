//! Programs that serve, or do one thing instead that a subcommand names.

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::heading;

/// A program: the settings that it serves with.
pub trait Program: Args {
    /// What it is called.
    const NAME: &'static str;
    /// What it can do instead of serving.
    type Instead: Subcommand;
}

/// What a process of a program is to do.
#[derive(Debug)]
pub enum Task<P: Program> {
    /// To serve: no subcommand was given.
    Serve(Box<P>),
    /// Something else. Settings that only serving needs may be missing.
    Instead(P::Instead),
}

// Written out because a derived optional part counts as absent when all of its settings come from the environment.
impl<P: Program> CommandFactory for Task<P> {
    fn command() -> Command {
        let settings = P::augment_args(Command::new(P::NAME));
        let about = settings.get_about().cloned().unwrap_or_default();
        let command = Command::new(P::NAME).version(super::version());
        P::Instead::augment_subcommands(command)
            .about(about)
            .args(heading::in_order(settings.get_arguments()))
            .groups(settings.get_groups().cloned())
            .subcommand_required(false)
            .arg_required_else_help(false)
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
    }

    fn command_for_update() -> Command {
        Self::command()
    }
}

impl<P: Program> FromArgMatches for Task<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand_name().is_some() {
            P::Instead::from_arg_matches(matches).map(Self::Instead)
        } else {
            P::from_arg_matches(matches).map(|serve| Self::Serve(Box::new(serve)))
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<P: Program> Parser for Task<P> {}
