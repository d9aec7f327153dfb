//! Mistakes of a scenario file, with their place, and how they are shown.

use std::fmt;
use std::io::IsTerminal;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

use super::tree::Place;

/// A mistake before its line is known.
#[derive(Clone, Debug)]
pub struct Draft {
    pub place: Place,
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Draft {
    pub fn new(place: Place, path: String, message: impl Into<String>) -> Self {
        Draft { place, path, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The scenario file, or `--set path=value`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Field path, such as `load[0].from`; empty where the file as a whole is meant.
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
    #[serde(skip)]
    place: Place,
}

/// Every mistake found in one scenario file and its overrides, in the order of the text.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    mistakes: Vec<Mistake>,
    sources: Vec<Source>,
}

/// A text that a place can point into.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

/// How diagnostics look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ASCII without colour: for files, pipes and snapshots.
    Plain,
    /// For a terminal.
    Terminal,
}

impl Style {
    /// What standard error can show.
    pub fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() { Style::Terminal } else { Style::Plain }
    }
}

impl Diagnostics {
    pub(crate) fn new(sources: Vec<Source>, mut drafts: Vec<Draft>) -> Self {
        drafts.sort_by_key(|draft| draft.place);
        let mistakes = drafts.into_iter().map(|draft| locate(&sources, draft)).collect();
        Diagnostics { mistakes, sources }
    }

    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// An array of objects: file, line, column, path, message, hint.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.mistakes).expect("a mistake is text and numbers")
    }

    /// The mistakes with the lines they are in.
    pub fn render(&self, style: Style) -> String {
        let theme = match style {
            Style::Plain => GraphicalTheme::none(),
            Style::Terminal => GraphicalTheme::unicode(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false);
        let mut out = String::new();
        for mistake in &self.mistakes {
            let shown = Shown { mistake, source: self.named(mistake) };
            handler.render_report(&mut out, &shown).expect("writing to a String does not fail");
        }
        out
    }

    fn named(&self, mistake: &Mistake) -> NamedSource<String> {
        let text = self.sources.get(mistake.place.source).map(|source| source.text.clone());
        NamedSource::new(&mistake.file, text.unwrap_or_default())
    }
}

/// One line per mistake, as compilers print them.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let Mistake { file, line, column, path, message, hint, .. } = mistake;
            let newline = if index == 0 { "" } else { "\n" };
            let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
            let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            write!(f, "{newline}{file}:{line}:{column}: {path}{message}{hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

fn locate(sources: &[Source], draft: Draft) -> Mistake {
    let source = &sources[draft.place.source];
    let before = source.text.get(..draft.place.start).unwrap_or(&source.text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Mistake {
        file: source.name.clone(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        path: draft.path,
        message: draft.message,
        hint: draft.hint,
        place: draft.place,
    }
}

/// A mistake with its source, as miette wants it.
#[derive(Debug)]
struct Shown<'a> {
    mistake: &'a Mistake,
    source: NamedSource<String>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistake.path.as_str() {
            "" => f.write_str(&self.mistake.message),
            path => write!(f, "{path}: {}", self.mistake.message),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.mistake.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Place { start, end, .. } = self.mistake.place;
        Some(Box::new(std::iter::once(LabeledSpan::at(start..end, "here"))))
    }
}
