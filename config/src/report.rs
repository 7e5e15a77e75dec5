//! Errors and warnings as a person reads them: with the file's text underlined, one screen at most.

use crate::problem::Problem;
use crate::source::{self, Excerpt};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity};
use std::fmt;
use std::io::IsTerminal as _;

/// Problems that are kept; more are only counted.
const MAX_KEPT: usize = 64;

/// Lines of a screen.
const SCREEN: usize = 24;

/// Columns of a screen.
const WIDTH: usize = 100;

/// How a report is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With escape sequences for colours.
    Colour,
}

impl Style {
    /// Colours if a terminal shows them and nobody asked for none (<https://no-color.org>).
    #[must_use]
    pub fn of_terminal() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
            Self::Colour
        } else {
            Self::Plain
        }
    }
}

/// One error or warning with its place in the file.
#[derive(Clone, Debug)]
pub struct Finding {
    message: String,
    help: String,
    severity: Severity,
    /// File, line and column.
    place: Option<(String, usize, usize)>,
    excerpt: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
}

impl Finding {
    fn new(problem: &Problem, severity: Severity, name: &str, text: Option<&str>) -> Self {
        let mut finding = Self {
            message: problem.message.clone(),
            help: problem.help.clone(),
            severity,
            place: None,
            excerpt: None,
            labels: Vec::new(),
        };
        if let (Some(text), Some(first)) = (text, problem.labels.first()) {
            let (line, column) = source::position(text, first.span.start);
            finding.place = Some((name.to_owned(), line, column));
            let (excerpt, spans) = Excerpt::new(name, text, &problem.labels);
            finding.excerpt = Some(excerpt);
            for (at, (label, &(offset, len))) in problem.labels.iter().zip(&spans).enumerate() {
                let said = (!label.text.is_empty()).then(|| label.text.clone());
                finding.labels.push(if at == 0 {
                    LabeledSpan::new_primary_with_span(said, (offset, len))
                } else {
                    LabeledSpan::new_with_span(said, (offset, len))
                });
            }
        }
        finding
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would be right.
    #[must_use]
    pub fn help_text(&self) -> &str {
        &self.help
    }

    /// Line and column in the file, both from 1; `None` if it is not about a place in the file.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|&(_, line, column)| (line, column))
    }

    /// `file:line:column: message`, on one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        match &self.place {
            Some((file, line, column)) => format!("{file}:{line}:{column}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.excerpt
            .as_ref()
            .map(|it| it as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

/// Everything that was found in one reading of a file, in the file's order.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
    /// How many more there were than are kept.
    uncounted: usize,
}

impl Report {
    pub(crate) fn new(
        mut problems: Vec<Problem>,
        severity: Severity,
        name: &str,
        text: Option<&str>,
    ) -> Self {
        problems.sort_by_key(|problem| problem.labels.first().map(|label| label.span.start));
        let kept = problems.iter().take(MAX_KEPT);
        Self {
            findings: kept
                .map(|problem| Finding::new(problem, severity, name, text))
                .collect(),
            uncounted: problems.len().saturating_sub(MAX_KEPT),
        }
    }

    /// The findings, at most 64 of them, in the file's order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// The report as text of at most 24 lines and 100 columns: the first findings with the file's text underlined,
    /// further ones in a line each, the rest as a number.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let mut text = String::new();
        let mut lines = 0;
        let mut left = self.findings.len() + self.uncounted;
        let mut findings = self.findings.iter().peekable();
        while let Some(finding) = findings.peek() {
            let full = draw(finding, style);
            let needed = full.lines().count();
            // What is left after this one gets a line at least.
            let reserve = usize::from(left > 1);
            if lines > 0 && lines + needed + reserve > SCREEN {
                break;
            }
            text.push_str(&full);
            lines += needed;
            left -= 1;
            findings.next();
        }
        for finding in findings {
            if lines + usize::from(left > 1) >= SCREEN {
                break;
            }
            text.push_str(&cut(&format!("  also {}", finding.one_line()), WIDTH));
            text.push('\n');
            lines += 1;
            left -= 1;
        }
        if left > 0 {
            text.push_str(&format!("  and {left} more\n"));
        }
        text
    }
}

fn draw(finding: &Finding, style: Style) -> String {
    let theme = match style {
        Style::Plain => GraphicalTheme::unicode_nocolor(),
        Style::Colour => GraphicalTheme::unicode(),
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .without_syntax_highlighting()
        .with_width(WIDTH);
    if handler.render_report(&mut text, finding).is_err() {
        // Only a label outside of its excerpt could do that; say at least what is wrong.
        return format!("{}\n", finding.one_line());
    }
    text
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Why a cluster file is refused: everything that was found wrong with it.
#[derive(Clone, Debug)]
pub struct ConfigError(pub(crate) Report);

impl ConfigError {
    /// What was found wrong, in the file's order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.0.findings()
    }

    /// The error as text of one screen: see [`Report::render`].
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        self.0.render(style)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.render(Style::Plain).trim_end())
    }
}

impl std::error::Error for ConfigError {}
