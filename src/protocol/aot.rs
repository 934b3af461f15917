//! What is wanted of native code, compiled ahead of time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How modules get native code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Aot {
    /// Whether, and whether to wait for it.
    pub policy: AotPolicy,
    /// With [`AotPolicy::Tiered`]: how long a first start waits at most, in milliseconds.
    pub wait_millis: u32,
    /// What the compiler does in the end.
    pub level: Optimization,
    /// Most that the node's cache may take, in MiB.
    pub cache_mib: u32,
    /// The furthest policy that a container may ask for.
    pub most_policy: AotPolicy,
    /// The highest level that a container may ask for.
    pub most_level: Optimization,
    /// Most compilers at once on the node; 0 is half of its processors.
    pub compilers: u32,
    /// Most memory of all compilers together, in MiB; 0 is a quarter of the node's.
    pub compilers_mib: u32,
    /// With [`AotPolicy::Tiered`]: how many unknown modules of 2 MiB of code a minute each tenant has compiled at their first
    /// start.
    pub new_per_minute: u32,
}

impl Default for Aot {
    fn default() -> Self {
        Self {
            policy: AotPolicy::Tiered,
            wait_millis: 30_000,
            level: Optimization::O2,
            cache_mib: 1024,
            most_policy: AotPolicy::Require,
            most_level: Optimization::O2,
            compilers: 0,
            compilers_mib: 0,
            new_per_minute: 12,
        }
    }
}

impl Aot {
    /// What containers may ask for where the options do not say: no more than what was `set`, and any policy where none
    /// was.
    #[must_use]
    pub fn with_most(self, set: Option<AotPolicy>, policy: Option<AotPolicy>, level: Option<Optimization>) -> Self {
        let most_policy = policy.or(set).unwrap_or(self.most_policy);
        let most_level = level.unwrap_or(self.level);
        Self { most_policy, most_level, ..self }
    }
}

/// Whether a module runs as native code; in the order of how much is done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

impl fmt::Display for AotPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Tiered => "tiered",
            Self::Wait => "wait",
            Self::Require => "require",
        })
    }
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

    /// How much work it is, for comparing: code is made small by the passes of O2.
    pub fn work(self) -> u8 {
        match self {
            Self::O0 => 0,
            Self::O1 => 1,
            Self::O2 | Self::Os | Self::Oz => 2,
            Self::O3 => 3,
        }
    }
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
        for policy in [AotPolicy::Off, AotPolicy::Tiered, AotPolicy::Wait, AotPolicy::Require] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("".parse::<AotPolicy>(), Err(()));
        assert_eq!("Os".parse(), Ok(Optimization::Os));
        assert_eq!("2".parse::<Optimization>(), Err(()));
    }
}
