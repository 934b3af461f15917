//! Text that is gone from memory once it is not needed any more.

use std::{ffi::OsStr, fmt, ops::Deref};

use serde::{Deserialize, Serialize};

/// A string whose bytes are overwritten at its end. The engine host's memory is copied into every container.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<OsStr> for Secret {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

/// Says that there is something, and not what.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        wipe(&mut bytes);
    }
}

/// Overwrites `bytes`, which are not read any more.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without it the compiler may leave out what nobody looks at.
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_travels_as_a_string_and_is_not_shown() {
        let secret = Secret::new("key".to_owned());
        assert_eq!(format!("{secret:?}"), "(secret)");
        let bytes = postcard::to_stdvec(&secret).unwrap();
        assert_eq!(bytes, postcard::to_stdvec("key").unwrap());
        assert_eq!(&*postcard::from_bytes::<Secret>(&bytes).unwrap(), "key");
    }

    #[test]
    fn what_is_wiped_is_gone() {
        let mut bytes = b"key".to_vec();
        wipe(&mut bytes);
        assert_eq!(bytes, [0; 3]);
    }
}
