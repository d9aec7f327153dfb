//! The command line `bellwether`: one file per verb, whose doc comment is its help text.
//!
//! Results go to standard output, everything else to standard error. Whoever reads only the first lines (`| head`)
//! ends the program quietly.

mod canaries;
mod check;
mod explain;
mod kafka;
mod list;
mod logs;
mod options;
mod out;
mod replay;
mod run;
mod schema;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use scenario::{Diagnostics, Style};

use crate::runner::report::Fault;
use crate::runner::verdict::Exit;

/// Runs a trading and clearing platform in a simulated world, breaks the world, and checks the money.
///
/// One seed and one scenario file reproduce any failure, to the byte.
#[derive(Parser)]
#[command(name = "bellwether", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  as expected                     4  not deterministic
  1  violated, or an expected        5  scenario invalid
     violation not found             6  vacuous or unknown
  2  wrong usage                    70  a fault in Bellwether,
  3  did not settle                     or over the wall limit";

#[derive(Subcommand)]
enum Verb {
    Run(run::Run),
    Replay(replay::Replay),
    Canaries(canaries::Canaries),
    Check(check::Check),
    Schema(schema::Schema),
    List(list::List),
    Explain(explain::Explain),
    Kafka(kafka::Kafka),
}

/// Why a verb ended early.
enum Failure {
    /// Of standard output, or of a file that was to be written.
    Io(io::Error),
    Usage {
        message: String,
        hint: String,
    },
    /// Mistakes in scenario files.
    Invalid(Vec<Diagnostics>),
    Fault(Exit, Fault),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Neither a closed pipe nor a closed terminal is worth a word.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::AsExpected.into() };
        }
    };
    logs::start();
    let ended = match cli.verb {
        Verb::Run(verb) => verb.run(),
        Verb::Replay(verb) => verb.run(),
        Verb::Canaries(verb) => verb.run(),
        Verb::Check(verb) => verb.run(),
        Verb::Schema(verb) => verb.run(),
        Verb::List(verb) => verb.run(),
        Verb::Explain(verb) => verb.run(),
        Verb::Kafka(verb) => verb.run(),
    };
    ended.unwrap_or_else(|failure| report(&failure)).into()
}

fn report(failure: &Failure) -> Exit {
    match failure {
        Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::AsExpected,
        Failure::Io(error) => {
            eprintln!("error: {error}");
            Exit::Fault
        }
        Failure::Usage { message, hint } => {
            eprintln!("error: {message}\nhint: {hint}");
            Exit::Usage
        }
        Failure::Invalid(files) => {
            files.iter().for_each(|file| eprint!("{}", file.render(Style::of_stderr())));
            Exit::Invalid
        }
        Failure::Fault(exit, fault) => {
            eprintln!("error: {}", fault.message);
            fault.hint.iter().for_each(|hint| eprintln!("hint: {hint}"));
            *exit
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
