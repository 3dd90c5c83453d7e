//! The varlink wire: JSON messages that end with a NUL byte, on a stream socket.
//!
//! [`MessageReader`] cuts a stream into messages, whatever the chunks in which it arrives;
//! [`Call`] and [`Reply`] are what the messages say; [`encode`] writes one.
//!
//! Guarantees: arbitrary bytes give messages or errors, never a panic; a reader never holds
//! more than its limit, however the bytes come (so a peer that sends 64 MiB without a NUL
//! costs the limit and loses its connection); JSON nests at most 128 deep (serde_json's own
//! limit, which is on because its `unbounded_depth` feature is off). Sans-IO: who owns the
//! socket feeds the bytes, on any thread. Implements <https://varlink.org/Method-Call>.
//! Not here: `upgrade` (no method of ours upgrades); file descriptors are in [`crate::descriptors`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::request::Request;

/// The most bytes of one message, without its NUL: 16 MiB.
pub const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// Why a stream of bytes is no varlink; the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A message has more bytes than the limit.
    #[error("a message is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A message is no JSON object of the expected shape.
    #[error("a message is no varlink: {0}")]
    Malformed(String),
}

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct MessageReader {
    /// The beginning of a message whose NUL has not come.
    partial: Vec<u8>,
    limit: usize,
    failed: bool,
}

impl Default for MessageReader {
    fn default() -> Self {
        Self::new(MESSAGE_MAX)
    }
}

impl MessageReader {
    /// A reader of messages of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            partial: Vec::new(),
            limit,
            failed: false,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the first message. `None`: all of
    /// `input` was taken and no message is complete.
    ///
    /// Call it in a loop until it gives `None`. What it keeps is at most the limit; a message
    /// that comes whole is not kept at all.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`], from then on always: the rest of the stream has no meaning.
    pub fn next_message(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, WireError> {
        let too_long = Err(WireError::TooLong { limit: self.limit });
        if self.failed {
            return too_long;
        }
        let end = input.iter().position(|byte| *byte == 0);
        let (taken, rest) = match end {
            Some(end) => (&input[..end], &input[end + 1..]),
            None => (*input, &[][..]),
        };
        if self.partial.len() + taken.len() > self.limit {
            self.failed = true;
            self.partial = Vec::new();
            return too_long;
        }
        *input = rest;
        if end.is_some() && self.partial.is_empty() {
            return Ok(Some(taken.to_vec()));
        }
        self.keep(taken);
        Ok(end.map(|_| std::mem::take(&mut self.partial)))
    }

    /// Appends with doubling growth that stops at the limit.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.partial.len() + bytes.len();
        if needed > self.partial.capacity() {
            let target = needed
                .next_power_of_two()
                .clamp(needed, self.limit.max(needed));
            self.partial.reserve_exact(target - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Bytes that are held for a message that is not complete: what a half-open client costs.
    pub fn buffered(&self) -> usize {
        self.partial.capacity()
    }

    /// Whether a message has begun and not ended; a peer that hangs up now cut it off.
    pub fn is_mid_message(&self) -> bool {
        !self.partial.is_empty()
    }
}

/// A method call as it is on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The qualified method.
    pub method: String,
    /// Its parameters; `null` and nothing mean `{}`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// The caller wants no reply.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
    pub oneway: bool,
    /// The caller takes several replies.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
    pub more: bool,
    /// The caller wants another protocol after this call; no method of ours does that.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
    pub upgrade: bool,
}

impl Call {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`]: no JSON, nested too deep, or no call. The sender is no varlink
    /// client; varlink has no reply for that, the connection is closed.
    pub fn parse(message: &[u8]) -> Result<Self, WireError> {
        let mut call: Self = serde_json::from_slice(message).map_err(malformed)?;
        if call.parameters.is_null() {
            call.parameters = Value::Object(Map::new());
        }
        Ok(call)
    }

    /// The request that the call makes.
    ///
    /// # Errors
    ///
    /// What [`Request::decode`] refuses; `ExpectedMore` for a stream without `more`;
    /// `InvalidParameter` for `upgrade`.
    pub fn request(&self) -> Result<Request, ApiError> {
        let request = Request::decode(&self.method, &self.parameters)?;
        if self.upgrade {
            return Err(ApiError::parameter(
                "upgrade",
                "no method of this service upgrades its connection",
            ));
        }
        if request.answers() == crate::request::Answers::Stream && !self.more {
            return Err(ApiError::ExpectedMore {});
        }
        Ok(request)
    }
}

/// A reply as it is on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The qualified error, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The reply's, or the error's, parameters.
    #[serde(default)]
    pub parameters: Value,
    /// Another reply follows.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
    pub continues: bool,
}

impl Reply {
    /// The last or only reply.
    pub fn last(parameters: &impl Serialize) -> Self {
        Self {
            error: None,
            parameters: to_object(parameters),
            continues: false,
        }
    }

    /// A reply after which another follows.
    pub fn continues(parameters: &impl Serialize) -> Self {
        Self {
            continues: true,
            ..Self::last(parameters)
        }
    }

    /// An error; it ends the call.
    pub fn error(error: &ApiError) -> Self {
        let (name, parameters) = error.to_wire();
        Self {
            error: Some(name),
            parameters,
            continues: false,
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`]: no JSON, nested too deep, or no reply.
    pub fn parse(message: &[u8]) -> Result<Self, WireError> {
        serde_json::from_slice(message).map_err(malformed)
    }

    /// The parameters, or the error.
    ///
    /// # Errors
    ///
    /// The error that the reply carries.
    pub fn into_result(self) -> Result<Value, ApiError> {
        match self.error {
            Some(name) => Err(ApiError::from_wire(&name, self.parameters)),
            None => Ok(self.parameters),
        }
    }
}

/// A message with its NUL.
///
/// # Errors
///
/// [`WireError::TooLong`]: the peer would refuse it; answer with pages or an error instead.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, WireError> {
    let mut bytes = serde_json::to_vec(message).map_err(malformed)?;
    if bytes.len() > MESSAGE_MAX {
        return Err(WireError::TooLong { limit: MESSAGE_MAX });
    }
    bytes.push(0);
    Ok(bytes)
}

fn to_object(parameters: &impl Serialize) -> Value {
    // The reply types are structs of plain fields: they always are JSON objects.
    serde_json::to_value(parameters).unwrap_or_else(|_| Value::Object(Map::new()))
}

fn malformed(error: serde_json::Error) -> WireError {
    WireError::Malformed(crate::text::excerpt(&error.to_string(), 200))
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A flag that a peer may also send as `null`.
pub(crate) fn flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
