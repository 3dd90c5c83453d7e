//! A reader of varlink interface texts, as large as the tests need: it checks the grammar, and
//! whether a JSON value is of a declared type. For tests only.

use std::collections::BTreeMap;

use serde_json::Value;

/// A type of the interface language.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Bool,
    Int,
    String,
    Object,
    Named(String),
    Maybe(Box<Self>),
    List(Box<Self>),
    Dict(Box<Self>),
    Enum(Vec<String>),
    Struct(Fields),
}

/// Fields by name.
pub(super) type Fields = BTreeMap<String, Type>;

/// One interface.
#[derive(Debug, Default)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) types: BTreeMap<String, Type>,
    /// Parameters, reply, and whether a comment stands before it.
    pub(super) methods: BTreeMap<String, (Fields, Fields, bool)>,
    pub(super) errors: BTreeMap<String, Fields>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(&'static str),
    Comment,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let sign = ["->", "[]", "[string]", "(", ")", ",", ":", "?"]
            .into_iter()
            .find(|sign| rest.starts_with(sign));
        if c == '#' {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            tokens.push(Token::Comment);
        } else if c.is_whitespace() {
            rest = rest.trim_start();
        } else if let Some(sign) = sign {
            rest = &rest[sign.len()..];
            tokens.push(Token::Sign(sign));
        } else {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
                .unwrap_or(rest.len());
            assert!(end > 0, "no token: {:?}", &rest[..rest.len().min(40)]);
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    tokens
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    /// The next token that is no comment, and whether a comment stood before it.
    fn next(&mut self) -> (Option<Token>, bool) {
        let mut commented = false;
        while self.tokens.next_if_eq(&Token::Comment).is_some() {
            commented = true;
        }
        (self.tokens.next(), commented)
    }

    fn word(&mut self) -> String {
        match self.next().0 {
            Some(Token::Word(word)) => word,
            other => panic!("a word expected, not {other:?}"),
        }
    }

    fn sign(&mut self, sign: &'static str) {
        assert_eq!(self.next().0, Some(Token::Sign(sign)));
    }

    fn peek(&mut self) -> Option<&Token> {
        while self.tokens.next_if_eq(&Token::Comment).is_some() {}
        self.tokens.peek()
    }

    fn r#type(&mut self) -> Type {
        match self.next().0 {
            Some(Token::Sign("?")) => {
                let inner = self.r#type();
                assert!(!matches!(inner, Type::Maybe(_)), "?? is no type");
                Type::Maybe(Box::new(inner))
            }
            Some(Token::Sign("[]")) => Type::List(Box::new(self.r#type())),
            Some(Token::Sign("[string]")) => Type::Dict(Box::new(self.r#type())),
            Some(Token::Sign("(")) => self.inner(),
            Some(Token::Word(word)) => match word.as_str() {
                "bool" => Type::Bool,
                "int" => Type::Int,
                "string" => Type::String,
                "object" => Type::Object,
                "float" => panic!("interfaces.md §4: no floats"),
                _ => {
                    assert!(
                        word.starts_with(|c: char| c.is_ascii_uppercase()),
                        "a type is named in upper case: {word}"
                    );
                    Type::Named(word)
                }
            },
            other => panic!("a type expected, not {other:?}"),
        }
    }

    /// After `(`: an enum or a struct, to its `)`.
    fn inner(&mut self) -> Type {
        let (mut names, mut fields) = (Vec::new(), Fields::new());
        if self.peek() == Some(&Token::Sign(")")) {
            self.sign(")");
            return Type::Struct(fields);
        }
        loop {
            let name = self.word();
            assert!(
                name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('.'),
                "a field in lower case: {name}"
            );
            assert!(!name.contains('_'), "wire names are camelCase: {name}");
            if self.peek() == Some(&Token::Sign(":")) {
                self.sign(":");
                let kind = self.r#type();
                assert!(fields.insert(name.clone(), kind).is_none(), "{name} twice");
            } else {
                names.push(name);
            }
            match self.next().0 {
                Some(Token::Sign(",")) => {}
                Some(Token::Sign(")")) => break,
                other => panic!(", or ) expected, not {other:?}"),
            }
        }
        assert!(
            names.is_empty() || fields.is_empty(),
            "neither enum nor struct: {names:?}"
        );
        if fields.is_empty() {
            Type::Enum(names)
        } else {
            Type::Struct(fields)
        }
    }

    fn fields(&mut self) -> Fields {
        self.sign("(");
        match self.inner() {
            Type::Struct(fields) => fields,
            other => panic!("fields expected, not {other:?}"),
        }
    }
}

impl Interface {
    /// Reads a text; panics where it is none.
    pub(super) fn parse(text: &str) -> Self {
        let mut parser = Parser {
            tokens: tokens(text).into_iter().peekable(),
        };
        assert_eq!(parser.word(), "interface");
        let mut interface = Self {
            name: parser.word(),
            ..Self::default()
        };
        loop {
            let (keyword, commented) = match parser.next() {
                (None, _) => break,
                (Some(Token::Word(word)), commented) => (word, commented),
                (other, _) => panic!("a member expected, not {other:?}"),
            };
            let name = parser.word();
            let fresh = match keyword.as_str() {
                "type" => {
                    parser.sign("(");
                    let kind = parser.inner();
                    interface.types.insert(name.clone(), kind).is_none()
                }
                "method" => {
                    let parameters = parser.fields();
                    parser.sign("->");
                    let reply = parser.fields();
                    interface
                        .methods
                        .insert(name.clone(), (parameters, reply, commented))
                        .is_none()
                }
                "error" => {
                    let parameters = parser.fields();
                    interface.errors.insert(name.clone(), parameters).is_none()
                }
                other => panic!("no member: {other}"),
            };
            assert!(fresh, "{name} is declared twice");
        }
        interface
    }

    /// Holds that a value has every field that is not optional, no other, and each of its type.
    pub(super) fn holds(&self, at: &str, fields: &Fields, value: &Value) {
        let object = value
            .as_object()
            .unwrap_or_else(|| panic!("{at}: {value} is no object"));
        for (name, value) in object {
            let kind = fields
                .get(name)
                .unwrap_or_else(|| panic!("{at}.{name} is not declared"));
            self.holds_type(&format!("{at}.{name}"), kind, value);
        }
        for (name, kind) in fields {
            assert!(
                object.contains_key(name) || matches!(kind, Type::Maybe(_)),
                "{at}.{name} is missing and not optional"
            );
        }
    }

    fn holds_type(&self, at: &str, kind: &Type, value: &Value) {
        match (kind, value) {
            (Type::Bool, Value::Bool(_)) | (Type::String, Value::String(_)) => {}
            (Type::Object, value) => assert!(!value.is_null(), "{at} is null"),
            (Type::Int, Value::Number(number)) => {
                assert!(number.is_i64() || number.is_u64(), "{at}: {number}");
            }
            (Type::Enum(names), Value::String(text)) => {
                assert!(names.contains(text), "{at}: {text} is none of {names:?}");
            }
            (Type::Maybe(inner), value) => self.holds_type(at, inner, value),
            (Type::List(inner), Value::Array(items)) => {
                items
                    .iter()
                    .for_each(|item| self.holds_type(&format!("{at}[]"), inner, item));
            }
            (Type::Dict(inner), Value::Object(map)) => {
                map.iter()
                    .for_each(|(key, item)| self.holds_type(&format!("{at}[{key}]"), inner, item));
            }
            (Type::Struct(fields), value) => self.holds(at, fields, value),
            (Type::Named(name), value) => {
                let kind = self
                    .types
                    .get(name)
                    .unwrap_or_else(|| panic!("{at}: there is no type {name}"));
                self.holds_type(at, kind, value);
            }
            (kind, value) => panic!("{at}: {value} is no {kind:?}"),
        }
    }

    /// Every type that the interface names and does not declare.
    pub(super) fn undeclared(&self) -> Vec<&str> {
        fn walk<'a>(kind: &'a Type, found: &mut Vec<&'a str>) {
            match kind {
                Type::Named(name) => found.push(name),
                Type::Maybe(inner) | Type::List(inner) | Type::Dict(inner) => walk(inner, found),
                Type::Struct(fields) => fields.values().for_each(|kind| walk(kind, found)),
                Type::Bool | Type::Int | Type::String | Type::Object | Type::Enum(_) => {}
            }
        }
        let mut found = Vec::new();
        self.types.values().for_each(|kind| walk(kind, &mut found));
        for (parameters, reply, _) in self.methods.values() {
            parameters
                .values()
                .chain(reply.values())
                .for_each(|kind| walk(kind, &mut found));
        }
        self.errors
            .values()
            .flat_map(|fields| fields.values())
            .for_each(|kind| walk(kind, &mut found));
        found.retain(|name| !self.types.contains_key(*name));
        found
    }
}

/// Where `new` lost or changed something that `old` had; added fields must be optional.
pub(super) fn broken(at: &str, old: &Type, new: &Type) -> Vec<String> {
    match (old, new) {
        (Type::Struct(old), Type::Struct(new)) => broken_fields(at, old, new),
        (Type::Maybe(old), Type::Maybe(new))
        | (Type::List(old), Type::List(new))
        | (Type::Dict(old), Type::Dict(new)) => broken(at, old, new),
        (Type::Enum(old), Type::Enum(new)) => old
            .iter()
            .filter(|name| !new.contains(name))
            .map(|name| format!("{at}: {name} is gone"))
            .collect(),
        _ if old == new => Vec::new(),
        _ => vec![format!("{at}: {old:?} became {new:?}")],
    }
}

/// As [`broken`], for fields.
pub(super) fn broken_fields(at: &str, old: &Fields, new: &Fields) -> Vec<String> {
    let mut list = Vec::new();
    for (name, kind) in old {
        let at = format!("{at}.{name}");
        match new.get(name) {
            Some(now) => list.extend(broken(&at, kind, now)),
            None => list.push(format!("{at} is gone")),
        }
    }
    for (name, kind) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        if !matches!(kind, Type::Maybe(_)) {
            list.push(format!("{at}.{name} is new and not optional"));
        }
    }
    list
}
