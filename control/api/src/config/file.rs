//! The configuration in files: TOML, several files as one, errors with the place and a caret.
//!
//! Objects come from any of the files; the same object (or `[daemon]` key) in two of them is an
//! error that names both. All unknown keys and values of a wrong type are reported together,
//! and so is everything that [`check()`](super::check()) finds; each with file, line and column,
//! the line itself, and what to do. Only [`load`] touches the disk, and reads no file beyond
//! [`FILE_MAX`]; parsing is pure and panics on no text. Implements interfaces.md §6.

mod place;
mod render;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, check, tree};
use crate::text::push_segment;
use place::{Mark, Places};

/// The most bytes of one file: 16 MiB, as a message on the socket.
pub const FILE_MAX: u64 = 16 * 1024 * 1024;

/// The most errors of syntax that are told of one file: the later ones follow from the first.
const SYNTAX_ERRORS_MAX: usize = 10;

/// One file, read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What is wrong with the files. Prints each error with its line and a caret.
#[derive(Clone, Debug)]
pub struct FileErrors {
    sources: Vec<Source>,
    places: Places,
    /// Where an error is that no path leads to, and the other place that it is about, by the
    /// error's number.
    marks: Vec<(usize, Mark, Option<Mark>)>,
    /// All errors, in the order found. The path of an error of syntax is its file's name.
    pub errors: Vec<ConfigError>,
}

/// Reads the files as one configuration.
///
/// # Errors
///
/// Everything that is wrong with them, with its place, in three steps: syntax and objects in two
/// files; keys and values that cannot be read; what the values mean together. A step is taken
/// when the one before found nothing, because a misspelt `uplink` would otherwise be followed by
/// errors of all that hangs on it.
pub fn parse(sources: &[Source]) -> Result<Config, FileErrors> {
    let (mut found, whole) = FileErrors::read(sources);
    if !found.errors.is_empty() {
        return Err(found);
    }
    match tree::config(&Value::Object(whole)) {
        Ok(config) => {
            found.errors = check(&config);
            if found.errors.is_empty() {
                Ok(config)
            } else {
                Err(found)
            }
        }
        Err(errors) => {
            found.errors = errors;
            Err(found)
        }
    }
}

/// Errors that were found later (a device that is not there) with their places in the files.
pub fn explain(sources: &[Source], errors: Vec<ConfigError>) -> FileErrors {
    let (mut found, _) = FileErrors::read(sources);
    found.marks.clear();
    found.errors = errors;
    found
}

impl FileErrors {
    /// Reads the syntax of all files, and where everything is.
    fn read(sources: &[Source]) -> (Self, Map<String, Value>) {
        let mut found = Self {
            sources: sources.to_vec(),
            places: Places::default(),
            marks: Vec::new(),
            errors: Vec::new(),
        };
        let mut whole = Map::new();
        for (file, source) in sources.iter().enumerate() {
            let (table, errors) = DeTable::parse_recoverable(&source.text);
            for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
                let span = error.span().unwrap_or(0..0);
                let why = ConfigError::new(
                    source.name.as_str(),
                    format!("this is no TOML: {}", error.message()),
                );
                found.mark(why, Mark { file, span }, None);
            }
            if errors.is_empty() {
                found.merge(file, table.get_ref(), &mut whole);
            }
        }
        (found, whole)
    }

    fn mark(&mut self, error: ConfigError, at: Mark, also: Option<Mark>) {
        self.marks.push((self.errors.len(), at, also));
        self.errors.push(error);
    }

    /// Takes one file's tables in: objects beside those of other files.
    fn merge(&mut self, file: usize, table: &DeTable<'_>, whole: &mut Map<String, Value>) {
        for (kind, value) in table {
            let mut path = String::new();
            push_segment(&mut path, kind.get_ref());
            let DeValue::Table(objects) = value.get_ref() else {
                let tree = self.value(&path, file, value.get_ref());
                self.places.note(&path, file, kind.span(), value.span());
                whole.insert(kind.get_ref().to_string(), tree);
                continue;
            };
            self.places.note(&path, file, kind.span(), kind.span());
            let all = whole
                .entry(kind.get_ref().as_ref())
                .or_insert_with(|| Map::new().into());
            let Value::Object(all) = all else {
                continue; // Another file has no table of this name: reported as of a wrong type.
            };
            for (name, fields) in objects {
                let mut path = path.clone();
                push_segment(&mut path, name.get_ref());
                if all.contains_key(name.get_ref().as_ref()) {
                    let at = Mark {
                        file,
                        span: name.span(),
                    };
                    let first = self.places.key(&path);
                    let other = first
                        .as_ref()
                        .map_or("another file", |mark| &self.sources[mark.file].name);
                    let message = format!("this is also in {other}");
                    let error = ConfigError::new(path, message).hint("say it in one of the files");
                    self.mark(error, at, first);
                    continue;
                }
                let tree = self.value(&path, file, fields.get_ref());
                // The header is the place of an object; the value's span may be all of it.
                let is_table = matches!(fields.get_ref(), DeValue::Table(_));
                let span = if is_table { name.span() } else { fields.span() };
                self.places.note(&path, file, name.span(), span);
                all.insert(name.get_ref().to_string(), tree);
            }
        }
    }

    /// A TOML value as JSON; where each part of it is goes into the map. TOML nests as deep as
    /// its parser allows (80), so this does too.
    fn value(&mut self, path: &str, file: usize, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let (digits, radix) = (number.as_str(), number.radix());
                let signed = i64::from_str_radix(digits, radix).map(Value::from);
                let unsigned = || u64::from_str_radix(digits, radix).map(Value::from);
                signed
                    .or_else(|_| unsigned())
                    .unwrap_or_else(|_| Value::from(number.to_string()))
            }
            // What JSON cannot say becomes a text, and so a value of a wrong type.
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Value::from(float),
                _ => Value::from(number.to_string()),
            },
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => {
                let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                    let path = format!("{path}[{index}]");
                    self.places.note(&path, file, item.span(), item.span());
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
                    self.places.note(&path, file, key.span(), field.span());
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

/// Reads a file and what is in the folder `conf.d` beside it (`*.toml` that are not hidden, in
/// the order of their names); gives the files that were read.
///
/// # Errors
///
/// The file that cannot be read, or everything that is wrong with what is in them.
pub fn load(path: &Path) -> Result<(Config, Vec<PathBuf>), LoadError> {
    let (sources, files) = sources(path)?;
    Ok((parse(&sources)?, files))
}

/// The texts that [`load`] reads, and their files.
///
/// # Errors
///
/// The file that cannot be read.
pub fn sources(path: &Path) -> Result<(Vec<Source>, Vec<PathBuf>), LoadError> {
    let mut files = vec![path.to_owned()];
    let folder = path.with_file_name("conf.d");
    if folder.is_dir() {
        let failed = |source| LoadError::Io {
            path: folder.clone(),
            source,
        };
        let mut more = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            more.push(entry.map_err(failed)?.path());
        }
        let hidden = |file: &Path| {
            file.file_name()
                .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
        };
        more.retain(|file| {
            file.extension().is_some_and(|ending| ending == "toml") && !hidden(file)
        });
        more.sort();
        files.extend(more);
    }
    let texts = files.iter().map(|file| {
        let text = read(file).map_err(|source| LoadError::Io {
            path: file.clone(),
            source,
        })?;
        Ok(Source {
            name: file.display().to_string(),
            text,
        })
    });
    Ok((texts.collect::<Result<_, LoadError>>()?, files))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(std::io::Error::other(format!(
            "it is longer than {FILE_MAX} bytes"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
