//! The configuration in files: TOML, several files as one, errors with the place and a caret.
//!
//! Objects come from any of the files; the same object in two of them is an error that names both, and
//! so are unknown keys and values of a wrong type. Everything that is wrong is reported at once, each
//! with file, line and column, the line itself, and what to do. Only [`load`] touches the disk; parsing
//! is pure and never panics on any text. Implements interfaces.md §6.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, check, tree};
use crate::text::push_segment;

/// One file, read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What is wrong with the files.
#[derive(Clone, Debug)]
pub struct FileErrors {
    sources: Vec<Source>,
    /// Where each path of the configuration is: the file's number and the bytes of its value.
    spans: BTreeMap<String, (usize, Range<usize>)>,
    /// All errors, in the order found.
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.errors.iter().map(|error| self.render(error)).collect();
        f.write_str(&texts.join("\n\n"))
    }
}

impl std::error::Error for FileErrors {}

impl FileErrors {
    fn render(&self, error: &ConfigError) -> String {
        let title = Level::ERROR.primary_title(error.message.as_str());
        let mut group = Group::with_title(title);
        match self.place(&error.path) {
            Some((file, span)) => {
                let source = &self.sources[file];
                let label = error.hint.clone().unwrap_or_else(|| error.path.clone());
                let mark = AnnotationKind::Primary.span(span).label(label);
                group = group.element(
                    Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(mark),
                );
            }
            None => {
                group = group.element(Level::NOTE.message(format!("at {}", error.path)));
                if let Some(hint) = &error.hint {
                    group = group.element(Level::HELP.message(hint.as_str()));
                }
            }
        }
        Renderer::plain().render(&[group])
    }

    /// The nearest thing that the files say about a path: itself, or what it is in.
    fn place(&self, path: &str) -> Option<(usize, Range<usize>)> {
        let mut path = path;
        loop {
            if let Some(place) = self.spans.get(path) {
                return Some(place.clone());
            }
            let cut = path.rfind(['.', '['])?;
            path = &path[..cut];
        }
    }
}

/// Reads the files as one configuration.
///
/// # Errors
/// Everything that is wrong with them, with its place.
pub fn parse(sources: &[Source]) -> Result<Config, FileErrors> {
    let mut found =
        FileErrors { sources: sources.to_vec(), spans: BTreeMap::new(), errors: Vec::new() };
    let mut whole = Map::new();
    for (number, source) in sources.iter().enumerate() {
        match DeTable::parse(&source.text) {
            Ok(table) => found.merge(number, table.get_ref(), &mut whole),
            Err(error) => {
                let at = format!("file {number}");
                let span = error.span().unwrap_or(0..0);
                found.spans.insert(at.clone(), (number, span));
                found.errors.push(ConfigError::new(at, error.message().to_owned()).hint("this is no TOML"));
            }
        }
    }
    if !found.errors.is_empty() {
        return Err(found);
    }
    match tree::config(&Value::Object(whole)) {
        Err(errors) => found.errors = errors,
        Ok(config) => {
            found.errors = check(&config);
            if found.errors.is_empty() {
                return Ok(config);
            }
        }
    }
    Err(found)
}

impl FileErrors {
    /// Takes one file's tables in: objects beside those of other files.
    fn merge(&mut self, file: usize, table: &DeTable<'_>, whole: &mut Map<String, Value>) {
        for (key, value) in table {
            let (name, at) = (key.get_ref().to_string(), value.span());
            let DeValue::Table(objects) = value.get_ref() else {
                self.note(&name, file, &at);
                whole.insert(name.clone(), self.value(&name, file, value.get_ref()));
                continue;
            };
            self.spans.entry(name.clone()).or_insert_with(|| (file, key.span()));
            if !whole.get(&name).is_some_and(Value::is_object) {
                whole.insert(name.clone(), Value::Object(Map::new()));
            }
            for (object, fields) in objects {
                let mut path = name.clone();
                push_segment(&mut path, object.get_ref());
                let before = self.spans.get(&path).map(|(file, _)| self.sources[*file].name.clone());
                if let Some(before) = before {
                    let message = format!("{path} is in {before} already");
                    let mut at = path.clone();
                    at.push_str(" again");
                    self.note(&at, file, &object.span());
                    self.errors.push(ConfigError::new(at, message).hint("say it in one of the files"));
                    continue;
                }
                self.note(&path, file, &object.span());
                let value = self.value(&path, file, fields.get_ref());
                if let Some(Value::Object(all)) = whole.get_mut(&name) {
                    all.insert(object.get_ref().to_string(), value);
                }
            }
        }
    }

