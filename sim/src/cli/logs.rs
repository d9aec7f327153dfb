//! Logs on standard error, as `RUST_LOG` asks for them, in virtual time.
//!
//! A line says how long the run is, the level, the place and the message. It leaves out the host's clock and
//! everything that the executor numbers by itself, so that the logs of two runs can be compared.

use std::io::IsTerminal;
use std::time::Duration;
use std::{fmt, io};

use madsim::time::TimeHandle;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging for the whole process. Without `RUST_LOG` there is none; the executor's own only where it is named.
pub fn start() {
    let Ok(directives) = std::env::var("RUST_LOG") else { return };
    let mut filter = EnvFilter::builder().parse_lossy(&directives);
    if !directives.contains("madsim") {
        filter = filter.add_directive("madsim=info".parse().expect("a constant"));
    }
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let logs = logs.with_ansi(io::stderr().is_terminal());
    // Whoever has started logging before has the right to it.
    let _ = logs.event_format(Virtual).try_init();
}

struct Virtual;

impl<S, N> FormatEvent<S, N> for Virtual
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let elapsed = TimeHandle::try_current().map_or(Duration::ZERO, |time| time.elapsed());
        let metadata = event.metadata();
        write!(out, "{:>16.9} {:>5} {}: ", elapsed.as_secs_f64(), metadata.level(), metadata.target())?;
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
