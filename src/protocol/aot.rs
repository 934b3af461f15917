//! What is wanted of native code, compiled ahead of time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How modules get native code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Aot {
    /// Whether, and whether to wait for it.
    pub policy: AotPolicy,
    /// With [`AotPolicy::Tiered`]: how long a first start waits, in milliseconds.
    pub wait_millis: u32,
    /// What the compiler does in the end.
    pub level: Optimization,
    /// Most that the node's cache may take, in MiB.
    pub cache_mib: u32,
}

impl Default for Aot {
    fn default() -> Self {
        Self { policy: AotPolicy::Tiered, wait_millis: 1000, level: Optimization::O2, cache_mib: 1024 }
    }
}

/// Whether a module runs as native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AotPolicy {
    /// Never: it is interpreted.
    Off,
    /// Without optimization as soon as possible, optimized later on; interpreted where even that takes too long.
    Tiered,
    /// Optimized from the first start on, which waits for it; interpreted where it cannot be compiled.
    Wait,
    /// As before, but what cannot be compiled does not start.
    Require,
}

impl AotPolicy {
    /// What [`FromStr`] takes, for messages.
    pub const NAMES: &str = "off, tiered, wait or require";
}

impl FromStr for AotPolicy {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "off" => Self::Off,
            "tiered" => Self::Tiered,
            "wait" => Self::Wait,
            "require" => Self::Require,
            _ => return Err(()),
        })
    }
}

/// How much work goes into native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optimization {
    /// None: compiles fastest.
    O0,
    /// Some.
    O1,
    /// The usual.
    O2,
    /// All.
    O3,
    /// Small.
    Os,
    /// Smallest.
    Oz,
}

impl Optimization {
    /// What [`FromStr`] takes, for messages.
    pub const NAMES: &str = "O0, O1, O2, O3, Os or Oz";
}

impl FromStr for Optimization {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let all = [Self::O0, Self::O1, Self::O2, Self::O3, Self::Os, Self::Oz];
        all.into_iter().find(|level| level.to_string() == name).ok_or(())
    }
}

impl fmt::Display for Optimization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names are the compilers'.
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_others_refused() {
        assert_eq!("require".parse(), Ok(AotPolicy::Require));
        assert_eq!("".parse::<AotPolicy>(), Err(()));
        assert_eq!("Os".parse(), Ok(Optimization::Os));
        assert_eq!("2".parse::<Optimization>(), Err(()));
    }
}
