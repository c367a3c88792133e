//! Shows problems as a compiler does: each with the line of the file that it is in, or in one line.
//!
//! It shows no other line of the file, and masks external IDs.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use landfall_core::problem::Problem;
use landfall_core::routes::Parsed;

use super::mask::mask;
use super::phrases::counted;
use super::printable;
use crate::args::Format;

/// How to show problems.
#[derive(Clone, Copy)]
pub struct Style {
    pub format: Format,
    pub color: bool,
}

/// Returns all `problems` of the file `name`, which holds `text`.
pub fn render(name: &str, text: &str, problems: &[Problem], style: Style) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let masked = mask(text);
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    problems
        .iter()
        .map(|problem| match style.format {
            Format::Short | Format::Sarif => {
                format!("{name}:{}\n", printable(&problem.to_string()))
            }
            Format::Full => full(name, &masked, problem, &renderer),
        })
        .collect()
}

/// Returns a summary such as `3 routes, 1 target, no problems`. If the file is unusable, it counts only the problems.
pub fn summary(parsed: &Parsed) -> String {
    let errors = parsed.problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = parsed.problems.len() - errors;
    let mut parts = Vec::new();
    if let Some(routes) = &parsed.routes {
        parts.push(counted(routes.routes.len(), "route"));
        parts.push(counted(routes.targets.len(), "target"));
    }
    if errors > 0 {
        parts.push(counted(errors, "error"));
    }
    if warnings > 0 {
        parts.push(counted(warnings, "warning"));
    }
    if errors + warnings == 0 {
        parts.push("no problems".to_owned());
    }
    parts.join(", ")
}

fn full(name: &str, text: &str, problem: &Problem, renderer: &Renderer) -> String {
    let (line, span) = line_of(text, &problem.place.bytes);
    let level = if problem.is_error() { Level::ERROR } else { Level::WARNING };
    // Only this line is shown, so a problem that spans several lines is cut to it.
    let snippet = Snippet::source(if line.is_empty() { " " } else { line })
        .line_start(problem.place.line)
        .path(name)
        .annotation(AnnotationKind::Primary.span(span));
    let mut group = level.primary_title(printable(&problem.message)).element(snippet);
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(printable(hint)));
    }
    format!("{}\n\n", renderer.render(&[group]))
}

/// Returns the line that `bytes` begin in, and the part of it that they cover.
fn line_of<'a>(text: &'a str, bytes: &Range<usize>) -> (&'a str, Range<usize>) {
    // An invalid place counts as the end of the text.
    let at = if text.is_char_boundary(bytes.start) { bytes.start } else { text.len() };
    let (before, after) = text.split_at(at);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = at + after.find('\n').unwrap_or(after.len());
    let line = text[start..end].trim_end_matches('\r');
    let span_start = (at - start).min(line.len());
    let span_end = bytes.end.clamp(at, end) - start;
    let span_end = if line.is_char_boundary(span_end) { span_end } else { line.len() };
    (line, span_start..span_end.max(span_start))
}

#[cfg(test)]
mod tests {
    use landfall_core::routes::Routes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_file_makes_rendering_panic(
            text in "(version: 1\n)?(targets:\n  a: \\{external_id: )?[a-z\\[\\]{}:,&*!|>'\"#%@` \n\r\tüß漢🦀\u{1b}\u{200d}\u{301}\u{202e}-]{0,60}",
        ) {
            let problems = Routes::parse_to_deploy(&text).problems;
            for format in [Format::Full, Format::Short] {
                for color in [true, false] {
                    render("f.yaml", &text, &problems, Style { format, color });
                }
            }
        }
    }
}
