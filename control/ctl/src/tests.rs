//! placeholder while the tests are being written
