//! `CNI_ARGS`: `K=V;K=V` from the runtime. Pure.

use crate::spec::{CniError, code};

/// What is read of them; other keys are refused unless `IgnoreUnknown` is set, as the reference plugins do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) mac: Option<String>,
}

impl Args {
    /// Reads the value of the variable.
    ///
    /// # Errors
    /// Code 4 with the word that is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, CniError> {
        let wrong = |msg: String| {
            CniError::new(
                code::ENVIRONMENT,
                msg,
                "CNI_ARGS is written KEY=VALUE;KEY=VALUE",
            )
        };
        let mut args = Self::default();
        let mut unknown = Vec::new();
        let mut ignore = false;
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(wrong(format!("\"{pair}\" in CNI_ARGS has no \"=\"")));
            };
            match key {
                "MAC" => args.mac = Some(value.to_owned()),
                "IgnoreUnknown" => ignore = matches!(value, "1" | "true" | "True" | "TRUE"),
                // The address plugins' own.
                "IP" | "GATEWAY" => {}
                other => unknown.push(other.to_owned()),
            }
        }
        if unknown.is_empty() || ignore {
            Ok(args)
        } else {
            Err(wrong(format!(
                "unknown keys in CNI_ARGS: {}",
                unknown.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_or_told_to_be_ignored() {
        let mac = Args::read("MAC=02:00:00:00:00:01;IP=10.0.0.1")
            .expect("known keys")
            .mac;
        assert_eq!(mac.as_deref(), Some("02:00:00:00:00:01"));
        assert!(Args::read("IgnoreUnknown=1;K8S_POD_NAME=x;;MAC=y").is_ok());
        assert!(Args::read("K8S_POD_NAME=x;IgnoreUnknown=true").is_ok());
        for text in ["K8S_POD_NAME=x", "MAC", "IgnoreUnknown=0;A=b"] {
            assert_eq!(Args::read(text).expect_err(text).code, code::ENVIRONMENT);
        }
        assert_eq!(Args::read(""), Ok(Args::default()));
    }
}
