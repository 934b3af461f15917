//! WebAssembly's proposals, as WasmEdge 0.17.1 knows them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A proposal. The order is that of the specification's versions; what one builds on comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Proposal {
    MutableGlobals,
    NonTrapFloatToInt,
    SignExtension,
    MultiValue,
    BulkMemory,
    ReferenceTypes,
    Simd,
    TailCall,
    ExtendedConst,
    FunctionReferences,
    Gc,
    MultiMemory,
    RelaxedSimd,
    ExceptionHandling,
    Memory64,
    Threads,
}

use Proposal::{
    BulkMemory, ExceptionHandling, ExtendedConst, FunctionReferences, Gc, Memory64, MultiMemory, MultiValue,
    MutableGlobals, NonTrapFloatToInt, ReferenceTypes, RelaxedSimd, SignExtension, Simd, TailCall, Threads,
};

impl Proposal {
    /// All of them, in their order.
    pub const ALL: [Self; 16] = [
        MutableGlobals,
        NonTrapFloatToInt,
        SignExtension,
        MultiValue,
        BulkMemory,
        ReferenceTypes,
        Simd,
        TailCall,
        ExtendedConst,
        FunctionReferences,
        Gc,
        MultiMemory,
        RelaxedSimd,
        ExceptionHandling,
        Memory64,
        Threads,
    ];

    /// The name, that of the `wasmedge` command's flags.
    pub fn name(self) -> &'static str {
        match self {
            MutableGlobals => "import-export-mut-globals",
            NonTrapFloatToInt => "non-trap-float-to-int",
            SignExtension => "sign-extension-operators",
            MultiValue => "multi-value",
            BulkMemory => "bulk-memory",
            ReferenceTypes => "reference-types",
            Simd => "simd",
            TailCall => "tail-call",
            ExtendedConst => "extended-const",
            FunctionReferences => "function-reference",
            Gc => "gc",
            MultiMemory => "multi-memory",
            RelaxedSimd => "relaxed-simd",
            ExceptionHandling => "exception-handling",
            Memory64 => "memory64",
            Threads => "threads",
        }
    }

    /// What it builds on directly.
    fn needs(self) -> Option<Self> {
        match self {
            Gc => Some(FunctionReferences),
            FunctionReferences => Some(ReferenceTypes),
            RelaxedSimd => Some(Simd),
            _ => None,
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of proposals, in which whatever one builds on is there too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposals(u32);

impl Default for Proposals {
    /// WasmEdge 0.17.1's own, without those that it implements with out-of-bounds accesses: exception handling and 64-bit
    /// memories.
    fn default() -> Self {
        let left_out = [ExceptionHandling, Memory64, Threads];
        Self(Proposal::ALL.iter().filter(|one| !left_out.contains(one)).map(|one| one.bit()).sum())
    }
}

impl Proposals {
    /// None.
    pub const NONE: Self = Self(0);

    /// What [`Self::change`] takes, for messages.
    pub const CHANGES: &str = "a list of +NAME and -NAME with the names of proposals";

    /// Whether `proposal` is in the set.
    pub fn has(self, proposal: Proposal) -> bool {
        self.0 & proposal.bit() != 0
    }

    /// This set and what `proposal` builds on, and itself.
    #[must_use]
    pub fn with(self, proposal: Proposal) -> Self {
        let base = proposal.needs().map_or(self, |needed| self.with(needed));
        Self(base.0 | proposal.bit())
    }

    /// This set without `proposal` and what builds on it.
    #[must_use]
    pub fn without(self, proposal: Proposal) -> Self {
        let dependents = Proposal::ALL.into_iter().filter(|other| other.needs() == Some(proposal));
        Self(dependents.fold(self, Self::without).0 & !proposal.bit())
    }

    /// What is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What of this set is not in `other`.
    pub fn beyond(self, other: Self) -> impl Iterator<Item = Proposal> {
        Proposal::ALL.into_iter().filter(move |one| self.has(*one) && !other.has(*one))
    }

    /// Takes a proposal in or out: `+threads`, `-simd`.
    ///
    /// # Errors
    /// Neither, or no proposal's name.
    pub fn change(&mut self, word: &str) -> Result<(), UnknownProposal> {
        let unknown = || UnknownProposal(word.to_owned());
        if let Some(name) = word.strip_prefix('+') {
            *self = self.with(name.parse().map_err(|_| unknown())?);
        } else {
            *self = self.without(word.strip_prefix('-').ok_or_else(unknown)?.parse().map_err(|_| unknown())?);
        }
        Ok(())
    }
}

impl fmt::Display for Proposals {
    /// Hexadecimal digits, shorter than the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A word that is no proposal's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no proposal of WasmEdge's")]
pub struct UnknownProposal(pub String);

impl FromStr for Proposal {
    type Err = UnknownProposal;

    fn from_str(name: &str) -> Result<Self, UnknownProposal> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| UnknownProposal(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_memory_errors_is_off_until_it_is_asked_for() {
        let mut proposals = Proposals::default();
        assert!(proposals.has(Simd) && proposals.has(Gc));
        assert!(!proposals.has(ExceptionHandling) && !proposals.has(Memory64) && !proposals.has(Threads));
        proposals.change("+memory64").unwrap();
        assert_eq!(proposals.beyond(Proposals::default()).collect::<Vec<_>>(), [Memory64]);
    }

    #[test]
    fn a_proposal_goes_with_what_builds_on_it_and_comes_with_what_it_builds_on() {
        let mut proposals = Proposals::default();
        proposals.change("-reference-types").unwrap();
        assert!(!proposals.has(FunctionReferences) && !proposals.has(Gc));
        proposals.change("+gc").unwrap();
        assert_eq!(proposals, Proposals::default());
    }

    #[test]
    fn words_that_are_no_change_are_refused() {
        for word in ["simd", "+", "", "-SIMD", "+component", "--simd"] {
            assert_eq!(Proposals::default().change(word), Err(UnknownProposal(word.to_owned())));
        }
    }
}
