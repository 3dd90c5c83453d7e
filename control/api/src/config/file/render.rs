//! Errors as an operator reads them: what is wrong with which object, the line with a caret
//! under it, and what to do.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::FileErrors;
use super::place::Mark;
use crate::config::ConfigError;

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.errors.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            f.write_str(&self.render(number, error))?;
        }
        Ok(())
    }
}

impl std::error::Error for FileErrors {}

impl FileErrors {
    fn render(&self, number: usize, error: &ConfigError) -> String {
        let marked = self.marks.iter().find(|(of, _, _)| *of == number);
        let (at, also) = match marked {
            Some((_, at, also)) => (Some(at.clone()), also.clone()),
            None => (self.places.of(&error.path, &error.message), None),
        };
        let title = match &at {
            // The path of an error of syntax is its file, which is printed below anyway.
            Some(at) if self.sources[at.file].name == error.path => error.message.clone(),
            _ => title(error),
        };
        let mut group = Group::with_title(Level::ERROR.primary_title(title));
        match &at {
            Some(at) => group = group.element(self.snippet(at, AnnotationKind::Primary)),
            None if error.path.is_empty() => {}
            None => group = group.element(Level::NOTE.message(format!("at {}", error.path))),
        }
        if let Some(hint) = &error.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let mut report = vec![group];
        if let Some(also) = also {
            let title = Level::NOTE.secondary_title("it is here too");
            report.push(
                Group::with_title(title).element(self.snippet(&also, AnnotationKind::Primary)),
            );
        }
        Renderer::plain().render(&report)
    }

    fn snippet(
        &self,
        mark: &Mark,
        kind: AnnotationKind,
    ) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let source = &self.sources[mark.file];
        let annotation = kind.span(mark.span.clone());
        Snippet::source(source.text.as_str())
            .path(source.name.as_str())
            .annotation(annotation)
    }
}

/// `port "vm1": there is no VLAN 5000`: the object first, the key is under the caret.
fn title(error: &ConfigError) -> String {
    let path = error.path.as_str();
    let (kind, rest) = path.split_once('.').unwrap_or((path, ""));
    let message = &error.message;
    match kind {
        "bridge" | "port" | "host" if !rest.is_empty() => {
            let name = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => rest.split(['.', '[']).next(),
            };
            format!("{kind} \"{}\": {message}", name.unwrap_or_default())
        }
        "daemon" => format!("[daemon]: {message}"),
        _ => message.clone(),
    }
}