    fn note(&mut self, path: &str, file: usize, span: &Range<usize>) {
        self.spans.insert(path.to_owned(), (file, span.clone()));
    }

    /// A TOML value as JSON; where each part of it is goes into the map.
    fn value(&mut self, path: &str, file: usize, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed.map_or_else(|_| Value::String(number.to_string()), Value::from)
            }
            DeValue::Float(number) => {
                number.as_str().parse::<f64>().map_or(Value::Null, Value::from)
            }
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => {
                let item = |(i, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                    let path = format!("{path}[{i}]");
                    self.note(&path, file, &item.span());
                    self.value(&path, file, item.get_ref())
                };
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            DeValue::Table(fields) => {
                let mut object = Map::new();
                for (key, field) in fields {
                    let mut path = path.to_owned();
                    push_segment(&mut path, key.get_ref());
                    let inner = self.value(&path, file, field.get_ref());
                    self.note(&path, file, &field.span());
                    object.insert(key.get_ref().to_string(), inner);
                }
                Value::Object(object)
            }
        }
    }
}

/// Why the configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in the files is wrong.
    #[error(transparent)]
    Wrong(#[from] FileErrors),
}

/// Reads a file and what is in the folder `conf.d` beside it (`*.toml`, in the order of their names);
/// gives the files that were read.
///
/// # Errors
/// The file that cannot be read, or everything that is wrong with what is in them.
pub fn load(path: &Path) -> Result<(Config, Vec<PathBuf>), LoadError> {
    let mut files = vec![path.to_owned()];
    let folder = path.with_file_name("conf.d");
    if folder.is_dir() {
        let io = |source| LoadError::Io { path: folder.clone(), source };
        let mut more = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            more.push(entry.map_err(io)?.path());
        }
        more.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
        more.sort();
        files.extend(more);
    }
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LoadError::Io { path: path.clone(), source })?;
        Ok(Source { name: path.display().to_string(), text })
    };
    let sources = files.iter().map(read).collect::<Result<Vec<_>, LoadError>>()?;
    Ok((parse(&sources)?, files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrong(texts: &[(&str, &str)]) -> String {
        let sources: Vec<Source> = texts
            .iter()
            .map(|(name, text)| Source { name: (*name).to_owned(), text: (*text).to_owned() })
            .collect();
        parse(&sources).expect_err("a wrong configuration").to_string()
    }

    #[test]
    fn a_wrong_value_has_its_place_and_a_caret() {
        let text = "[bridge.br0]\n\n[port.vm1]\nbridge = \"br0\"\nkind = \"tap\"\nvlan = 5000\n";
        let said = wrong(&[("a.toml", text)]);
        assert!(said.contains("a.toml:6:8"), "{said}");
        assert!(said.contains("vlan = 5000") && said.contains("^^^^"), "{said}");
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known() {
        let said = wrong(&[("a.toml", "[bridge.br0]\nageeing = \"300s\"\n")]);
        assert!(said.contains("ageeing") && said.contains("ageing"), "{said}");
    }

    #[test]
    fn an_object_in_two_files_names_both() {
        let text = "[bridge.br0]\n";
        let said = wrong(&[("a.toml", text), ("b.toml", text)]);
        assert!(said.contains("a.toml") && said.contains("b.toml"), "{said}");
    }

    #[test]
    fn broken_toml_has_its_place() {
        let said = wrong(&[("a.toml", "[bridge.br0]\nmtu = \n")]);
        assert!(said.contains("a.toml:2"), "{said}");
    }

    #[test]
    fn several_files_are_one_configuration() {
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let config = parse(&[
            source("a", "[bridge.br0]\nmtu = 9000\n"),
            source("b", "[port.vm1]\nbridge = \"br0\"\nkind = \"tap\"\ntrunk = [100, \"200-299\"]\n"),
        ])
        .expect("right");
        assert_eq!(config.bridge["br0"].mtu, 9000);
        assert_eq!(config.membership_of("vm1").map(|m| m.tagged.ranges().len()), Some(2));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let source = Source { name: "any".to_owned(), text };
            if let Err(errors) = parse(&[source]) {
                prop_assert!(!errors.to_string().is_empty());
            }
        }
    }
}
